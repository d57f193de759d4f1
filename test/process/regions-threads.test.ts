// Stacks and arenas: found where the threads themselves, and malloc's own records, say that they are.
import { survives } from './program';

const kit = `
const all = () => memmap.addressSpace.regions();
const ofKind = (kind) => all().filter(({ owner }) => owner.kind === kind);
const idle = 'parentPort.postMessage(0); setInterval(() => undefined, 1000);';
async function startIdle(source = idle) {
  const worker = startWorker(source);
  const [message] = await once(worker, 'message');
  return { worker, message };
}
const threads = () => fs.readdirSync('/proc/self/task').map(Number);
`;

test('every thread has a stack with a guard below it, and workers bring theirs', () =>
  survives(`${kit}
    const before = ofKind('thread-stack').length;
    const workers = [await startIdle(), await startIdle(), await startIdle()];
    const listed = all();
    const stacks = listed.filter(({ owner }) => owner.kind === 'thread-stack');
    assert.equal(stacks.length, before + 3);
    for (const { start, length, protection, owner } of stacks) {
      assert.equal(protection, 'read-write');
      assert.ok(length >= 8 * PAGE, String(length));
      const guard = listed.find(({ end }) => end === start);
      assert.equal(guard.protection, 'none');
      assert.equal(guard.owner.kind, 'guard');
      assert.equal(guard.owner.certain, owner.certain);
      if (owner.certain) assert.equal(guard.owner.label, 'guard of ' + owner.label);
    }
    const known = threads();
    for (const { owner } of stacks.filter(({ owner }) => owner.certain)) {
      assert.match(owner.label, /^thread stack \\d+$/);
      assert.ok(known.includes(Number(owner.label.split(' ')[2])), owner.label);
    }
    assert.ok(stacks.some(({ owner }) => owner.certain));
    assert.equal(ofKind('stack').length, 1);
    assert.equal(ofKind('stack')[0].path, '[stack]');
    for (const { worker } of workers) await worker.terminate();
    // Their names are gone with them; glibc keeps the memory for the next thread.
    const left = threads();
    for (const { owner } of ofKind('thread-stack').filter(({ owner }) => owner.certain)) {
      assert.ok(left.includes(Number(owner.label.split(' ')[2])), owner.label);
    }
  `));

test('a thread finds its own stack pointer in its own stack', () =>
  survives(`${kit}
    const source = "const text = require('node:fs').readFileSync('/proc/thread-self/syscall', 'latin1').trim();"
      + "const thread = Number(require('node:fs').readlinkSync('/proc/thread-self').split('/').at(-1));"
      + "const pointer = BigInt(text.split(' ').at(-2));"
      + "const own = memmap.addressSpace.regions().find(({ start, end }) => start <= pointer && pointer < end);"
      + "parentPort.postMessage({ pointer, thread, label: own.owner.label, certain: own.owner.certain });"
      + "setInterval(() => undefined, 1000);";
    const { worker, message } = await startIdle(source);
    assert.deepEqual([message.label, message.certain], ['thread stack ' + message.thread, true]);
    // And so does another thread, once this one waits.
    await turn();
    const seen = memmap.addressSpace.query(message.pointer).owner;
    assert.equal(seen.kind, 'thread-stack');
    await worker.terminate();
  `));

test('the stack of a thread that never waits is a guess', () =>
  survives(`${kit}
    const before = ofKind('thread-stack').length;
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const worker = startWorker('Atomics.store(workerData, 0, 1); for (;;) if (Atomics.load(workerData, 0) === 2) break;', flag);
    while (Atomics.load(flag, 0) === 0) await turn();
    assert.equal(ofKind('thread-stack').length, before + 1);
    Atomics.store(flag, 0, 2);
    await worker.ended;
  `));

test('an arena of malloc begins with its own record, which points into one', () =>
  survives(`${kit}
    const musl = !process.report.getReport().header.glibcVersionRuntime;
    const workers = await Promise.all(Array.from({ length: 3 }, () => startIdle()));
    const arenas = ofKind('libc-arena');
    if (musl) {
      assert.deepEqual(arenas, []);
    } else {
      assert.ok(arenas.length > 0);
      const memory = fs.openSync('/proc/self/mem', 'r');
      const heads = arenas.filter(({ start, protection }) => start % 2n ** 26n === 0n && protection === 'read-write');
      assert.equal(heads.length * 2, arenas.length);
      assert.equal(arenas.reduce((sum, { length }) => sum + length, 0), heads.length * 2 ** 26);
      for (const { start } of heads) {
        const pointer = Buffer.alloc(8);
        fs.readSync(memory, pointer, 0, 8, start);
        assert.equal(memmap.addressSpace.query(pointer.readBigUInt64LE()).owner.kind, 'libc-arena');
      }
    }
    for (const { worker } of workers) await worker.terminate();
  `));
