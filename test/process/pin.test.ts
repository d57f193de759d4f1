// While a mapping is pinned nothing takes its memory away.
import { survives, withGc } from './program';

const pinned = `
const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MREMAP_MAYMOVE, MREMAP_FIXED } = memmap.constants;
const path = scratch(4 * PAGE);
const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
const { buffer } = m;
const pin = m.pin();
`;

test('every way to take the memory away is ERR_MEMMAP_BUSY', () =>
  survives(`
    ${pinned}
    const target = memmap.mapAnonymous(4 * PAGE);
    const fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const ways = {
      unmap: () => m.unmap(),
      dispose: () => m[Symbol.dispose](),
      replace: () => m.replace({ anonymous: 4 * PAGE }),
      grow: () => m.resize(400 * PAGE),
      shrink: () => m.resize(1),
      'sys.munmap': () => memmap.sys.munmap(m.address, 4 * PAGE, { replace: m }),
      'sys.munmap of a page': () => memmap.sys.munmap(m.address, PAGE, { replace: m }),
      'sys.mmap': () => memmap.sys.mmap(m.address, PAGE, PROT_READ, fixed, -1, 0, { replace: m }),
      'sys.mremap': () => memmap.sys.mremap(m.address, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE),
      'sys.mremap to it': () => memmap.sys.mremap(
        target.address, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, m.address, { replace: m }),
    };
    for (const [name, way] of Object.entries(ways)) {
      assert.throws(way, { code: 'ERR_MEMMAP_BUSY' }, name);
      assert.equal(m.state, 'mapped', name);
      assert.equal(buffer.length, 4 * PAGE, name);
      assert.equal(isAll(buffer, 97), true, name);
    }
    await assert.rejects(m[Symbol.asyncDispose](), { code: 'ERR_MEMMAP_BUSY' });
    pin.release();
    m.unmap();
    assert.equal(showsFile(path), false);
  `));

test('pages under a pinned view cannot be made unreadable', () =>
  survives(`
    ${pinned}
    assert.throws(() => m.protect('none'), { code: 'ERR_MEMMAP_BUSY' });
    assert.throws(() => memmap.sys.mprotect(m.address, PAGE, memmap.constants.PROT_NONE), { code: 'ERR_MEMMAP_BUSY' });
    assert.equal(isAll(buffer, 97), true);
    pin.release();
  `));

test('two pins are two; releasing one twice releases one', () =>
  survives(`
    ${pinned}
    const second = m.pin();
    pin.release();
    pin.release();
    pin[Symbol.dispose]();
    assert.throws(() => m.unmap(), { code: 'ERR_MEMMAP_BUSY' });
    second[Symbol.dispose]();
    m.unmap();
    assert.throws(() => m.pin(), { code: 'ERR_MEMMAP_UNMAPPED' });
  `));

test('a pin keeps a dropped mapping until it is released, even when nobody holds the pin', () =>
  survives(
    `
    const path = scratch(PAGE);
    const address = (() => {
      const m = memmap.mapFileSync(path);
      m.pin();
      return m.address;
    })();
    let pin = memmap.mapFileSync(path).pin();
    for (let round = 0; round < 20; round++) {
      gc();
      await turn();
    }
    assert.equal(memmap.registry.mappings().length, 2);
    assert.throws(() => memmap.registry.at(address).unmap(), { code: 'ERR_MEMMAP_BUSY' });
    pin.release();
    await collectUntil(() => memmap.registry.mappings().length === 1, 'the released one unmapped');
    assert.equal(regionAt(address).name, path);
  `,
    withGc,
  ));
