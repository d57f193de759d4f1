// Threads that want the same addresses at the same time. Whoever has a page has it alone, until it gives it back.
import { survives } from './program';

const rounds = 1500;

test('exclusive placement at one address, from four threads', () =>
  survives(
    `
    const workers = Array.from({ length: 4 }, (_, i) => startWorker(\`
      const { once } = require('node:events');
      parentPort.postMessage('ready');
      const [{ address, id }] = await once(parentPort, 'message');
      const PAGE = memmap.pageSize;
      const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MADV_DONTNEED } = memmap.constants;
      const kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
      const mine = Buffer.alloc(4 * PAGE, id);
      const found = Buffer.alloc(4 * PAGE);
      const counts = { had: 0, EEXIST: 0, ERR_MEMMAP_FOREIGN: 0, ENOMEM: 0, EINVAL: 0 };
      const mustBe = (m, bytes) => { if (!m.read(0, found).equals(bytes)) throw new Error('somebody else wrote here'); };
      for (let i = 0; i < ${rounds}; i++) {
        let m;
        const at = address + BigInt((i % 16) * 2 * PAGE);
        try {
          m = memmap.mapAnonymous(4 * PAGE, { address: at, placement: 'exclusive' });
        } catch (error) {
          counts[error.code]++;
          // What another thread has there, or has had, is not ours to change.
          for (const call of [
            () => memmap.sys.madvise(at, 4 * PAGE, MADV_DONTNEED),
            () => memmap.sys.mprotect(at, 4 * PAGE, PROT_READ),
            () => memmap.sys.mmap(at, 4 * PAGE, PROT_READ, kind, -1, 0),
          ]) {
            try { call(); throw new Error('it was let through'); } catch (error) { if (!(error.code in counts)) throw error; counts[error.code]++; }
          }
          continue;
        }
        counts.had++;
        m.write(0, mine);
        mustBe(m, mine);
        const over = memmap.sys.mmap(at, 4 * PAGE, PROT_READ | PROT_WRITE, kind, -1, 0, { replace: m });
        mustBe(over, Buffer.alloc(4 * PAGE));
        over.write(0, mine);
        if (i % 50 === 0) over.buffer[0] = id;
        mustBe(over, mine);
        over.unmap();
      }
      parentPort.postMessage(counts);
    \`));
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    // Where no thread's own memory lies by now; far from where the kernel puts what comes later.
    const block = memmap.mapAnonymous(64 * PAGE, { address: 0x20_0000_0000 });
    const { address } = block;
    block.unmap();
    workers.forEach((worker, i) => worker.postMessage({ address, id: i + 1 }));
    const all = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    await Promise.all(workers.map(({ ended }) => ended));
    const sum = (name) => all.reduce((total, counts) => total + counts[name], 0);
    assert.ok(sum('had') > 50, JSON.stringify(all));
    assert.equal(all.every((counts) => Object.values(counts).every(Number.isInteger)), true, JSON.stringify(all));
    assert.deepEqual(memmap.registry.verify(), []);
  `,
    { timeout: 50_000 },
  ));

test('a page read by one thread through a shared file, while others map and unmap it', () =>
  survives(`
    const path = scratch(64 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const workers = Array.from({ length: 3 }, () => startWorker(\`
      let count = 0;
      do {
        const m = memmap.mapFileSync(workerData.path, { access: 'read-write' });
        Atomics.add(new Int32Array(m.buffer.buffer, m.buffer.byteOffset, 1), 0, 1);
        if (++count % 2) m.unmap();
        if (count === 200) parentPort.postMessage('warm');
      } while (Atomics.load(workerData.stop, 0) === 0);
      parentPort.postMessage(count);
    \`, { path, stop }));
    const words = new Int32Array(m.buffer.buffer, m.buffer.byteOffset, 1);
    const before = Atomics.load(words, 0);
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const counts = workers.map(async (worker) => (await once(worker, 'message'))[0]);
    Atomics.store(stop, 0, 1);
    const made = (await Promise.all(counts)).reduce((a, b) => a + b);
    const start = Buffer.from('aaaa').readInt32LE();
    assert.equal(Atomics.load(words, 0), start + made);
    assert.ok(before >= start && made >= 600);
  `));
