// Cells in every situation that could make the kernel's list of them wrong: each in a child, which must live and end well.
import { join } from 'node:path';
import { Scratch } from '../helpers/files';
import { robustAddon } from '../helpers/robust';
import { runProgram, survives, testWhere, withGc } from './program';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const { addon, isThere } = robustAddon(scratch);
const testC = testWhere(isThere, 'no C compiler');

const dist = join(__dirname, '..', '..', 'dist', 'shared');

/** In scope: cells(mapping, count), and the C library's own mutexes at addresses. */
const tools = `
const { Cell } = require(${JSON.stringify(join(dist, 'cell.js'))});
const { sleep, sleepLater } = require(${JSON.stringify(join(dist, 'futex.js'))});
const shared = (path, size = 64 * PAGE) =>
  memmap.mapFileSync(path ?? scratch(size), { access: 'read-write' });
const cells = (mapping, count, from = 0) => Array.from({ length: count }, (_, i) => new Cell(mapping, from + 64 * i));
const blank = (size = 64 * PAGE) => scratch(Buffer.alloc(size));
const load = () => require(${JSON.stringify(addon)});
// How many locks the kernel would find for this thread.
const walk = () => load()(3n, 0n);
const shuffled = (list) => list.map((each) => [Math.random(), each]).sort((a, b) => a[0] - b[0]).map(([, each]) => each);
// What another process finds, once this one is dead: taken with its last words.
const ask = (path, offsets) => JSON.parse(require('node:child_process').execFileSync(process.execPath, ['-e',
  'const memmap = require(' + JSON.stringify(entry) + '); const { Cell } = require(' + ${JSON.stringify(JSON.stringify(join(dist, 'cell.js')))} + ');'
  + 'const m = memmap.mapFileSync(' + JSON.stringify(path) + ', { access: "read-write" });'
  + 'console.log(JSON.stringify(' + JSON.stringify(offsets) + '.map((offset) => new Cell(m, offset).state())))'], { encoding: 'utf8' }));
// A process that runs the source and is then killed, or ends itself.
async function dies(source, path, how = 'SIGKILL', env = {}) {
  const head = ${JSON.stringify('')} + 'const memmap = require(' + JSON.stringify(entry) + '); const { Cell } = require(' + ${JSON.stringify(JSON.stringify(join(dist, 'cell.js')))} + ');'
    + 'const load = () => require(' + JSON.stringify(${JSON.stringify(addon)}) + ');'
    + 'const m = memmap.mapFileSync(' + JSON.stringify(path) + ', { access: "read-write" });'
    + 'const cells = (mapping, count, from = 0) => Array.from({ length: count }, (_, i) => new Cell(mapping, from + 64 * i));';
  const child = require('node:child_process').spawn(process.execPath, ['-e', head + source + ';console.log("done");setInterval(() => {}, 1000);'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const ended = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  assert.equal(String(line), 'done\\n');
  child.kill(how);
  assert.deepEqual(await ended, [null, how]);
}
`;

const run = (source: string, options = {}) => survives(`${tools}\n${source}`, options);

test('taken and left in every order, through two environments of a thread and those of others', () =>
  run(`
    const path = blank();
    const first = cells(shared(path), 50);
    // The same addon, another registry: what a test runner does.
    for (const name of Object.keys(require.cache)) if (name.endsWith('.js')) delete require.cache[name];
    const again = require(entry);
    const { Cell: Other } = require(${JSON.stringify(join(dist, 'cell.js'))});
    assert.notEqual(Other, Cell);
    const mapping = again.mapFileSync(path, { access: 'read-write' });
    const second = Array.from({ length: 50 }, (_, i) => new Other(mapping, 8192 + 64 * i));
    const worker = startWorker(\`
      const { Cell } = require(${JSON.stringify(join(dist, 'cell.js'))});
      const m = memmap.mapFileSync(workerData, { access: 'read-write' });
      const mine = Array.from({ length: 50 }, (_, i) => new Cell(m, 16384 + 64 * i));
      for (const cell of mine) if (cell.take() !== 'taken') throw new Error('not free');
      parentPort.postMessage(1);
    \`, path);
    await once(worker, 'message');
    for (let round = 0; round < 20; round++) {
      const all = shuffled([...first, ...second]);
      for (const cell of all) assert.equal(cell.take(), 'taken');
      for (const cell of shuffled(all)) cell.leave();
    }
    for (const cell of shuffled([...first, ...second])) cell.take();
    await worker.ended;
    const theirs = cells(shared(path), 50, 16384);
    assert.deepEqual(new Set(theirs.map((cell) => cell.state())), new Set(['died']));
    assert.deepEqual(new Set(first.map((cell) => cell.state())), new Set(['held']));
    for (const cell of shuffled([...first, ...second])) cell.leave();
  `));

