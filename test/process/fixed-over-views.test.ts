// MAP_FIXED over mappings that have live views: by name only, and never a dangling view.
import { survives } from './program';

const setUp = `
const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
const fixed = (address, length, options) => memmap.sys.mmap(
  address, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, options);
const at = (mapping, page) => mapping.address + BigInt(page * PAGE);
const path = scratch(4 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
`;

test('over a live view: refused without its name, detached with it', () =>
  survives(`
    ${setUp}
    const { buffer } = m;
    assert.throws(() => fixed(m.address, 4 * PAGE), (error) => {
      assert.equal(error.code, 'ERR_MEMMAP_OVERLAP');
      assert.deepEqual(error.conflicts, [m]);
      return true;
    });
    assert.equal(isAll(buffer, 97), true);
    assert.equal(m.state, 'mapped');
    const other = fixed(m.address, 4 * PAGE, { replace: m });
    assert.equal(buffer.length, 0);
    assert.equal(m.state, 'replaced');
    assert.equal(other.address, m.address);
    assert.equal(isAll(other.buffer, 0), true);
    assert.equal(showsFile(path), false);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
    assert.deepEqual(memmap.registry.verify(), []);
    m.unmap();
    assert.equal(other.buffer.length, 4 * PAGE);
    other.unmap();
  `));

test('over half of it: views of the other half live on', () =>
  survives(`
    ${setUp}
    const low = m.view(0, 2 * PAGE);
    const high = m.view(2 * PAGE, 2 * PAGE);
    const across = m.view(PAGE, 2 * PAGE);
    const other = fixed(at(m, 2), 2 * PAGE, { replace: m });
    assert.equal(m.state, 'replaced');
    assert.equal(isAll(low, 97), true);
    assert.equal(low.length, 2 * PAGE);
    assert.equal(high.length, 0);
    assert.equal(across.length, 0);
    assert.equal(m.parts.length, 1);
    const [part] = m.parts;
    assert.deepEqual([part.address, part.length], [m.address, 2 * PAGE]);
    low[0] = 98;
    part.flushSync();
    assert.equal(fs.readFileSync(path)[0], 98);
    assert.equal(isAll(other.buffer, 0), true);
    assert.equal(regionAt(m.address).name, path);
    assert.notEqual(regionAt(at(m, 2)).name, path);
    assert.deepEqual(memmap.registry.verify(), []);
    m.unmap();
    assert.equal(low.length, 0);
    assert.equal(showsFile(path), false);
    assert.equal(isAll(other.buffer, 0), true);
  `));

test('over the middle of it: two parts', () =>
  survives(`
    ${setUp}
    const { buffer } = m;
    const other = fixed(at(m, 1), 2 * PAGE, { replace: m });
    assert.equal(buffer.length, 0);
    assert.deepEqual(m.parts.map(({ address, fileOffset }) => [address, fileOffset]),
      [[m.address, 0n], [at(m, 3), BigInt(3 * PAGE)]]);
    assert.equal(m.parts.every((part) => isAll(part.buffer, 97)), true);
    other.unmap();
    for (const part of m.parts) part.unmap();
    assert.equal(showsFile(path), false);
  `));

test('over the gap between two mappings: refused, and both keep their bytes', () =>
  survives(`
    ${setUp}
    memmap.sys.munmap(at(m, 1), 2 * PAGE, { replace: m });
    const [left, right] = m.parts;
    const views = [left.buffer, right.buffer];
    const options = { replace: [left, right, m] };
    assert.throws(() => fixed(m.address, 4 * PAGE, options), { code: 'ERR_MEMMAP_FOREIGN' });
    assert.throws(() => fixed(at(m, 1), PAGE, options), { code: 'ERR_MEMMAP_FOREIGN' });
    assert.throws(() => fixed(m.address, 2 * PAGE, options), { code: 'ERR_MEMMAP_FOREIGN' });
    assert.throws(() => fixed(at(m, 2), 2 * PAGE, options), { code: 'ERR_MEMMAP_FOREIGN' });
    assert.equal(views.every((view) => view.length === PAGE && isAll(view, 97)), true);
    assert.equal(regionAt(at(m, 1)), undefined);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('over a retired range: refused', () =>
  survives(`
    ${setUp}
    m.buffer.fill(98);
    m.unmap();
    assert.throws(() => fixed(m.address, PAGE, { replace: m }), { code: 'ERR_MEMMAP_FOREIGN' });
  `));

test('over itself by one that cannot be mapped: nothing is lost', () =>
  survives(`
    ${setUp}
    const { buffer } = m;
    const bad = {
      EBADF: -1,
      ENODEV: fs.openSync(folder, 'r'),
      EACCES: fs.openSync(scratch(PAGE), 'w'),
    };
    for (const [code, fd] of Object.entries(bad)) {
      assert.throws(
        () => memmap.sys.mmap(m.address, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0, { replace: m }),
        { code, syscall: 'mmap' });
      assert.equal(m.state, 'mapped');
      assert.equal(isAll(buffer, 97), true);
    }
    const proc = fs.openSync('/proc/version', 'r');
    assert.throws(
      () => memmap.sys.mmap(m.address, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, proc, 0, { replace: m }),
      { code: 'EIO', syscall: 'mmap' });
    assert.equal(isAll(buffer, 97), true);
  `));

test('thousands of times, while its views are read', () =>
  survives(`
    ${setUp}
    let current = m;
    for (let i = 0; i < 3000; i++) {
      const view = current.buffer;
      view[0] = i;
      current = fixed(current.address, 4 * PAGE, { replace: current });
      assert.equal(view.length, 0);
    }
    assert.equal(isAll(current.buffer, 0), true);
    assert.deepEqual(memmap.registry.verify(), []);
  `));
