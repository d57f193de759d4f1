// Cells whose memory goes, is written over, or names somebody else: what else the thread holds must not suffer.
import { Scratch } from '../helpers/files';
import { robustAddon } from '../helpers/robust';
import { survives, testWhere } from './program';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const { addon, isThere } = robustAddon(scratch);
const testC = testWhere(isThere, 'no C compiler');

const tools = `
const { Mutex, RwLock, Semaphore } = memmap;
const blank = () => scratch(Buffer.alloc(4 * PAGE));
const shared = (path, options) => memmap.mapFileSync(path, { access: 'read-write', ...options });
// The 64 bytes of a lock, without touching the memory.
function bytesOf(path, offset = 0) {
  const bytes = Buffer.alloc(64);
  const fd = fs.openSync(path);
  fs.readSync(fd, bytes, 0, 64, offset);
  fs.closeSync(fd);
  return bytes;
}
function overwrite(path, bytes, offset = 0) {
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, offset);
  fs.closeSync(fd);
}
// Another process with its own source, until it is killed.
async function peer(source) {
  const child = require('node:child_process').spawn(process.execPath, ['-e',
    'const memmap = require(' + JSON.stringify(entry) + ');' + source + ';console.log("done");setInterval(() => {}, 1000);'],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  assert.equal(String((await once(child.stdout, 'data'))[0]), 'done\\n');
  return async () => { child.kill('SIGKILL'); await ended; };
}
`;

const run = (source: string) => survives(`${tools}\n${source}`);

testC('a thread that may not ask for its list keeps that of the C library, and has no locks', () =>
  run(`
    for (const error of [1, 38]) {
      const path = blank();
      const mapping = shared(path);
      const call = require(${JSON.stringify(addon)});
      const kill = await peer(\`
        const assert = require('node:assert/strict');
        const call = require(${JSON.stringify(addon)});
        const mapping = memmap.mapFileSync(\${JSON.stringify(path)}, { access: 'read-write' });
        const mutex = new memmap.Mutex(mapping);
        assert.equal(call(0n, mapping.address + 1024n), 0);
        assert.equal(call(1n, mapping.address + 1024n), 0);
        assert.equal(call(5n, \${error}n), 0);
        assert.throws(() => mutex.lock(), { code: 'ERR_MEMMAP_UNSUPPORTED' });
        assert.throws(() => mutex.tryLock(), { code: 'ERR_MEMMAP_UNSUPPORTED' });
      \`);
      await kill();
      assert.equal(call(1n, mapping.address + 1024n), 130); // EOWNERDEAD
      // Of the C library's, which memmap does not know: collected while it is held, the mapping would leave its list in nothing.
      assert.equal(call(2n, mapping.address + 1024n), 0);
      assert.deepEqual(bytesOf(path), Buffer.alloc(64));
    }
  `),
);

test('a word with the number of this thread is not one that it holds', () =>
  run(`
    const path = blank();
    const mapping = shared(path);
    const held = [0, PAGE + 64].map((offset) => new Mutex(mapping, offset));
    for (const mutex of held) mutex.lock();
    // Of another PID namespace, or of a file that was copied: one of these lies as far into its page as a lock that is held.
    for (const offset of [64, 128, 2 * PAGE]) {
      new Int32Array(mapping.buffer.buffer, offset, 1)[0] = process.pid;
      const mutex = new Mutex(mapping, offset);
      assert.equal(mutex.tryLock(), undefined);
      assert.throws(() => mutex.lock({ timeout: 5 }), { code: 'ERR_MEMMAP_TIMEOUT' });
      await assert.rejects(mutex.lockAsync({ timeout: 5 }), { code: 'ERR_MEMMAP_TIMEOUT' });
    }
    // What it does hold, it knows at every address.
    const again = shared(path);
    for (const other of [mapping, again]) {
      assert.throws(() => new Mutex(other, 0).lock(), { code: 'ERR_MEMMAP_BUSY' });
      assert.throws(() => new Mutex(other, PAGE + 64).lock(), { code: 'ERR_MEMMAP_BUSY' });
    }
    for (const mutex of held) mutex.unlock();
    new Mutex(again, 0).lock().unlock();
  `));

for (const guard of [true, false]) {
  test(`locks in whole files between locks in one that was cut short, guard ${String(guard)}`, () =>
    run(`
      const whole = blank();
      const cut = blank();
      const [a, b] = [shared(whole, { guard: ${String(guard)} }), shared(cut, { guard: ${String(guard)} })];
      b.on('fault', () => {});
      const locks = [[a, 0], [b, PAGE], [a, 64], [b, PAGE + 64], [a, 128]].map(([mapping, offset]) => new Mutex(mapping, offset));
      for (const lock of locks) lock.lock();
      fs.truncateSync(cut, 0);
      for (const i of [2, 0, 4]) locks[i].unlock();
      new Mutex(a, 192).lock().unlock();
      for (const offset of [0, 64, 128]) assert.equal(bytesOf(whole, offset).readUInt32LE(0), 0);
      // Those in the cut one are let go when the process ends.
    `));
}

test('a lock that was written over and taken by another thread stays as that one has it', () =>
  run(`
    const path = blank();
    const other = blank();
    const mutex = new Mutex(shared(path));
    const guard = mutex.lock();
    overwrite(path, Buffer.alloc(64));
    const kill = await peer(\`
      const open = (path) => memmap.mapFileSync(path, { access: 'read-write' });
      new memmap.Mutex(open(\${JSON.stringify(other)})).lock();
      new memmap.Mutex(open(\${JSON.stringify(path)})).lock();
    \`);
    const before = bytesOf(path);
    assert.notEqual(before.readBigUInt64LE(32), 0n);
    assert.throws(() => guard.unlock(), { code: 'ERR_MEMMAP_CORRUPT' });
    assert.deepEqual(bytesOf(path), before);
    await kill();
    for (const each of [path, other]) {
      const next = new Mutex(shared(each)).lock();
      assert.equal(next.ownerDied, true);
      next.unlock();
    }
  `));

test('what was waited for without blocking is let go where another page of the mapping was lost', () =>
  run(`
    const ways = [
      (m) => new Mutex(m), 'lock', 'lockAsync', 'unlock',
      (m) => new Semaphore(m, { permits: 1 }), 'acquire', 'acquireAsync', 'release',
      (m) => new RwLock(m, { readers: 2 }), 'writeLock', 'readLockAsync', 'unlock',
      (m) => new RwLock(m, { readers: 2 }), 'writeLock', 'writeLockAsync', 'unlock',
      (m) => new RwLock(m, { readers: 2 }), 'readLock', 'writeLockAsync', 'unlock',
    ];
    for (let i = 0; i < ways.length; i += 4) {
      const [make, take, wait, leave] = ways.slice(i, i + 4);
      const path = blank();
      const mapping = shared(path);
      mapping.on('fault', () => {});
      const view = mapping.view(0, 2 * PAGE);
      const holder = make(shared(path, { length: PAGE }));
      const held = holder[take]();
      const waiting = make(mapping)[wait]();
      await turn();
      fs.truncateSync(path, PAGE);
      assert.equal(view[PAGE], 0);
      held[leave]();
      await assert.rejects(waiting, { code: 'ERR_MEMMAP_FAULT' }, wait);
      holder[take]({ timeout: 1000 })[leave]();
      if (holder.writeLock !== undefined) holder.writeLock({ timeout: 1000 }).unlock();
      mapping.unmap();
    }
  `));
