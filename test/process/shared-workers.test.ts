// Shared memory in worker threads, as mappings of their own and as one SharedArrayBuffer; locks beside it between processes.
import { namesLeft, removeNames } from '../helpers/shared';
import { shares } from '../helpers/shared-program';
import { testWhere } from './program';

afterAll(() => {
  expect(removeNames()).toEqual([]);
  expect(namesLeft()).toEqual([]);
});

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const since: Record<number, number> = { 22: 23, 24: 21, 26: 7 };
const canShare = major > 26 || minor >= (since[major] ?? Infinity);
const testShared = testWhere(
  canShare,
  `Node ${process.versions.node} has no external SharedArrayBuffers`,
);

testShared('a worker gets the bytes of named memory, and they wake one another', () =>
  shares(`
    const shm = SharedMemory.create(newName('sab'), { size: 2 * PAGE });
    const m = shm.map();
    const words = new Int32Array(m.sharedArrayBuffer);
    const worker = startWorker(\`
      const words = new Int32Array(workerData);
      Atomics.add(words, 5, 7);
      parentPort.postMessage('here');
      for (let turn = 0; turn < 50; turn++) {
        if (Atomics.wait(words, 0, 2 * turn, 20_000) === 'timed-out') throw new Error('nobody woke me');
        Atomics.store(words, 0, 2 * turn + 2);
        Atomics.notify(words, 0);
      }
      parentPort.postMessage('done');
    \`, m.sharedArrayBuffer);
    assert.deepEqual(await once(worker, 'message'), ['here']);
    // Another process sees the same words.
    const other = node('const m = SharedMemory.open(argv[0]).map(); say(String(m.buffer.readInt32LE(20))); m.buffer.writeInt32LE(99, 24);', [shm.name]);
    assert.equal(await other.next(), '7');
    for (let turn = 0; turn < 50; turn++) {
      Atomics.store(words, 0, 2 * turn + 1);
      Atomics.notify(words, 0);
      while (Atomics.load(words, 0) !== 2 * turn + 2) Atomics.wait(words, 0, 2 * turn + 1, 10);
    }
    assert.deepEqual(await once(worker, 'message'), ['done']);
    assert.deepEqual(await worker.ended, [0]);
    await until(() => words[6] === 99, 'the other process wrote');
    m.unmap();
    assert.equal(words[6], 0);
    shm.unlink();
  `),
);

testShared('memory that is sealed and without a name is shared so too', () =>
  shares(`
    const shm = SharedMemory.create(null, { size: PAGE });
    const shared = shm.map().sharedArrayBuffer;
    const worker = startWorker('const m = memmap.SharedMemory.fromFd(workerData.fd).map(); m.write(0, "by map"); new Uint8Array(workerData.shared)[6] = 33;', { fd: shm.fd, shared });
    assert.deepEqual(await worker.ended, [0]);
    assert.equal(Buffer.from(shared).toString('latin1', 0, 7), 'by map!');
  `),
);

testWhere(!canShare, 'this Node has the call')('a Node without the call says which have it', () =>
  shares(`
    const shm = SharedMemory.create(null, { size: PAGE });
    const m = shm.map();
    assert.throws(() => m.sharedArrayBuffer, { code: 'ERR_MEMMAP_UNSUPPORTED', message: /22\\.23, 24\\.21, 26\\.7/ });
    m.buffer.write('works');
  `),
);

test('workers that are terminated leave no descriptor and no name', () =>
  shares(`
    const name = newName('worker');
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const source = 'const shm = memmap.SharedMemory.create(workerData, { size: 100, lifetime: "processes", exclusive: false }); shm.map(); parentPort.postMessage(1); for (;;) memmap.SharedMemory.open(workerData).close();';
    const warm = startWorker(source, name);
    await once(warm, 'message');
    await warm.terminate();
    const before = open();
    for (let round = 0; round < 5; round++) {
      const workers = [startWorker(source, name), startWorker(source, name)];
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      for (const worker of workers) await worker.terminate();
    }
    await until(() => !there(name), 'the name is gone');
    assert.equal(open(), before);
  `));

test('a lock of a forked child is that of the child, and goes with it', () =>
  shares(`
    const path = scratch(1000);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    fs.writeFileSync(join(folder, 'locker.cjs'), 'const memmap = require(' + JSON.stringify(entry) + ');'
      + 'const m = memmap.mapFileSync(process.argv[2], { access: "read-write", offset: 100 });'
      + 'let lock; process.on("message", (kind) => { lock?.unlock(); lock = undefined;'
      + 'try { lock = m.lockFile(kind, { length: 10 }); process.send("locked"); } catch (error) { process.send(error.code); } });');
    const child = fork(join(folder, 'locker.cjs'), [path], { execArgv: [] });
    started.push(child);
    const asked = async (kind) => { child.send(kind); return (await once(child, 'message'))[0]; };
    const ours = m.lockFile('shared', { offset: 105, length: 1 });
    assert.equal(await asked('exclusive'), 'EAGAIN');
    assert.equal(await asked('shared'), 'locked');
    assert.throws(() => m.lockFile('exclusive', { offset: 109, length: 1 }), { code: 'EAGAIN', syscall: 'fcntl' });
    m.lockFile('exclusive', { offset: 110 }).unlock();
    ours.unlock();
    assert.equal(await asked('exclusive'), 'locked');
    const waiting = m.lockFile('exclusive', undefined, { wait: true, timeout: 20_000 });
    child.kill('SIGKILL');
    const lock = await waiting;
    assert.equal(lock.held, true);
    lock.unlock();
  `));