const endings: Record<string, string> = {
  'by itself': 'parentPort.close()',
  'by process.exit': 'process.exit(7)',
  'by an exception': "throw new Error('on order')",
  'terminated in a loop': 'parentPort.postMessage(2); for (;;);',
  'terminated in a wait': 'parentPort.postMessage(2); memmap.wait(m, 4096, 0)',
  'terminated in a lock': 'parentPort.postMessage(2); new memmap.Mutex(m, 8192).lock()',
};
for (const [how, end] of Object.entries(endings)) {
  test(`a worker that ends ${how} with held cells, some of them forgotten`, () =>
    run(
      `
      const path = blank();
      const mapping = shared(path);
      const guard = new memmap.Mutex(mapping, 8192).lock();
      const worker = startWorker(\`
        const { Cell } = require(${JSON.stringify(join(dist, 'cell.js'))});
        const m = memmap.mapFileSync(workerData, { access: 'read-write' });
        for (let i = 0; i < 100; i++) if (new Cell(m, 64 * i + (i >= 64 ? 16384 : 0)).take() !== 'taken') throw new Error('not free');
        // A sleeper that nobody will ever wake.
        memmap.waitAsync(m, 12288, 0, { ref: false }).catch(() => {});
        await new Promise(setImmediate);
        ${end};
      \`, path);
      worker.on('error', () => {});
      worker.ended.catch(() => {});
      const exit = new Promise((resolve) => worker.once('exit', resolve));
      const first = await Promise.race([exit, once(worker, 'message').catch(() => {})]);
      worker.terminate();
      await exit;
      gc();
      const found = [...cells(mapping, 64), ...cells(mapping, 36, 16384 + 4096)];
      assert.deepEqual(new Set(found.map((cell) => cell.state())), new Set(['died']));
      for (const cell of shuffled(found)) { assert.equal(cell.take(), 'inherited'); }
      for (const cell of shuffled(found)) cell.leave();
      guard.unlock();
    `,
      withGc,
    ));
}

test('2000 are held by a thread, in any order, and not one more; the kernel finds all of them', () =>
  run(`
    const path = blank(64 * 2001);
    const mapping = shared(path);
    const all = cells(mapping, 2001);
    const last = all.pop();
    for (const cell of shuffled(all)) assert.equal(cell.take(), 'taken');
    assert.throws(() => last.take(), { code: 'ERR_MEMMAP_NO_ROOM' });
    for (const cell of shuffled(all)) cell.leave();
    assert.equal(last.take(), 'taken');
    last.leave();
    await dies('for (const cell of cells(m, 2000)) cell.take();', path);
    for (const cell of shuffled(all)) assert.equal(cell.take(), 'inherited');
    for (const cell of shuffled(all)) cell.leave();
  `));

test('guards and mappings that nobody can reach are not collected', () =>
  run(
    `
    const path = blank();
    (() => { for (const cell of cells(shared(path), 20)) cell.take(); })();
    (() => { new memmap.Mutex(shared(path), 8192).lock(); })();
    (() => { cells(shared(path), 1); })();
    const mapped = () => regions().filter(({ name }) => name === path).length;
    assert.equal(mapped(), 3);
    await collectUntil(() => mapped() < 3, 'a mapping without cells that are held');
    for (let i = 0; i < 20; i++) { gc(); await turn(); }
    assert.equal(mapped(), 2);
    const again = shared(path);
    assert.deepEqual(new Set(cells(again, 20).map((cell) => cell.state())), new Set(['held']));
    assert.throws(() => new memmap.Mutex(again, 8192).lock(), { code: 'ERR_MEMMAP_BUSY' });
  `,
    withGc,
  ));

