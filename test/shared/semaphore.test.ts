import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Mapping, Semaphore, SharedMemory, mapAnonymous } from '../../lib/index.js';

const root = join(__dirname, '..', '..');
const memory = (): Mapping => mapAnonymous(2 ** 17, { shared: true });
const code = (kind: string): Error =>
  expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }) as Error;

describe('a semaphore', () => {
  it('gives each permit once', () => {
    const mapping = memory();
    const [one, two] = [new Semaphore(mapping, { permits: 3 }), new Semaphore(mapping)];
    expect([one.available, two.available, two.permits]).toEqual([3, 3, 3]);
    const permits = [one.acquire(), two.acquire(), one.tryAcquire()];
    expect(permits.map((permit) => permit?.index).sort()).toEqual([0, 1, 2]);
    expect(permits.map((permit) => permit?.ownerDied)).toEqual([false, false, false]);
    expect([one.tryAcquire(), two.tryAcquire(), one.available]).toEqual([undefined, undefined, 0]);
    expect(() => mapping.unmap()).toThrow(code('BUSY'));
    permits[1]?.release();
    expect([one.available, one.tryAcquire()?.index]).toEqual([1, permits[1]?.index]);
    expect(() => permits[1]?.release()).toThrow(code('ARGUMENT'));
    permits[1]?.[Symbol.dispose]();
    expect(one.available).toBe(0);
  });

  it('lets nobody wait for himself, and nobody for longer than he wants', async () => {
    const mapping = memory();
    const [one, two] = [new Semaphore(mapping, { permits: 2 }), new Semaphore(mapping)];
    const permits = [one.acquire(), one.acquire()];
    expect(() => one.acquire()).toThrow(code('BUSY'));
    expect(() => two.acquire({ timeout: 5 })).toThrow(code('TIMEOUT'));
    await expect(one.acquireAsync({ timeout: 5 })).rejects.toThrow(code('TIMEOUT'));
    const stop = new AbortController();
    const waits = one.acquireAsync({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waits).rejects.toThrow('enough');
    const later = one.acquireAsync();
    permits[0]?.release();
    expect((await later).index).toBe(permits[0]?.index);
    expect(two.available).toBe(0);
  });

  it('gives to those who wait, as many as there are permits', async () => {
    const semaphore = new Semaphore(memory(), { permits: 2 });
    let inside = 0;
    let most = 0;
    const task = async (): Promise<void> => {
      const permit = await semaphore.acquireAsync();
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
      permit.release();
    };
    await Promise.all(Array.from({ length: 20 }, task));
    expect([most, semaphore.available]).toEqual([2, 2]);
  });

  it('tells who gets the permit of a thread that ended with it', async () => {
    const shared = SharedMemory.create(null, { size: Semaphore.bytesFor(2) });
    const semaphore = new Semaphore(shared.map(), { permits: 2 });
    const mine = semaphore.acquire();
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { Semaphore, SharedMemory } = require(workerData.root);
      parentPort.postMessage(new Semaphore(SharedMemory.fromFd(workerData.fd).map()).acquire().index);
      setInterval(() => {}, 1000);`;
    const worker = new Worker(source, { eval: true, workerData: { root, fd: shared.fd } });
    const [index] = (await once(worker, 'message')) as [number];
    expect([index, semaphore.tryAcquire()]).toEqual([1, undefined]);
    const waits = semaphore.acquireAsync();
    await worker.terminate();
    const permit = await waits;
    expect([permit.index, permit.ownerDied]).toEqual([1, true]);
    permit.release();
    const again = semaphore.acquire();
    expect([again.index, again.ownerDied]).toEqual([1, false]);
    again.release();
    mine.release();
    shared.close();
  });

  it('keeps its words where the mapping moves', () => {
    const mapping = mapAnonymous(2 ** 16, { shared: true });
    const semaphore = new Semaphore(mapping, { permits: 2 });
    semaphore.acquire().release();
    mapping.resize(2 ** 15);
    expect(semaphore.available).toBe(2);
    const permit = semaphore.acquire();
    expect(semaphore.available).toBe(1);
    permit.release();
    mapping.unmap();
    expect(() => semaphore.available).toThrow(code('UNMAPPED'));
    expect(() => semaphore.tryAcquire()).toThrow(code('UNMAPPED'));
  });

  it.each([
    [{}, 'ARGUMENT'],
    [{ permits: 0 }, 'RANGE'],
    [{ permits: 1025 }, 'RANGE'],
    [{ permits: 1.5 }, 'RANGE'],
    [{ permits: NaN }, 'RANGE'],
    [{ permits: '2' }, 'ARGUMENT'],
    [{ permits: 1, offset: 4 }, 'ARGUMENT'],
    [{ permits: 1, offset: 2 ** 17 }, 'RANGE'],
    [{ permits: 1024, offset: 2 ** 16 + 64 }, 'RANGE'],
    [{ permit: 1 }, 'ARGUMENT'],
  ] as const)('refuses %j', (options, kind) => {
    const mapping = memory();
    expect(() => new Semaphore(mapping, options as never)).toThrow(code(kind));
    expect(mapping.read(0, 128)).toEqual(Buffer.alloc(128));
  });

  it('is made once, in shared memory that is nothing else', () => {
    const mapping = memory();
    new Semaphore(mapping, { permits: 5 });
    expect(() => new Semaphore(mapping, { permits: 6 })).toThrow(code('ARGUMENT'));
    mapping.write(2 ** 16, Buffer.alloc(64, 1));
    expect(() => new Semaphore(mapping, { offset: 2 ** 16, permits: 1 })).toThrow(code('ARGUMENT'));
    // A count that somebody wrote over it.
    mapping.view(4, 4).writeInt32LE(1_000_000);
    expect(() => new Semaphore(mapping)).toThrow(code('CORRUPT'));
    expect(() => new Semaphore(mapAnonymous(4096), { permits: 1 })).toThrow(code('UNSUPPORTED'));
    expect(() => new Semaphore({} as never, { permits: 1 })).toThrow(code('ARGUMENT'));
    expect(Semaphore.bytesFor(1024)).toBe(64 * 1025);
    expect(() => Semaphore.bytesFor(0)).toThrow(code('RANGE'));
  });
});
