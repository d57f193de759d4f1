// Threads that end with mappings alive: by themselves, by process.exit, terminated, by an exception.
import { amount } from '../helpers/amount';
import { survives, withGc } from './program';

const endings: Record<string, { end: string; code: number }> = {
  'by itself': { end: "worker.postMessage('close');", code: 0 },
  'by process.exit': { end: "worker.postMessage('exit');", code: 7 },
  terminated: { end: 'worker.terminate();', code: 1 },
  'terminated in a loop': {
    end: "worker.postMessage('spin'); await turn(); worker.terminate();",
    code: 1,
  },
  'by an exception': {
    end: "worker.on('error', () => {}); worker.ended.catch(() => {}); worker.postMessage('throw');",
    code: 1,
  },
};

const lives: Record<string, string> = {
  'without views': 'mine.push(memmap.mapFileSync(workerData.path))',
  'with live views':
    "mine.push(memmap.mapFileSync(workerData.path, { access: 'read-write' })); mine.push(mine[0].buffer, mine[0].view(0, 10)); mine[1][0] = 97;",
  'with retired ranges':
    'const m = memmap.mapFileSync(workerData.path); mine.push(m.buffer); m.unmap(); mine.push(memmap.mapFileSync(workerData.path))',
  'with 2000 dropped':
    'for (let i = 0; i < 2000; i++) memmap.mapFileSync(workerData.path).buffer[0]; mine.push(memmap.mapFileSync(workerData.path));',
  'with a pin': 'mine.push(memmap.mapFileSync(workerData.path).pin())',
};

for (const [life, work] of Object.entries(lives)) {
  for (const [how, { end, code }] of Object.entries(endings)) {
    test(`${life}, ending ${how}`, () =>
      survives(
        `
        const path = scratch(16 * PAGE);
        const own = memmap.mapFileSync(path, { access: 'read-write' });
        const { buffer } = own;
        for (let i = 0; i < 3; i++) {
          const worker = startWorker(\`
            const mine = [];
            ${work};
            parentPort.on('message', (order) => {
              if (order === 'close') parentPort.close();
              if (order === 'exit') process.exit(7);
              if (order === 'throw') throw new Error('on order');
              while (order === 'spin') mine[1]?.[0];
            });
            parentPort.postMessage(1);
          \`, { path });
          await once(worker, 'message');
          const exit = new Promise((resolve) => worker.once('exit', resolve));
          ${end}
          assert.equal(await exit, ${code});
          gc();
        }
        assert.equal(isAll(buffer, 97), true);
        const seen = regions().filter(({ name }) => name === path);
        assert.deepEqual(seen.map(({ start }) => start), [own.address]);
        assert.deepEqual(memmap.registry.verify(), []);
        own.unmap();
      `,
        withGc,
      ));
  }
}

test('out of heap, with live views, retired ranges and work on the thread pool', () =>
  survives(`
    const path = scratch(64 * PAGE);
    for (let i = 0; i < 2; i++) {
      const worker = new Worker(
        \`
        const memmap = require(\${JSON.stringify(entry)});
        const path = \${JSON.stringify(path)};
        const kept = [];
        for (;;) {
          const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
          kept.push(m.buffer, new Array(10_000).fill(kept));
          m.flush().catch(() => {});
          const gone = memmap.mapFileSync(path);
          kept.push(gone.buffer);
          gone.unmap();
        }
      \`,
        { eval: true, resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 } },
      );
      const [error] = await once(worker, 'error');
      assert.equal(error.code, 'ERR_WORKER_OUT_OF_MEMORY');
      if (worker.threadId !== -1) await once(worker, 'exit');
    }
    assert.equal(showsFile(path), false);
    memmap.mapFileSync(path).buffer[0];
  `));

test('twenty threads that map, share nothing and end at once', () =>
  survives(`
    const path = scratch(16 * PAGE);
    const workers = Array.from({ length: 20 }, (_, i) => startWorker(\`
      let sum = 0;
      for (let i = 0; i < ${String(amount(60, 300))}; i++) {
        const m = memmap.mapFileSync(workerData.path, { access: 'copy-on-write' });
        sum += m.buffer[i];
        m.buffer.fill(i);
        if (i % 3) m.unmap();
      }
      parentPort.postMessage(sum);
      if (workerData.i % 2) process.exit();
    \`, { path, i }));
    const sums = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    await Promise.all(workers.map(({ ended }) => ended));
    assert.deepEqual(new Set(sums), new Set([97 * ${String(amount(60, 300))}]));
    assert.equal(showsFile(path), false);
  `));