test('unmapped, replaced and resized by those who listen', () =>
  run(`
    const path = blank();
    const mapping = shared(path);
    const mutex = new memmap.Mutex(mapping, 0);
    const stop = new AbortController();
    stop.signal.addEventListener('abort', () => mapping.unmap());
    const waits = Array.from({ length: 200 }, (_, i) => memmap.waitAsync(mapping, 4096 + 4 * (i % 7), 0));
    const late = memmap.waitAsync(mapping, 8192, 0, { signal: stop.signal });
    const all = Promise.allSettled([late, ...waits]);
    stop.abort(new Error('enough'));
    const [first, ...rest] = await all;
    assert.equal(first.reason.message, 'enough');
    for (const { status, reason } of rest) {
      assert.deepEqual([status, reason.code], ['rejected', 'ERR_MEMMAP_UNMAPPED']);
    }
    assert.throws(() => mutex.lock(), { code: 'ERR_MEMMAP_UNMAPPED' });

    const other = shared(path);
    const own = new memmap.Mutex(other, 0);
    own.lock();
    const next = own.lockAsync();
    other.on('replace', () => other.unmap());
    assert.throws(() => other.replace({ anonymous: other.length }), { code: 'ERR_MEMMAP_BUSY' });
    own.unlock();
    (await next).unlock();
    const asleep = memmap.waitAsync(other, 128, 0);
    other.replace({ anonymous: other.length });
    await assert.rejects(asleep, { code: 'ERR_MEMMAP_UNMAPPED' });
  `));

testC('mutexes of the C library before, between and behind the cells, in every order', () =>
  run(`
    const path = blank();
    const mapping = shared(path);
    const call = load();
    const ours = cells(mapping, 12);
    const theirs = Array.from({ length: 12 }, (_, i) => {
      const at = mapping.address + BigInt(8192 + 64 * i);
      assert.equal(call(0n, at), 0);
      return { take: () => { assert.equal(call(1n, at), 0); return 'taken'; }, leave: () => assert.equal(call(2n, at), 0) };
    });
    const before = walk();
    for (let round = 0; round < 300; round++) {
      const all = shuffled([...ours, ...theirs]).slice(0, 1 + (round % 24));
      let held = before;
      for (const lock of all) { assert.equal(lock.take(), 'taken'); assert.equal(walk(), ++held); }
      const order = shuffled(all);
      // Some are let go, taken again at the front, and let go once more.
      for (const lock of order.slice(0, 3)) { lock.leave(); assert.equal(walk(), held - 1); lock.take(); assert.equal(walk(), held); }
      for (const lock of shuffled(all)) { lock.leave(); assert.equal(walk(), --held); }
    }
    assert.equal(walk(), before);
  `),
);

testC('of a process that dies, every lock is found: ours and those of C', () =>
  run(`
    const path = blank();
    const offsets = Array.from({ length: 40 }, (_, i) => 64 * i);
    for (let round = 0; round < 3; round++) {
      await dies(\`
        const call = load();
        const mine = cells(m, 40);
        for (let i = 0; i < 40; i++) {
          if (i % 3 === 0) { call(0n, m.address + BigInt(64 * i)); call(1n, m.address + BigInt(64 * i)); }
          else mine[i].take();
        }
        for (let i = 0; i < 40; i += 5) {
          if (i % 3 === 0) call(2n, m.address + BigInt(64 * i));
          else mine[i].leave();
        }
      \`, path, round === 1 ? 'SIGABRT' : 'SIGKILL');
      assert.deepEqual(ask(path, offsets), offsets.map((_, i) => (i % 5 === 0 ? 'free' : 'died')));
      for (const cell of cells(shared(path), 40)) if (cell.take() !== 'held') cell.leave();
    }
  `),
);

testC('a process that becomes another program lets go of everything', () =>
  run(`
    const path = blank();
    const offsets = [0, 64, 128];
    const child = require('node:child_process').spawn(process.execPath, ['-e', \`
      const memmap = require(\${JSON.stringify(entry)});
      const m = memmap.mapFileSync(\${JSON.stringify(path)}, { access: 'read-write' });
      for (const offset of [0, 64, 128]) new memmap.Mutex(m, offset).lock();
      console.log('held');
      process.stdin.once('data', () => require(${JSON.stringify(addon)})(4n, 0n));
    \`], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    assert.deepEqual(ask(path, offsets), ['held', 'held', 'held']);
    const waiting = new memmap.Mutex(shared(path), 64).lockAsync();
    child.stdin.write('now');
    const guard = await waiting;
    assert.equal(guard.ownerDied, true);
    // It has another name, and is as alive as before.
    assert.equal(child.exitCode, null);
    while (fs.readFileSync('/proc/' + child.pid + '/comm', 'utf8') !== 'sleep\\n') await turn();
    assert.equal(child.exitCode, null);
    child.kill('SIGKILL');
    assert.deepEqual(ask(path, [0, 128]), ['died', 'died']);
  `),
);

