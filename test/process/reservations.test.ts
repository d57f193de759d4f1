// The lives of reservations and arenas: dropped, in workers, at exit, beside fork, at the kernel's limits.
import { amount, itLong } from '../helpers/amount';
import { expectClean } from '../helpers/child';
import { faultsSurvived } from '../helpers/faults';
import { runProgram, survives, testTransfer, withGc } from './program';

/** How much of a range is not mapped by anybody, and whether all of it is inaccessible. */
const prelude = `
const inRange = (address, length) => regions().filter(({ start, end }) => start < address + BigInt(length) && end > address);
const isReserved = (address, length) => inRange(address, length).every(({ mode }) => mode === '---p')
  && inRange(address, length).reduce((sum, { start, end }) => sum + Number((end < address + BigInt(length) ? end : address + BigInt(length)) - (start > address ? start : address)), 0) === length;
// Where the kernel puts nothing unasked: what is mapped there is ours.
let next = 0x20_0000_0000n;
const apart = () => ({ address: (next += 0x1_0000_0000n), placement: 'exclusive' });
const isGone = (address, length) => inRange(address, length).every(({ mode }) => mode !== '---p');
const MEMORY = { anonymous: PAGE };
`;

test('a dropped reservation is released, with what is placed in it', () =>
  survives(
    `${prelude}
    const path = scratch(PAGE);
    let r = memmap.reserve(64 * PAGE, apart());
    const { address } = r;
    r.place(0, { file: path });
    r.place(PAGE, MEMORY);
    await turn();
    r = undefined;
    await collectUntil(() => !showsFile(path) && isGone(address, 64 * PAGE), 'the reservation is gone');
    assert.deepEqual(memmap.registry.mappings(), []);
    assert.equal(memmap.registry.at(address), undefined);
  `,
    withGc,
  ));

test('a reservation lives as long as a Buffer of its view, and keeps what is placed', () =>
  survives(
    `${prelude}
    let r = memmap.reserve(4 * PAGE);
    const { address } = r;
    r.place(0, { file: scratch(PAGE) });
    r.place(PAGE, MEMORY).write(0, Buffer.from('b'));
    let view = r.view(0, PAGE + 1);
    r = undefined;
    for (let i = 0; i < 20; i++) { gc(); await turn(); }
    assert.equal(view[0], 97);
    assert.equal(view[PAGE], 98);
    assert.equal(memmap.registry.mappings().length, 2);
    view = undefined;
    await collectUntil(() => memmap.registry.mappings().length === 0, 'both are gone');
    assert.ok(memmap.registry.at(address) === undefined);
  `,
    withGc,
  ));

test('what is placed outlives a dropped reservation, and is then a mapping like any other', () =>
  survives(
    `${prelude}
    const path = scratch(3 * PAGE);
    const { address, m } = (() => { const r = memmap.reserve(16 * PAGE, apart()); return { address: r.address, m: r.place(PAGE, { file: path }) }; })();
    await collectUntil(() => memmap.registry.at(address) === undefined, 'the reservation is released');
    assert.equal(m.buffer[0], 97);
    assert.ok(isGone(address, 16 * PAGE));
    m.unmap();
    assert.deepEqual(memmap.registry.verify(), []);
  `,
    withGc,
  ));

test('an arena has the pages of dropped mappings again, and outlives none of its own', () =>
  survives(
    `${prelude}
    let arena = memmap.addressSpace.arena({ size: 16 * PAGE });
    for (let i = 0; i < 16; i++) memmap.mapAnonymous(PAGE, { arena });
    await collectUntil(() => arena.stats().mappings === 0, 'no mapping is left');
    assert.equal(arena.stats().largestFree, 16 * PAGE);
    assert.ok(isReserved(arena.address, 16 * PAGE));
    const m = memmap.mapAnonymous(PAGE, { arena });
    m.buffer[0] = 5;
    const { address } = arena;
    arena = undefined;
    await collectUntil(() => memmap.registry.at(address + BigInt(PAGE)) === undefined, 'the arena is gone');
    assert.equal(m.buffer[0], 5);
    m.unmap();
  `,
    withGc,
  ));

