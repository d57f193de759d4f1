// ArrayBuffer.prototype.transfer() moves the memory of a view to an ArrayBuffer that memmap has never seen.
import { survives, testTransfer, withGc } from './program';

const transferred = `
const path = scratch(3 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
const old = m.buffer;
const moved = new Uint8Array(old.buffer.transfer());
assert.equal(old.length, 0);
assert.equal(moved[0], 97);
`;

testTransfer('unmap, then use: zeros, and the file is released and safe', () =>
  survives(`
    ${transferred}
    m.unmap();
    assert.equal(m.state, 'unmapped');
    assert.equal(showsFile(path), false);
    assert.equal(isAll(moved, 0), true);
    moved.fill(1);
    assert.equal(isAll(moved, 1), true);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `),
);

testTransfer('transferToFixedLength, and transfer to another length', () =>
  survives(`
    for (const move of [(b) => b.transferToFixedLength(), (b) => b.transfer(PAGE), (b) => b.transfer(9 * PAGE)]) {
      const path = scratch(3 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const moved = new Uint8Array(move(m.buffer.buffer));
      m.unmap();
      assert.equal(showsFile(path), false);
      moved.fill(1);
      assert.equal(moved[PAGE - 1], 1);
      assert.equal(isAll(fs.readFileSync(path), 97), true);
    }
  `),
);

testTransfer('the mapping goes on: a new Buffer, the same bytes', () =>
  survives(`
    ${transferred}
    moved[0] = 98;
    assert.equal(m.buffer[0], 98);
    assert.equal(m.read(0, 1)[0], 98);
    m.unmap();
    assert.equal(isAll(moved, 0), true);
  `),
);

testTransfer('the address is not given to anybody while the moved memory is alive', () =>
  survives(
    `
    ${transferred}
    const { address } = m;
    m.unmap();
    const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE } = memmap.constants;
    const place = () => memmap.sys.mmap(
      address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    for (let i = 0; i < 3000; i++) {
      const other = memmap.mapAnonymous(3 * PAGE, { address });
      assert.notEqual(other.address, address);
      other.buffer.fill(2);
      other.unmap();
    }
    gc();
    await turn();
    assert.throws(place, { code: 'EEXIST', syscall: 'mmap' });
    assert.throws(() => memmap.sys.munmap(address, PAGE), { code: 'ERR_MEMMAP_FOREIGN' });
    assert.equal(isAll(moved, 0), true);
  `,
    withGc,
  ),
);

testTransfer('given back once the moved memory is collected', () =>
  survives(
    `
    const { native } = require(join(entry, '..', 'binding.js'));
    const path = scratch(3 * PAGE);
    const isKept = (address) => regionAt(address) !== undefined;
    const address = (() => {
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const moved = new Uint8Array(m.buffer.buffer.transfer());
      m.unmap();
      moved[0] = 1;
      assert.equal(isKept(m.address), true);
      return m.address;
    })();
    const claimed = () => Array.from(native.ownedRanges()).includes(Number(address));
    assert.equal(claimed(), true);
    await collectUntil(() => (native.reap(true), !claimed()), 'given back');
  `,
    withGc,
  ),
);

testTransfer('dropped mapping: the moved buffer keeps the bytes, and then lets them go', () =>
  survives(
    `
    const path = scratch(3 * PAGE);
    let moved = new Uint8Array(memmap.mapFileSync(path).buffer.buffer.transfer());
    for (let round = 0; round < 20; round++) {
      gc();
      await turn();
      assert.equal(isAll(moved, 97), true);
    }
    assert.equal(showsFile(path), true);
    moved = undefined;
    await collectUntil(() => !showsFile(path), 'unmapped');
  `,
    withGc,
  ),
);

testTransfer('the moved buffer outlives a mapping that took the place of its own', () =>
  survives(`
    const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
    ${transferred}
    const other = memmap.sys.mmap(
      m.address, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, { replace: m });
    assert.equal(m.state, 'replaced');
    other.unmap();
    moved.fill(1);
    assert.equal(isAll(moved, 1), true);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `),
);

testTransfer('the moved buffer outlives a partial unmap', () =>
  survives(`
    ${transferred}
    memmap.sys.munmap(m.address + BigInt(PAGE), PAGE, { replace: m });
    assert.equal(moved[PAGE], 0);
    for (const part of m.parts) part.unmap();
    assert.equal(showsFile(path), false);
    assert.equal(isAll(moved, 0), true);
    moved.fill(1);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `),
);

testTransfer('the moved buffer outlives replace, resize, and a move by mremap', () =>
  survives(`
    {
      ${transferred}
      m.replace({ anonymous: 3 * PAGE });
      assert.equal(isAll(moved, 0), true);
      m.unmap();
      moved.fill(1);
    }
    for (const length of [300 * PAGE, 100]) {
      ${transferred}
      const blocker = memmap.mapAnonymous(PAGE, { address: m.address + BigInt(3 * PAGE) });
      m.resize(length);
      assert.equal(m.buffer[0], 97);
      for (let i = 0; i < moved.length; i++) moved[i] += 1;
      m.unmap();
      for (let i = 0; i < moved.length; i++) moved[i] += 1;
      blocker.unmap();
    }
    {
      ${transferred}
      const { MREMAP_MAYMOVE, MREMAP_FIXED } = memmap.constants;
      const target = memmap.mapAnonymous(3 * PAGE);
      memmap.sys.mremap(m.address, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target.address, { replace: target });
      assert.equal(m.address, target.address);
      for (let i = 0; i < moved.length; i++) moved[i] += 1;
      m.unmap();
      for (let i = 0; i < moved.length; i++) moved[i] += 1;
    }
  `),
);