testC('garbage over cells that are held, and over free ones, hurts nobody', () =>
  run(`
    const path = blank();
    const mapping = shared(path);
    const { buffer } = mapping;
    const before = walk();
    let corrupt = 0;
    for (let round = 0; round < 300; round++) {
      buffer.fill(0, 0, 4096);
      const all = shuffled(cells(mapping, 20));
      for (const cell of all) assert.equal(cell.take(), 'taken');
      const wild = [0n, 1n, 8n, 0xffffffffffffffffn, 0x8000000000000000n, 0x4141414141414141n, mapping.address, mapping.address + 64n,
        mapping.address + 95n, BigInt(Math.floor(Math.random() * 2 ** 47))];
      const pick = () => wild[Math.floor(Math.random() * wild.length)];
      for (const cell of all.slice(0, 5)) {
        const at = cell.spot.offset;
        if (round % 3 !== 1) buffer.writeBigUInt64LE(pick(), at + 24);
        if (round % 3 !== 2) buffer.writeBigUInt64LE(pick(), at + 32);
        if (round % 7 === 0) for (let i = 0; i < 64; i++) buffer[at + i] = Math.random() * 256;
      }
      for (const cell of shuffled(all)) {
        try { cell.leave(); } catch (error) { assert.equal(error.code, 'ERR_MEMMAP_CORRUPT'); corrupt++; }
      }
      assert.equal(walk(), before);
      // What is there now may say anything: it is taken, or held for ever, and no more.
      for (let i = 0; i < 4096; i++) buffer[i] = Math.random() * 256;
      for (const cell of cells(mapping, 20)) { if (cell.take() !== 'held') cell.leave(); cell.expectWaiters(); cell.state(); }
      assert.equal(walk(), before);
    }
    assert.ok(corrupt > 0);
  `),
);

test('who dies with garbage in its list still leaves the locks in front of it', () =>
  run(`
    const path = blank();
    await dies(\`
      const mine = cells(m, 10);
      for (const cell of mine) cell.take();
      m.buffer.writeBigUInt64LE(0x4141414141414141n, 64 * 4 + 32);
      m.buffer.writeBigUInt64LE(0xffffffffffffffffn, 64 * 4 + 24);
    \`, path);
    const states = ask(path, Array.from({ length: 10 }, (_, i) => 64 * i));
    assert.deepEqual(states.slice(4), states.slice(4).map(() => 'died'));
    // Those behind it are lost, and a waiter says so in time instead of for ever.
    assert.throws(() => new memmap.Mutex(shared(path), 0).lock({ timeout: 20 }), { code: 'ERR_MEMMAP_TIMEOUT' });
  `));

for (const [what, deny] of Object.entries({
  "a list of our own, with musl's places": 'robust_list',
  'one sleeper a thread': 'futex_waitv',
})) {
  test(`everything with ${what}`, () =>
    run(
      `
      const path = blank();
      const mapping = shared(path);
      const all = cells(mapping, 30);
      for (let round = 0; round < 20; round++) {
        for (const cell of shuffled(all)) assert.equal(cell.take(), 'taken');
        for (const cell of shuffled(all)) cell.leave();
      }
      assert.deepEqual([...all[3].words], [0, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0]);
      const deny = { MEMMAP_DENY: ${JSON.stringify(deny)} };
      await dies('for (const cell of cells(m, 30)) cell.take();', path, 'SIGKILL', deny);
      for (const cell of all) assert.equal(cell.take(), 'inherited');
      for (const cell of all) cell.leave();
      const waits = Array.from({ length: 60 }, (_, i) => memmap.waitAsync(mapping, 8192 + 4 * (i % 5), 0));
      const stopped = memmap.waitAsync(mapping, 8192, 0, { timeout: 1 });
      const gone = shared(path);
      const lost = memmap.waitAsync(gone, 8192, 0);
      gone.unmap();
      await assert.rejects(lost, { code: 'ERR_MEMMAP_UNMAPPED' });
      await stopped;
      for (let i = 0; i < 5; i++) { Atomics.store(new Int32Array(mapping.buffer.buffer), 2048 + i, 1); memmap.notify(mapping, 8192 + 4 * i); }
      assert.deepEqual(new Set(await Promise.all(waits)), new Set(['ok']));
      await assert.rejects(memmap.waitAsync(mapping, 64, 0, { signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
      mapping.unmap();
    `,
      { env: { MEMMAP_DENY: deny } },
    ));
}