test(
  'placements and as many vacated ranges leave no trace',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(64 * PAGE);
    const path = scratch(PAGE);
    const before = regions().length;
    for (let i = 0; i < ${String(amount(20_000, 200_000))}; i++) {
      const at = (i % 64) * PAGE;
      if (i % 1000 === 0) r.place(at, { file: path }); else r.place(at, MEMORY);
      if (i % 3 === 0) r.vacate(at, PAGE); else r.layout === undefined || memmap.registry.at(r.address + BigInt(at)).unmap();
    }
    assert.ok(isReserved(r.address, 64 * PAGE));
    assert.ok(regions().length <= before + 1000, before + ' ' + regions().length);
    assert.deepEqual(memmap.registry.verify(), []);
  `,
      { timeout: 90_000 },
    ),
  100_000,
);

itLong(
  'pages that were seen through a Buffer are inaccessible after some seconds',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(4 * PAGE);
    // A function of its own: what is in its registers is gone when it returns.
    const use = (m) => { m.buffer[0] = 1; m.unmap(); };
    for (let i = 0; i < 4; i++) use(r.place(i * PAGE, MEMORY));
    const arena = memmap.addressSpace.arena({ size: 4 * PAGE });
    for (let i = 0; i < 4; i++) use(memmap.mapAnonymous(PAGE, { arena }));
    assert.equal(isReserved(r.address, 4 * PAGE), false);
    assert.throws(() => memmap.mapAnonymous(3 * PAGE, { arena, populate: true, address: 1 }), { code: 'ERR_MEMMAP_ARGUMENT' });
    for (let i = 0; i < 10; i++) { gc(); await turn(); }
    // The timer that gives retired pages back does not keep a process alive.
    const until = Date.now() + 30000;
    while (!isReserved(r.address, 4 * PAGE) || arena.stats().free < 4 * PAGE) {
      assert.ok(Date.now() < until, JSON.stringify(arena.stats()) + inRange(r.address, 4 * PAGE).map(({ mode }) => mode));
      await new Promise((resolve) => setTimeout(resolve, 200));
      gc();
    }
    assert.equal(arena.stats().largestFree, 4 * PAGE);
    assert.deepEqual(memmap.registry.verify(), []);
  `,
      { ...withGc, timeout: 60_000 },
    ),
  70_000,
);

test.each(['returns', 'is terminated', 'throws'])(
  'a worker that %s leaves no reservation behind',
  (how) =>
    survives(`${prelude}
    const worker = startWorker(\`
      const PAGE = memmap.pageSize;
      globalThis.r = memmap.reserve(1024 * PAGE, { guardPages: 2, address: 0x20_0000_0000, placement: 'exclusive' });
      globalThis.a = memmap.addressSpace.arena({ size: 1024 * PAGE, address: 0x30_0000_0000, placement: 'exclusive' });
      const path = workerData.path;
      r.place(0, { file: path }); r.place(PAGE, { anonymous: PAGE }); r.place(3 * PAGE, { file: path }).unmap();
      globalThis.view = r.view(0, 2 * PAGE);
      globalThis.m = memmap.mapFileSync(path, { arena: a });
      globalThis.b = m.buffer;
      globalThis.late = memmap.mapAnonymous(PAGE, { arena: a });
      late.buffer[0] = 1; late.unmap();
      parentPort.postMessage([r.address, a.address]);
      if (workerData.how === 'is terminated') setInterval(() => view[0]++, 0);
      if (workerData.how === 'throws') throw new Error('on purpose');
    \`, { path: scratch(PAGE), how: ${JSON.stringify(how)} });
    worker.ended.catch(() => undefined);
    const exited = new Promise((resolve) => worker.on('exit', resolve));
    worker.on('error', (error) => assert.equal(error.message, 'on purpose'));
    // Not once(): what it throws may be told before what it has said.
    const addresses = await new Promise((resolve) => worker.once('message', resolve));
    if (${JSON.stringify(how)} === 'is terminated') await worker.terminate(); else await exited;
    assert.equal(showsFile(join(folder, 'scratch-0')), false);
    for (const address of addresses) assert.ok(isGone(address - BigInt(2 * PAGE), 1028 * PAGE), inRange(address, 1024 * PAGE).map(({ mode }) => mode).join());
    // What may still be read by native code is all that is left: a few pages.
    const mine = memmap.mapAnonymous(PAGE, { address: addresses[0] + BigInt(8 * PAGE), placement: 'exclusive' });
    mine.unmap();
  `),
);

