// Pages that a transferred buffer can still reach must stay readable, whatever is asked of them.
import { survives, testTransfer } from './program';

const transferred = `
const m = memmap.mapAnonymous(3 * PAGE);
const moved = new Uint8Array(m.buffer.fill(97).buffer.transfer());
`;

const read = `
for (let i = 0; i < moved.length; i++) moved[i] = (moved[i] + 1) & 255;
`;

testTransfer("protect('none')", () =>
  survives(`
    ${transferred}
    try { m.protect('none'); } catch (error) { assert.equal(error.code, 'ERR_MEMMAP_BUSY'); }
    for (let i = 0; i < moved.length; i++) assert.ok(moved[i] === 97 || moved[i] === 0);
    m.unmap();
    ${read}
  `),
);

testTransfer('sys.mprotect(PROT_NONE) of a page', () =>
  survives(`
    ${transferred}
    try {
      memmap.sys.mprotect(m.address + BigInt(PAGE), PAGE, memmap.constants.PROT_NONE);
    } catch (error) {
      assert.equal(error.code, 'ERR_MEMMAP_BUSY');
    }
    for (let i = 0; i < moved.length; i++) assert.ok(moved[i] === 97 || moved[i] === 0);
    m.unmap();
    ${read}
  `),
);

testTransfer('a PROT_NONE mapping in its place', () =>
  survives(`
    const { PROT_NONE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
    ${transferred}
    try {
      memmap.sys.mmap(m.address, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, { replace: m });
    } catch (error) {
      assert.equal(error.code, 'ERR_MEMMAP_BUSY');
    }
    for (let i = 0; i < moved.length; i++) assert.ok(moved[i] === 97 || moved[i] === 0);
  `),
);

testTransfer('guard pages by advice', () =>
  survives(`
    ${transferred}
    const { MADV_GUARD_INSTALL } = memmap.constants;
    if (MADV_GUARD_INSTALL !== undefined) {
      try {
        memmap.sys.madvise(m.address, PAGE, MADV_GUARD_INSTALL);
      } catch (error) {
        assert.match(error.code, /^(ERR_MEMMAP_BUSY|EINVAL)$/);
      }
    }
    for (let i = 0; i < moved.length; i++) assert.ok(moved[i] === 97 || moved[i] === 0);
  `),
);
