// What becomes of a damaged mapping when it is unmapped, replaced, moved, protected or dropped.
import { damaged, faultsSurvived } from '../helpers/faults';
import { withGc } from './program';

test('unmap of a damaged mapping: the Buffers are detached, and the pages are gone', () =>
  faultsSurvived(`
    ${damaged}
    const { address } = m;
    m.unmap();
    assert.equal(m.state, 'unmapped');
    assert.equal(b.length, 0);
    await assertTold(errors, m.faults, m);
    assert.equal(showsFile(path), false);
    assert.deepEqual(memmap.registry.verify(), []);
    assert.equal(memmap.guardStatus().mappings.length, 0);
    assert.throws(() => m.flushSync(), { code: 'ERR_MEMMAP_UNMAPPED' });
    // A new mapping, wherever it lies, starts without damage.
    const fresh = memmap.mapFileSync(path, { address, access: 'read-write' });
    assert.deepEqual(fresh.faults, []);
    assert.equal(isAll(fresh.buffer, 97), true);
    fresh.flushSync();
    assert.equal(fs.readFileSync(path).equals(same.subarray(0, 2 * PAGE)), true);
  `));

test('replace of the whole forgets the damage: the same Buffer shows the new contents', () =>
  faultsSurvived(`
    ${damaged}
    const next = scratch(Buffer.alloc(8 * PAGE, 'n'));
    m.replace({ file: next, access: 'read-write' });
    assert.equal(isAll(b, 110), true);
    assert.deepEqual(m.faults, []);
    await turn();
    assert.equal(errors.length, 1);
    b[3 * PAGE] = 1;
    m.flushSync();
    assert.equal(fs.readFileSync(next)[3 * PAGE], 1);
    assert.equal(fs.statSync(path).size, 2 * PAGE);
    // The guard looks after what is there now.
    truncate(next, PAGE);
    assert.equal(b[4 * PAGE], 0);
    const faults = assertLost(m, 4 * PAGE, 5 * PAGE);
    await turn();
    assert.equal(errors.length, 2);
    assertFaultError(errors[1], faults[0], m);
    m.replace({ anonymous: 8 * PAGE });
    assert.equal(isAll(b, 0), true);
    assert.deepEqual(m.faults, []);
    assert.throws(() => m.replace({ file: path }), { code: 'ERR_MEMMAP_RANGE' });
  `));

const refusals: Record<string, string> = {
  'resize, longer': 'm.resize(16 * PAGE)',
  'resize, shorter': 'm.resize(4 * PAGE)',
  "advise('dontneed')": "m.advise('dontneed')",
  "protect('read')": "m.protect('read')",
  "protect('read') of a lost part": "m.protect('read', { offset: 5 * PAGE, length: 1 })",
  "protect('none')": "m.protect('none')",
  'sys.mprotect(PROT_READ)': 'memmap.sys.mprotect(m.address, 8 * PAGE, memmap.constants.PROT_READ)',
  'sys.madvise(MADV_DONTNEED) of lost pages':
    'memmap.sys.madvise(m.address + BigInt(3 * PAGE), PAGE, memmap.constants.MADV_DONTNEED)',
  'sys.mremap, longer':
    'memmap.sys.mremap(m.address, 8 * PAGE, 16 * PAGE, memmap.constants.MREMAP_MAYMOVE)',
  'sys.mremap, shorter': 'memmap.sys.mremap(m.address, 8 * PAGE, 4 * PAGE, 0)',
  'sys.mremap to another place': `memmap.sys.mremap(m.address, 8 * PAGE, 8 * PAGE,
    memmap.constants.MREMAP_MAYMOVE | memmap.constants.MREMAP_FIXED, memmap.mapAnonymous(8 * PAGE).address,
    { replace: memmap.registry.mappings() })`,
  'sys.munmap of a part': 'memmap.sys.munmap(m.address + BigInt(4 * PAGE), PAGE, { replace: m })',
  'sys.munmap of an undamaged part': 'memmap.sys.munmap(m.address, PAGE, { replace: m })',
  'sys.mmap over an undamaged part': `memmap.sys.mmap(m.address, PAGE, memmap.constants.PROT_READ,
    memmap.constants.MAP_PRIVATE | memmap.constants.MAP_ANONYMOUS | memmap.constants.MAP_FIXED, -1, 0, { replace: m })`,
  'sys.mremap of an undamaged part': `memmap.sys.mremap(m.address, PAGE, 4 * PAGE,
    memmap.constants.MREMAP_MAYMOVE, undefined, { replace: m })`,
  'sys.mmap over a part': `memmap.sys.mmap(m.address + BigInt(4 * PAGE), PAGE, memmap.constants.PROT_READ,
    memmap.constants.MAP_PRIVATE | memmap.constants.MAP_ANONYMOUS | memmap.constants.MAP_FIXED, -1, 0, { replace: m })`,
};