test('another thread cannot place anything in a reservation, nor replace what is in it', () =>
  survives(`${prelude}
    const r = memmap.reserve(4 * PAGE);
    const m = r.place(0, MEMORY);
    m.write(0, Buffer.from('mine'));
    const worker = startWorker(\`
      const { address } = workerData;
      const PAGE = memmap.pageSize;
      const { MAP_FIXED, MAP_PRIVATE, MAP_ANONYMOUS } = memmap.constants;
      const codes = [0n, BigInt(PAGE)].flatMap((by) => [
        () => memmap.sys.mmap(address + by, PAGE, 3, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        () => memmap.sys.munmap(address + by, PAGE),
        () => memmap.sys.mprotect(address + by, PAGE, 0),
        () => memmap.reserve(PAGE, { address: address + by, placement: 'exclusive' }),
      ]).map((call) => { try { call(); return 'done'; } catch (error) { return error.code; } });
      parentPort.postMessage(codes);
    \`, { address: r.address });
    const [codes] = await once(worker, 'message');
    const FOREIGN = 'ERR_MEMMAP_FOREIGN';
    assert.deepEqual(codes, [FOREIGN, FOREIGN, FOREIGN, 'EEXIST', FOREIGN, FOREIGN, FOREIGN, 'EEXIST']);
    assert.equal(m.read(0, 4).toString(), 'mine');
    await worker.ended;
    r.release();
  `));

test(
  'thread-pool work on a Buffer whose pages are vacated and placed again',
  () =>
    survives(
      `${prelude}
    const crypto = require('node:crypto');
    const SIZE = 64 * PAGE;
    const r = memmap.reserve(2 * SIZE);
    const path = scratch(SIZE);
    const jobs = [];
    const [zero, sink] = [fs.openSync('/dev/zero'), fs.openSync('/dev/null', 'w')];
    for (let round = 0; round < 40; round++) {
      const m = r.place(0, { anonymous: SIZE });
      const other = r.place(SIZE, { file: path });
      for (const bytes of [m.buffer, other.buffer, r.view(SIZE - 100, 200), r.view(0, 2 * SIZE)]) {
        jobs.push(crypto.webcrypto.subtle.digest('SHA-256', bytes).catch(() => undefined));
        jobs.push(new Promise((resolve) => fs.write(sink, bytes, resolve)));
        jobs.push(new Promise((resolve) => fs.read(zero, bytes, 0, bytes.length, 0, resolve)));
      }
      if (round % 3 === 0) await turn();
      if (round % 4 === 0) m.unmap();
      r.vacate(0, 2 * SIZE);
    }
    await Promise.all(jobs);
    r.release();
    assert.deepEqual(memmap.registry.verify(), []);
  `,
      { ...withGc, timeout: 60_000 },
    ),
  70_000,
);

testTransfer('a view that was transferred outlives vacate and release, and never crashes', () =>
  survives(
    `${prelude}
    const r = memmap.reserve(4 * PAGE);
    r.place(0, MEMORY).write(0, Buffer.from('x'));
    r.place(PAGE, { file: scratch(PAGE) });
    const kept = new Uint8Array(r.view(0, 2 * PAGE).buffer.transfer());
    r.vacate(PAGE, PAGE);
    assert.equal(kept.length, 2 * PAGE);
    assert.equal(kept[PAGE], 0);
    // Nobody could keep it from reading and writing what is placed there next.
    const again = { offset: PAGE, source: { file: scratch(PAGE) } };
    assert.throws(() => r.place(PAGE, again.source), { code: 'ERR_MEMMAP_BUSY' });
    assert.throws(() => r.placeAll([again]), { code: 'ERR_MEMMAP_BUSY' });
    r.release();
    assert.equal(kept[0] + kept[PAGE], 0);
    kept.fill(1);
    assert.deepEqual(memmap.registry.verify(), []);
  `,
    withGc,
  ),
);

