// Several copies of the package in one process: a second module registry, other vm contexts, both. Each treats the memory of
// the others as foreign, and none of them takes it along when it goes.
import { survives, withGc } from './program';

const second = `
// What a test runner or a bundler does: the modules once more, over the same addon.
function loadAgain() {
  for (const path of Object.keys(require.cache)) if (path.startsWith(join(entry, '..'))) delete require.cache[path];
  return require(entry);
}
const { PROT_NONE, PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MADV_DONTNEED } = memmap.constants;
`;

const refusals = `
function treatsAsForeign(other, m) {
  const own = other.mapAnonymous(PAGE);
  const kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const calls = {
    mmap: () => other.sys.mmap(m.address, PAGE, PROT_READ, kind, -1, 0, { replace: own }),
    munmap: () => other.sys.munmap(m.address, PAGE, { replace: own }),
    mprotect: () => other.sys.mprotect(m.address, PAGE, PROT_NONE),
    madvise: () => other.sys.madvise(m.address, PAGE, MADV_DONTNEED),
    mincore: () => other.sys.mincore(m.address, PAGE),
  };
  for (const [name, call] of Object.entries(calls)) assert.throws(call, { code: 'ERR_MEMMAP_FOREIGN' }, name);
  assert.throws(() => other.sys.munmap(m.address, PAGE, { replace: m }), { code: 'ERR_MEMMAP_ARGUMENT' });
  assert.throws(() => other.Mapping.prototype.unmap.call(m), { code: 'ERR_MEMMAP_ARGUMENT' });
  assert.throws(
    () => other.mapAnonymous(PAGE, { address: m.address, placement: 'exclusive' }), { code: 'EEXIST', syscall: 'mmap' });
  assert.equal(other.registry.at(m.address), undefined);
  assert.equal(isAll(m.buffer, 9), true);
  own.unmap();
}
`;

test('the second registry, and the first from the second', () =>
  survives(`
    ${second}
    ${refusals}
    const mine = memmap.mapAnonymous(PAGE);
    mine.buffer.fill(9);
    const again = loadAgain();
    assert.notEqual(again.Mapping, memmap.Mapping);
    const theirs = again.mapAnonymous(PAGE);
    theirs.buffer.fill(9);
    treatsAsForeign(again, mine);
    treatsAsForeign(memmap, theirs);
    mine.unmap();
    assert.equal(isAll(theirs.buffer, 9), true);
    theirs.unmap();
    assert.deepEqual([...memmap.registry.verify(), ...again.registry.verify()], []);
  `));

test('also when the addon itself is loaded once more', () =>
  survives(`
    ${second}
    ${refusals}
    const mine = memmap.mapAnonymous(PAGE);
    mine.buffer.fill(9);
    const others = Array.from({ length: 20 }, () => {
      for (const path of Object.keys(require.cache)) delete require.cache[path];
      return require(entry);
    });
    for (const other of others) treatsAsForeign(other, mine);
    const kept = others.map((other) => other.mapAnonymous(PAGE).buffer.fill(3));
    assert.equal(kept.every((view) => isAll(view, 3)), true);
  `));

test('a registry that is dropped: its mappings go by garbage collection', () =>
  survives(
    `
    ${second}
    const path = scratch(PAGE);
    (() => {
      const again = loadAgain();
      again.mapFileSync(path).buffer[0];
    })();
    loadAgain();
    await collectUntil(() => !showsFile(path), 'unmapped');
  `,
    withGc,
  ));

test('vm contexts: options, ranges, buffers and signals of another realm', () =>
  survives(`
    const vm = require('node:vm');
    const context = vm.createContext({ memmap, path: scratch(4 * PAGE), PAGE, AbortController });
    const found = vm.runInContext(\`
      (() => {
        const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
        const bytes = m.read(0, new Uint8Array(10));
        m.write(0, new Uint16Array([1, 2]));
        m.flushSync({ offset: PAGE });
        const view = new DataView(m.buffer.buffer);
        const before = view.getUint8(0);
        m.unmap();
        let after;
        try { after = view.getUint8(0); } catch (error) { after = error.name; }
        return [bytes[9], before, after];
      })()
    \`, context);
    assert.deepEqual([...found], [97, 1, 'TypeError']);
    const m = memmap.mapAnonymous(4 * PAGE);
    const signal = vm.runInContext('new AbortController()', context).signal;
    await m.flush({}, { signal });
  `));

test('vm contexts that load the package, and are dropped', () =>
  survives(
    `
    const vm = require('node:vm');
    const { createRequire } = require('node:module');
    const paths = Array.from({ length: 10 }, () => scratch(PAGE));
    const load = () => {
      const again = createRequire(entry);
      for (const name of Object.keys(again.cache)) delete again.cache[name];
      return again(entry);
    };
    for (const path of paths) {
      const context = vm.createContext({ load, path });
      vm.runInContext('globalThis.package = load(); globalThis.kept = package.mapFileSync(path).buffer; kept[0]', context);
    }
    // The last context that ran is held by Node itself.
    await collectUntil(() => paths.filter(showsFile).length <= 1, 'unmapped');
    assert.equal(memmap.mapFileSync(paths[0]).buffer[0], 97);
  `,
    withGc,
  ));

test('two registries in each of several workers', () =>
  survives(`
    const path = scratch(PAGE);
    const workers = Array.from({ length: 6 }, () => startWorker(\`
      const first = memmap;
      for (const name of Object.keys(require.cache)) delete require.cache[name];
      const second = require(\${JSON.stringify(entry)});
      const mine = first.mapFileSync(workerData);
      const theirs = second.mapFileSync(workerData);
      theirs.buffer[0];
      let code;
      try { second.sys.munmap(mine.address, 1, { replace: theirs }); } catch (error) { code = error.code; }
      parentPort.postMessage(code);
    \`, path));
    const codes = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    assert.deepEqual(new Set(codes), new Set(['ERR_MEMMAP_FOREIGN']));
    await Promise.all(workers.map(({ ended }) => ended));
    assert.equal(showsFile(path), false);
  `));

test('what is loaded late belongs to the registry that asked for it', () =>
  survives(`
    const first = memmap;
    const shared = first.mapAnonymous(PAGE, { shared: true });
    for (const name of Object.keys(require.cache)) delete require.cache[name];
    const second = require(entry);
    const other = second.mapAnonymous(PAGE, { shared: true });
    for (const [own, mapping, stranger] of [[second, other, shared], [first, shared, other]]) {
      assert.equal(own.wait(mapping, 0, 1), 'not-equal');
      new own.Mutex(mapping).lock().unlock();
      assert.equal(own.reserve(PAGE).place(0, { anonymous: PAGE }).length, PAGE);
      assert.throws(() => own.notify(stranger, 0), { code: 'ERR_MEMMAP_ARGUMENT' });
    }
    assert.notEqual(first.wait, second.wait);
    // By its path a module is that of whoever is in the cache.
    assert.equal(require(require('node:path').join(entry, '../shared/wait.js')).wait, second.wait);
  `));
