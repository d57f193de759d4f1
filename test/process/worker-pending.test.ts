// A thread that ends, or a process that exits, while calls on the thread pool work on its mappings.
import { runProgram, survives } from './program';

const calls: Record<string, string> = {
  flush: 'm.flush()',
  prefetch: 'm.prefetch()',
  lockAsync: 'm.lockAsync()',
  readAsync: 'm.readAsync(0, m.length)',
  writeAsync: 'm.writeAsync(0, Buffer.alloc(m.length, 98))',
  mapFile: "memmap.mapFile(path, { access: 'snapshot' })",
  'mapFile populated': "memmap.mapFile(path, { access: 'read-write', populate: true })",
};

const work = (call: string) => `
  const m = memmap.mapFileSync(path, { access: 'read-write' });
  m.buffer.fill(98);
  const pending = Array.from({ length: 8 }, () => ${call});
  for (const promise of pending) promise.catch(() => {});
`;

const endings: Record<string, string> = {
  terminated: 'await worker.terminate();',
  'by process.exit': "worker.postMessage('exit'); await worker.ended;",
};

for (const [name, call] of Object.entries(calls)) {
  for (const [how, end] of Object.entries(endings)) {
    test(`${name} pending in a worker that ends ${how}`, () =>
      survives(`
        const path = scratch(16 * 2 ** 20);
        for (let i = 0; i < 3; i++) {
          const worker = startWorker(\`
            const path = workerData;
            parentPort.on('message', () => process.exit());
            ${work(call)}
            parentPort.postMessage(1);
          \`, path);
          await once(worker, 'message');
          ${end}
          assert.equal(showsFile(path), false);
        }
        assert.equal(isAll(memmap.mapFileSync(path).buffer, 98), true);
      `));
  }

  test(`${name} pending at process.exit`, async () => {
    const { code, signal, stderr } = await runProgram(`
      const path = scratch(16 * 2 ** 20);
      ${work(call)}
      process.exit(42);
    `);
    expect({ code, signal, stderr }).toEqual({ code: 42, signal: null, stderr: '' });
  });
}
