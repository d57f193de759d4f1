// Memory that is not ours: V8's, libc's, the stack's, another thread's. Refused before the kernel is called.
import { survives, withGc } from './program';

const calls = `
const {
  PROT_NONE, PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MREMAP_MAYMOVE, MREMAP_FIXED,
  MADV_DONTNEED, MS_SYNC,
} = memmap.constants;
const own = memmap.mapAnonymous(PAGE);
const kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
const calls = {
  mmap: (at, length) => memmap.sys.mmap(at, length, PROT_READ | PROT_WRITE, kind, -1, 0, { replace: own }),
  munmap: (at, length) => memmap.sys.munmap(at, length, { replace: own }),
  mprotect: (at, length) => memmap.sys.mprotect(at, length, PROT_NONE),
  madvise: (at, length) => memmap.sys.madvise(at, length, MADV_DONTNEED),
  msync: (at, length) => memmap.sys.msync(at, length, MS_SYNC),
  mlock: (at, length) => memmap.sys.mlock(at, length),
  munlock: (at, length) => memmap.sys.munlock(at, length),
  mincore: (at, length) => memmap.sys.mincore(at, length),
  'mremap from': (at, length) => memmap.sys.mremap(at, length, length, MREMAP_MAYMOVE),
  'mremap to': (at) => memmap.sys.mremap(
    own.address, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at, { replace: own }),
};
function refusesAll(at, length, what) {
  for (const [name, call] of Object.entries(calls)) {
    assert.throws(() => call(at, length), { code: 'ERR_MEMMAP_FOREIGN' }, name + ' ' + what);
  }
}
`;

test("V8's heap", () =>
  survives(
    `
    ${calls}
    gc();
    const before = new Set(regions().map(({ start }) => start));
    // 400 kB each: too large for a page of V8's, so each has a region that lives as long as the array.
    const heap = Array.from({ length: 100 }, (_, i) => Array.from({ length: 50_000 }, (_, j) => i + j / 2));
    gc();
    const grown = regions().filter(
      ({ start, mode, length }) => !before.has(start) && mode === 'rw-p' && length >= 400_000);
    assert.ok(grown.length > 0);
    const answers = grown.map((region) => {
      try {
        refusesAll(region.start, PAGE, region.name);
        refusesAll(region.start, region.length, region.name);
        return { region };
      } catch (error) {
        return { region, error };
      }
    });
    // A collection in between may have given some of them back.
    const after = new Set(regions().map(({ start }) => start));
    const lasting = answers.filter(({ region }) => after.has(region.start));
    assert.ok(lasting.length > 0);
    for (const { error } of lasting) assert.ifError(error);
    assert.equal(heap.every((array, i) => array.every((value, j) => value === i + j / 2)), true);
  `,
    withGc,
  ));

test('libc, the stack, the program itself', () =>
  survives(`
    ${calls}
    const parts = {
      libc: ({ name }) => /\\/(libc[.-]|ld-musl)/.test(name),
      stack: ({ name }) => name === '[stack]',
      heap: ({ name }) => name === '[heap]',
      node: ({ name }) => name === fs.realpathSync(process.execPath),
      addon: ({ name }) => /memmap.*\\.node$/.test(name),
    };
    for (const [what, is] of Object.entries(parts)) {
      const found = regions().filter(is);
      assert.ok(found.length > 0, what);
      for (const { start, length } of found) refusesAll(start, Math.min(length, 16 * PAGE), what);
    }
  `));

test('every region of the process that is not ours, and all of them at once', () =>
  survives(`
    ${calls}
    const isOwn = (region) => region.start <= own.address && own.address < region.end;
    let refused = 0;
    for (const region of regions()) {
      // The kernel may have joined our pages with a neighbour's; above user space it has only [vsyscall].
      if (isOwn(region) || region.start >= 2n ** 63n) continue;
      refusesAll(region.start, PAGE, region.name);
      refused++;
    }
    assert.ok(refused > 50);
    refusesAll(BigInt(PAGE), 2n ** 47n - BigInt(2 * PAGE), 'everything');
    const bytes = Buffer.alloc(2 ** 26, 1);
    assert.equal(bytes[2 ** 26 - 1], 1);
  `));

test('from our own page into a neighbour', () =>
  survives(`
    ${calls}
    const worker = startWorker(\`
      parentPort.once('message', (address) => {
        const m = memmap.mapAnonymous(memmap.pageSize, { address, placement: 'exclusive' });
        m.buffer.fill(7);
        parentPort.once('message', () => parentPort.postMessage(m.buffer.every((byte) => byte === 7)));
        parentPort.postMessage('ready');
      });
      parentPort.postMessage('started');
    \`);
    await once(worker, 'message');
    const three = memmap.mapAnonymous(3 * PAGE);
    const [below, middle] = [0, 1].map((page) => three.address + BigInt(page * PAGE));
    memmap.sys.munmap(middle, PAGE, { replace: three });
    worker.postMessage(middle);
    await once(worker, 'message');
    const views = three.parts.map((part) => part.buffer.fill(9));
    for (const name of ['mmap', 'munmap', 'mprotect', 'madvise', 'msync', 'mlock', 'munlock', 'mincore']) {
      assert.throws(() => calls[name](below, 2 * PAGE), { code: 'ERR_MEMMAP_FOREIGN' }, name);
      assert.throws(() => calls[name](middle, 2 * PAGE), { code: 'ERR_MEMMAP_FOREIGN' }, name);
      assert.throws(() => calls[name](below, 3 * PAGE), { code: 'ERR_MEMMAP_FOREIGN' }, name);
    }
    assert.equal(views.every((view) => view.length === PAGE && isAll(view, 9)), true);
    worker.postMessage('check');
    assert.deepEqual(await once(worker, 'message'), [true]);
  `));

test("another worker's mapping, and what it left", () =>
  survives(`
    ${calls}
    const worker = startWorker(\`
      const m = memmap.mapAnonymous(4 * memmap.pageSize);
      m.buffer.fill(7);
      parentPort.on('message', () => { parentPort.postMessage(m.buffer.every((byte) => byte === 7)); parentPort.close(); });
      parentPort.postMessage(m.address);
    \`);
    const [address] = await once(worker, 'message');
    assert.equal(memmap.registry.at(address), undefined);
    refusesAll(address, 4 * PAGE, 'of a worker');
    refusesAll(address + BigInt(PAGE), PAGE, 'of a worker');
    assert.throws(
      () => memmap.mapAnonymous(PAGE, { address, placement: 'exclusive' }), { code: 'EEXIST', syscall: 'mmap' });
    worker.postMessage('check');
    assert.deepEqual(await once(worker, 'message'), [true]);
    await worker.ended;
    if (regionAt(address) !== undefined) refusesAll(address, PAGE, 'retired');
  `));
