// Native code on the thread pool that goes on writing through a view while its pages become
// inaccessible: whatever the call, the process survives, and no drift is left.
import { survives } from './program';

const ways: Record<string, string> = {
  "protect('none')": "m.protect('none')",
  "protect('execute')": "m.protect('execute')",
  "protect('read')": "m.protect('read')",
  'protect of a page in the middle': "m.protect('none', { offset: LENGTH / 2, length: PAGE })",
  'sys.mprotect': 'sys.mprotect(m.address, LENGTH, 0)',
  'sys.mmap with MAP_FIXED and PROT_NONE':
    'sys.mmap(m.address, LENGTH, 0, FIXED, -1, 0, { replace: m })',
  'sys.mmap with MAP_FIXED and PROT_READ':
    'sys.mmap(m.address, LENGTH, 1, FIXED, -1, 0, { replace: m })',
  'sys.madvise with MADV_GUARD_INSTALL':
    "try { sys.madvise(m.address, LENGTH, 102); } catch (error) { assert.equal(error.code, 'EINVAL'); }",
  'replace by a read-only file': 'm.replace({ file: path })',
  'sys.mremap of inaccessible pages onto it':
    "const o = memmap.mapAnonymous(LENGTH); o.protect('none'); sys.mremap(o.address, LENGTH, LENGTH, 3, m.address, { replace: m })",
  'sys.mremap of read-only pages onto it':
    "const o = memmap.mapAnonymous(LENGTH); o.protect('read'); sys.mremap(o.address, LENGTH, LENGTH, 3, m.address, { replace: m })",
  'sys.mremap with MREMAP_DONTUNMAP': 'sys.mremap(m.address, LENGTH, LENGTH, 5, 0)',
  unmap: 'm.unmap()',
  'resize to one page': 'm.resize(PAGE)',
};

describe.each([
  ['private', false],
  ['shared', true],
])('%s memory', (_name, shared) => {
  for (const [name, way] of Object.entries(ways)) {
    test(`${name} while randomFill writes`, () =>
      survives(`
        const { sys, constants } = memmap;
        const LENGTH = 2 ** 25;
        const FIXED = constants.MAP_PRIVATE | constants.MAP_ANONYMOUS | constants.MAP_FIXED;
        const path = scratch(LENGTH);
        process.on('uncaughtException', (error) => {
          // What is written into a mapping that is read-only now is that mapping's fault.
          assert.equal(error.code, 'ERR_MEMMAP_FAULT');
        });
        const m = memmap.mapAnonymous(LENGTH, { shared: ${String(shared)} });
        m.on('fault', () => undefined);
        const bytes = new Uint8Array(m.buffer.buffer);
        const filled = new Promise((resolve) => {
          require('node:crypto').randomFill(bytes, resolve);
        });
        // It has begun where its first bytes are not zeros any more.
        while (bytes[0] === 0 && bytes[1] === 0 && bytes[2] === 0) await turn();
        ${way};
        await filled;
        await turn();
        assert.deepEqual(memmap.registry.verify(), []);
      `));
  }
});

test('an address space under a limit is given back before V8 needs it', () =>
  survives(
    `
    const { execFileSync } = require('node:child_process');
    const used = Number(/VmSize:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + String(used + 2 ** 30)]);
    for (let i = 0; i < 64; i++) {
      const m = memmap.mapAnonymous(2 ** 24);
      m.buffer[0] = 1;
      m.unmap();
    }
    const objects = Array.from({ length: 500_000 }, (_, i) => ({ i, list: [i] }));
    assert.equal(objects.length, 500_000);
  `,
  ));

test('what is unmapped is promised to nobody any more', () =>
  survives(`
    const mappings = Array.from({ length: 4 }, () => memmap.mapAnonymous(2 ** 26));
    const { address } = mappings[0];
    const flags = () => /VmFlags: (.*)/.exec(
      fs.readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).find((text) => {
        const [from, to] = text.split(' ')[0].split('-').map((part) => BigInt('0x' + part));
        return from <= address && address < to;
      }))[1].split(' ');
    assert.ok(flags().includes('ac'));
    for (const m of mappings) { m.buffer[0] = 1; m.unmap(); }
    assert.ok(!flags().includes('ac'));
  `));

describe('what cannot fault, made longer', () => {
  const sealed = `
    const shm = memmap.SharedMemory.create(null, { size: PAGE });
    shm.seal('shrink');
    const a = shm.map();
  `;
  test.each([
    ['sys.mremap that grows', 'memmap.sys.mremap(a.address, PAGE, 3 * PAGE, 1)'],
    ['sys.mmap', 'memmap.sys.mmap(0, 3 * PAGE, 3, memmap.constants.MAP_SHARED, shm.fd, 0)'],
    ['sys.mremap of length 0', 'memmap.sys.mremap(a.address, 0, 3 * PAGE, 1)'],
  ])('%s', (_name, call) =>
    survives(`
      ${sealed}
      const b = ${call};
      const told = once(b, 'fault');
      assert.equal(b.buffer[2 * PAGE], 0);
      const [error] = await told;
      assert.deepEqual([error.code, error.kind, error.offset], ['ERR_MEMMAP_FAULT', 'truncated', 2 * PAGE]);
    `),
  );
});

test('page 0 is never mapped', () =>
  survives(`
    const { sys, constants: { MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_FIXED } } = memmap;
    for (const flag of [MAP_FIXED_NOREPLACE, MAP_FIXED]) {
      assert.throws(() => sys.mmap(0, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | flag, -1, 0), { code: 'ERR_MEMMAP_RANGE' });
    }
    assert.throws(() => memmap.mapAnonymous(PAGE, { address: 0, placement: 'exclusive' }), { code: 'ERR_MEMMAP_RANGE' });
    assert.equal(regions()[0].start > 0n, true);
  `));

test('flags that act beyond the range are refused', () =>
  survives(`
    const { sys, constants } = memmap;
    const m = memmap.mapAnonymous(4 * PAGE);
    const growing = constants.MAP_PRIVATE | constants.MAP_ANONYMOUS | constants.MAP_GROWSDOWN;
    assert.throws(() => sys.mmap(0, PAGE, 3, growing, -1, 0), { code: 'ERR_MEMMAP_UNSUPPORTED', argument: 'flags' });
    for (const bit of [constants.PROT_GROWSDOWN, constants.PROT_GROWSUP]) {
      assert.throws(() => sys.mprotect(m.address, PAGE, bit), { code: 'ERR_MEMMAP_UNSUPPORTED', argument: 'protection' });
    }
    for (const advice of [100, 101]) {
      assert.throws(() => sys.madvise(m.address, PAGE, advice), { code: 'ERR_MEMMAP_UNSUPPORTED', argument: 'advice' });
    }
    assert.equal(m.protection, 'read-write');
  `));