test('a file that is truncated under a view of a reservation is a fault of its mapping', () =>
  faultsSurvived(`
    const path = scratch(2 * PAGE);
    const r = memmap.reserve(4 * PAGE);
    r.place(0, { anonymous: PAGE });
    const m = r.place(PAGE, { file: path });
    const view = r.view(0, 3 * PAGE);
    const met = [];
    m.on('fault', (error) => met.push([error.kind, error.offset, error.mapping === m]));
    fs.truncateSync(path, PAGE);
    assert.equal(view[2 * PAGE + 5], 0);
    await turn(); await turn();
    assert.deepEqual(met, [['truncated', PAGE, true]]);
    fs.truncateSync(path, 2 * PAGE);
    await m.repair();
    assert.deepEqual(m.faults, []);
    fs.truncateSync(path, 0);
    assert.equal(view[2 * PAGE] + view[PAGE], 0);
    r.vacate(PAGE, 2 * PAGE);
    assert.equal(view.length, 0);
    r.release();
  `));

test('where the address space is limited, nothing is half done', async () => {
  const result = await runProgram(
    `${prelude}
    const { execFileSync } = require('node:child_process');
    const size = Number(/^VmSize:\\s+(\\d+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + String(size + 2 ** 28)]);
    const lines = regions().length;
    assert.throws(() => memmap.reserve(2 ** 30), { code: 'ENOMEM', syscall: 'mmap', message: /RLIMIT_AS/ });
    assert.throws(() => memmap.addressSpace.arena({ size: 2 ** 30 }), { code: 'ENOMEM', syscall: 'mmap' });
    const r = memmap.reserve(2 ** 20, { alignment: 2 ** 20 });
    const m = r.place(0, { anonymous: 2 ** 19 });
    m.write(0, Buffer.from('x'));
    m.replace({ anonymous: 2 ** 19 });
    assert.equal(m.read(0, 1)[0], 0);
    r.release();
    assert.ok(Math.abs(regions().length - lines) < 1000);
  `,
    { timeout: 60_000 },
  );
  expectClean(result);
});

test(
  'where the kernel allows no more regions, a placement is refused and nothing is lost',
  () =>
    survives(
      `${prelude}
    const limit = Number(fs.readFileSync('/proc/sys/vm/max_map_count', 'utf8'));
    if (limit > 300000) { console.log('skipped: vm.max_map_count is ' + limit); return; }
    const r = memmap.reserve(2 * limit * PAGE);
    const path = scratch(PAGE);
    let placed = 0;
    try {
      for (; placed < limit; placed++) r.place(2 * placed * PAGE, { file: path });
      assert.fail('no limit was met');
    } catch (error) {
      assert.equal(error.code, 'ENOMEM');
      assert.match(error.message, /vm\\.max_map_count/);
    }
    assert.ok(placed > 10000, String(placed));
    const fd = fs.openSync(path);
    const pieces = Array.from({ length: 5000 }, (_, i) => ({ offset: 2 * (placed + i) * PAGE, source: { file: fd } }));
    assert.throws(() => r.placeAll(pieces), { code: 'ENOMEM' });
    assert.ok(isReserved(r.address + BigInt(2 * placed * PAGE), 10000 * PAGE));
    r.vacate(0, 2 * 15000 * PAGE);
    assert.ok(isReserved(r.address, 2 * 15000 * PAGE));
    assert.equal(r.placeAll(pieces).length, 5000);
    r.release();
    assert.ok(regions().length < 2000);
  `,
      { timeout: 120_000 },
    ),
  130_000,
);

test('process.exit in the middle of it', () =>
  survives(`
    const { spawnSync } = require('node:child_process');
    for (const ending of ['process.exit(0)', 'process.reallyExit(0)', 'process.kill(process.pid, "SIGKILL")']) {
      const source = 'const memmap = require(' + JSON.stringify(entry) + '); const r = memmap.reserve(2 ** 30);'
        + 'for (let i = 0; i < 100; i++) { r.place(2 * i * memmap.pageSize, { anonymous: memmap.pageSize }).buffer[0] = 1; }'
        + 'const view = r.view(0, 10); r.vacate(0, 2 ** 20); r.placeAll([{ offset: 0, source: { anonymous: 5 } }]);' + ending;
      const { status, signal, stderr } = spawnSync(process.execPath, ['-e', source]);
      assert.deepEqual([status, signal], ending.includes('KILL') ? [null, 'SIGKILL'] : [0, null], String(stderr));
    }
  `));
