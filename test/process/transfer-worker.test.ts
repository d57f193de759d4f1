// A transferred buffer in one thread while the thread that made it, or the one that has it, dies.
import { survives, testTransfer, withGc } from './program';

const endings = {
  terminated: 'await worker.terminate();',
  'ending by itself': "worker.postMessage('end'); await worker.ended;",
  'calling process.exit': "worker.postMessage('exit'); await worker.ended;",
};
const onOrder = `
parentPort.on('message', (order) => {
  if (order === 'end') parentPort.close();
  if (order === 'exit') process.exit();
});
`;

for (const [how, end] of Object.entries(endings)) {
  testTransfer(`made in a worker, which dies (${how}) while the main thread has it`, () =>
    survives(
      `
      const path = scratch(64 * PAGE);
      const worker = startWorker(\`
        const m = memmap.mapFileSync(workerData, { access: 'read-write' });
        const moved = m.buffer.buffer.transfer();
        parentPort.postMessage(moved, [moved]);
        ${onOrder}
      \`, path);
      const [buffer] = await once(worker, 'message');
      const bytes = new Uint8Array(buffer);
      assert.equal(isAll(bytes, 97), true);
      ${end}
      assert.equal(showsFile(path), false);
      for (let round = 0; round < 20; round++) {
        gc();
        await turn();
        assert.equal(isAll(bytes, round), true);
        bytes.fill(round + 1);
        memmap.mapAnonymous(64 * PAGE).buffer.fill(255);
      }
      assert.equal(isAll(fs.readFileSync(path), 97), true);
    `,
      withGc,
    ),
  );

  testTransfer(
    `made in the main thread, unmapped while the worker has it, which dies (${how})`,
    () =>
      survives(
        `
      const path = scratch(64 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      // This one never loads the addon.
      const worker = new Worker(\`
        const { parentPort } = require('node:worker_threads');
        let bytes;
        const sum = () => bytes.reduce((total, byte) => total + byte, 0);
        parentPort.on('message', (order) => {
          if (typeof order === 'object') bytes = new Uint8Array(order);
          if (order === 'end') return parentPort.close();
          if (order === 'exit') process.exit();
          parentPort.postMessage(sum());
        });
      \`, { eval: true });
      worker.ended = once(worker, 'exit');
      const moved = m.buffer.buffer.transfer();
      worker.postMessage(moved, [moved]);
      assert.equal((await once(worker, 'message'))[0], 97 * 64 * PAGE);
      m.unmap();
      assert.equal(showsFile(path), false);
      worker.postMessage('sum');
      assert.equal((await once(worker, 'message'))[0], 0);
      ${end}
      for (let round = 0; round < 20; round++) {
        gc();
        await turn();
        memmap.mapAnonymous(64 * PAGE).buffer.fill(255);
      }
    `,
        withGc,
      ),
  );
}

testTransfer('unmapped while another thread reads and writes it without a pause', () =>
  survives(`
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const path = scratch(256 * PAGE);
    const reader = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads');
      parentPort.once('message', (buffer) => {
        const words = new Int32Array(buffer);
        let sum = 0;
        while (Atomics.load(workerData, 0) === 0) {
          for (let i = 0; i < words.length; i += 16) { sum += words[i]; words[i] = words[i]; }
          Atomics.add(workerData, 1, 1);
          Atomics.notify(workerData, 1);
        }
        parentPort.close();
      });
    \`, { eval: true, workerData: stop });
    const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
    const moved = m.buffer.buffer.transfer();
    reader.postMessage(moved, [moved]);
    const lap = () => Atomics.wait(stop, 1, Atomics.load(stop, 1));
    for (let i = 0; i < 3; i++) lap();
    m.unmap();
    for (let i = 0; i < 3; i++) lap();
    const others = Array.from({ length: 100 }, () => memmap.mapAnonymous(256 * PAGE));
    for (const other of others) other.buffer.fill(1);
    lap();
    for (const other of others) assert.equal(isAll(other.buffer, 1), true);
    Atomics.store(stop, 0, 1);
    await once(reader, 'exit');
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `),
);