describe('a file that a peer cuts short', () => {
  test('is a FaultError for who locks in it, and for who sleeps on it', () =>
    run(`
      const path = blank();
      const mapping = shared(path);
      mapping.on('fault', () => {});
      const mutex = new memmap.Mutex(mapping, 8192);
      mutex.lock().unlock();
      const asleep = assert.rejects(memmap.waitAsync(mapping, 16384, 0), { code: 'EFAULT', syscall: 'futex' });
      fs.truncateSync(path, 4096);
      assert.throws(() => mutex.lock(), { code: 'ERR_MEMMAP_FAULT', kind: 'truncated' });
      assert.equal(mutex.held, false);
      assert.throws(() => mutex.tryLock(), { code: 'ERR_MEMMAP_FAULT' });
      await assert.rejects(mutex.lockAsync(), { code: 'ERR_MEMMAP_FAULT' });
      // Who sleeps is in the kernel's books of the old page, and looks when somebody else comes.
      await Promise.allSettled([memmap.waitAsync(mapping, 0, 0, { timeout: 1 })]);
      await asleep;
      fs.truncateSync(path, 64 * PAGE);
      await mapping.repair();
      mutex.lock().unlock();
    `));

  test('while it is locked is no end of the program', () =>
    run(`
      const path = blank();
      const mapping = shared(path);
      mapping.on('fault', () => {});
      const mutexes = [0, 8192, 8256].map((offset) => new memmap.Mutex(mapping, offset));
      for (const mutex of mutexes) mutex.lock();
      fs.truncateSync(path, 4096);
      assert.throws(() => mutexes[1].unlock(), { code: 'ERR_MEMMAP_CORRUPT' });
      mutexes[0].unlock();
      assert.throws(() => mutexes[2].unlock(), { code: 'ERR_MEMMAP_CORRUPT' });
      assert.throws(() => mutexes[0].lock(), { code: 'ERR_MEMMAP_FAULT' });
    `));

  test('under a thread that ends with locks in it, without the guard too, is no end of the process', () =>
    run(`
      for (const end of ['process.exit(0)', 'parentPort.close()', 'for (;;);']) {
        const path = blank();
        const worker = startWorker(\`
          const { Cell } = require(${JSON.stringify(join(dist, 'cell.js'))});
          const m = memmap.mapFileSync(workerData, { access: 'read-write', guard: false });
          const mine = Array.from({ length: 128 }, (_, i) => new Cell(m, 64 * i));
          for (const cell of mine) cell.take();
          require('node:fs').truncateSync(workerData, 4096);
          parentPort.postMessage(1);
          await new Promise(setImmediate);
          \${end};
        \`, path);
        await once(worker, 'message');
        if (end.startsWith('for')) await worker.terminate();
        else await worker.ended;
        assert.deepEqual(new Set(cells(shared(path), 64).map((cell) => cell.state())), new Set(['died']));
      }
      // And under the main thread, in the end of this very process.
      const last = blank();
      const unguarded = memmap.mapFileSync(last, { access: 'read-write', guard: false });
      for (const cell of cells(unguarded, 128)) cell.take();
      fs.truncateSync(last, 4096);
    `));

  test('without the guard it is SIGBUS, as the documentation says', async () => {
    const { code, signal } = await runProgram(`${tools}
      const path = blank();
      const mapping = memmap.mapFileSync(path, { access: 'read-write', guard: false });
      const mutex = new memmap.Mutex(mapping, 8192);
      fs.truncateSync(path, 4096);
      mutex.lock();
    `);
    expect([code, signal]).toEqual([null, 'SIGBUS']);
  });
});