for (const [name, call] of Object.entries(refusals)) {
  test(`${name} of a damaged mapping: the fault, and nothing is changed`, () =>
    faultsSurvived(`
      ${damaged}
      assert.throws(() => ${call}, isFault(m));
      intact();
      assert.equal(fs.statSync(path).size, 2 * PAGE);
      truncate(path, 8 * PAGE);
      await m.repair();
      assert.equal(fs.readFileSync(path).equals(same), true);
      // A repaired one is as good as any.
      ${call};
      assert.deepEqual(memmap.registry.verify(), []);
    `));
}

test('advice that only hints, residency and lock are taken', () =>
  faultsSurvived(`
    ${damaged}
    for (const advice of ['normal', 'random', 'sequential', 'willneed']) m.advise(advice);
    m.advise('dontneed', { offset: 0, length: 2 * PAGE });
    assert.equal(m.residency().pages, 8);
    m.lock({ offset: 0, length: PAGE });
    m.unlock({ offset: 0, length: PAGE });
    intact();
  `));

test('sys.munmap of the whole takes it', () =>
  faultsSurvived(`
    ${damaged}
    memmap.sys.munmap(m.address, 8 * PAGE, { replace: m });
    assert.equal(m.state, 'unmapped');
    assert.equal(b.length, 0);
    assert.equal(showsFile(path), false);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('sys.mmap over the whole takes its place: no damage is left to the new one', () =>
  faultsSurvived(`
    ${damaged}
    const { PROT_READ, MAP_SHARED, MAP_FIXED } = memmap.constants;
    const next = scratch(Buffer.alloc(8 * PAGE, 'n'));
    const fd = fs.openSync(next, 'r');
    const n = memmap.sys.mmap(m.address, 8 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0, { replace: m });
    assert.equal(m.state, 'replaced');
    assert.equal(b.length, 0);
    assert.equal(isAll(n.buffer, 110), true);
    assert.deepEqual(n.faults, []);
    n.flushSync();
    await assertTold(errors, m.faults, m);
  `));

test('protect of lost pages that were read-only all along: they follow', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    const modes = () => [0, 3, 6].map((page) => regionAt(m.address + BigInt(page * PAGE)).mode.slice(0, 3));
    truncate(path, 2 * PAGE);
    assert.equal(b.indexOf('b'), -1);
    assert.deepEqual(modes(), ['r--', 'r--', 'r--']);
    m.protect('none', { offset: 4 * PAGE, length: 4 * PAGE });
    assert.deepEqual(modes(), ['r--', 'r--', '---']);
    assert.equal(b.length, 0);
    m.protect('read');
    assert.deepEqual(modes(), ['r--', 'r--', 'r--']);
    assert.equal(m.buffer.equals(cutBytes(2 * PAGE, 8 * PAGE)), true);
    m.protect('none', { offset: 6 * PAGE, length: PAGE });
    await assertTold(errors, assertLost(m, 2 * PAGE, 8 * PAGE), m);
    fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'n'));
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.deepEqual(modes(), ['r--', 'r--', '---']);
    assert.equal(m.protection, 'mixed');
    m.protect('read');
    assert.equal(isAll(m.buffer, 110), true);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('protect of pages beside the lost ones is taken', () =>
  faultsSurvived(`
    ${damaged}
    m.protect('read', { offset: 0, length: 2 * PAGE });
    assert.equal(regionAt(m.address).mode, 'r--s');
    m.protect('read-write', { offset: PAGE, length: 7 * PAGE });
    b[PAGE] = 1;
    same[PAGE] = 1;
    intact();
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path).equals(same), true);
    assert.equal(m.protection, 'mixed');
  `));

const goodbyes: Record<string, string> = {
  unmap: 'm.unmap();',
  dispose: 'm[Symbol.dispose]();',
  replace: 'm.replace({ anonymous: 8 * PAGE });',
  'sys.munmap': 'memmap.sys.munmap(m.address, 8 * PAGE, { replace: m });',
  'sys.mmap over it': `memmap.sys.mmap(m.address, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0,
    { replace: m });`,
  'sys.mremap over it': `memmap.sys.mremap(memmap.mapAnonymous(8 * PAGE).address, 8 * PAGE, 8 * PAGE,
    MREMAP_MAYMOVE | MREMAP_FIXED, m.address, { replace: m });`,
  "protect('none')": "m.protect('none');",
};

for (const [name, call] of Object.entries(goodbyes)) {
  test(`${name} right after a fault: it is still told`, () =>
    faultsSurvived(`
      const { PROT_READ, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MREMAP_MAYMOVE, MREMAP_FIXED } = memmap.constants;
      const path = scratch(8 * PAGE);
      const m = memmap.mapFileSync(path);
      const errors = listen(m);
      const b = m.buffer;
      const where = { address: m.address + BigInt(5 * PAGE), offset: 5 * PAGE, fileOffset: BigInt(5 * PAGE) };
      truncate(path, PAGE);
      assert.equal(b[5 * PAGE], 0);
      ${call}
      // Too late for what was not collected before the pages went, and soon enough for the rest.
      m.faults;
      await turn();
      assert.equal(errors.length, 1);
      assertFaultError(errors[0], { ...errors[0], ...where, count: 1, length: PAGE, signal: 'SIGBUS' }, m);
    `));
}

test('collected with a fault pending: it is an uncaught exception', () =>
  faultsSurvived(
    `
    const path = scratch(8 * PAGE);
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    let m = memmap.mapFileSync(path);
    m.buffer;
    await turn();
    await turn();
    truncate(path, PAGE);
    (() => { assert.equal(m.buffer[5 * PAGE], 0); })();
    m = undefined;
    await collectUntil(() => !showsFile(path), 'the mapping is gone');
    await turn();
    assert.equal(thrown.length, 1);
    const [error] = thrown;
    assert.deepEqual([error.code, error.kind, error.offset], ['ERR_MEMMAP_FAULT', 'truncated', 5 * PAGE]);
  `,
    withGc,
  ));

test('a mapping whose fault was told can be collected, and leaves nothing behind', () =>
  faultsSurvived(
    `
    const path = scratch(8 * PAGE);
    let before = Infinity;
    let told = 0;
    const live = (round) => {
      fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'a'));
      const m = memmap.mapFileSync(path, { access: round % 2 === 0 ? 'read-write' : 'copy-on-write' });
      m.on('fault', () => told++);
      const b = m.buffer;
      truncate(path, 0);
      b[3 * PAGE];
      b[5 * PAGE] = 1;
      assert.equal(m.faults.length, 2);
    };
    for (let round = 0; round < 50; round++) {
      live(round);
      await turn();
      // What the guard itself needs comes with its first mapping.
      if (round === 0) before = regions().length;
    }
    await collectUntil(() => !showsFile(path), 'every mapping is gone');
    assert.equal(told, 100);
    assert.deepEqual(memmap.registry.mappings(), []);
    assert.deepEqual(memmap.registry.verify(), []);
    assert.deepEqual(memmap.guardStatus().mappings, []);
    // Not one region for each of a hundred faults.
    assert.ok(regions().length < before + 60, regions().length + ' regions, before ' + before);
  `,
    withGc,
  ));

test('held by its fault until that is told, and by nothing after', () =>
  faultsSurvived(
    `
    const path = scratch(8 * PAGE);
    let m = memmap.mapFileSync(path);
    let error;
    m.on('fault', (given) => { error = given; });
    m.buffer;
    await turn();
    truncate(path, PAGE);
    (() => { m.buffer[5 * PAGE]; m.faults; })();
    m = undefined;
    gc();
    await turn();
    await turn();
    // The listener was called although nobody else held its mapping; the error holds it now.
    assert.equal(error.mapping.faults.length, 1);
    assert.equal(showsFile(path), true);
    error = undefined;
    await collectUntil(() => !showsFile(path), 'the mapping is gone');
  `,
    withGc,
  ));
