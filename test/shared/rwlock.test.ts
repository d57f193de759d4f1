import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Mapping, RwLock, SharedMemory, mapAnonymous } from '../../lib/index.js';

const root = join(__dirname, '..', '..');
const memory = (): Mapping => mapAnonymous(2 ** 17, { shared: true });
const code = (kind: string): Error =>
  expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }) as Error;

describe('an RwLock', () => {
  it('is had by many readers or by one writer', () => {
    const mapping = memory();
    const [one, two] = [new RwLock(mapping), new RwLock(mapping)];
    const readers = [one.readLock(), two.readLock(), two.tryReadLock()];
    expect(readers.map((guard) => guard?.ownerDied)).toEqual([false, false, false]);
    expect([one.tryWriteLock(), two.tryWriteLock()]).toEqual([undefined, undefined]);
    for (const guard of readers) guard?.unlock();
    expect(() => readers[0]?.unlock()).toThrow(code('ARGUMENT'));
    const writer = two.writeLock();
    expect(writer.ownerDied).toBe(false);
    expect([one.tryReadLock(), one.tryWriteLock(), two.tryReadLock()]).toEqual(
      Array(3).fill(undefined),
    );
    expect(() => mapping.unmap()).toThrow(code('BUSY'));
    writer.unlock();
    expect(() => writer.unlock()).toThrow(code('ARGUMENT'));
    expect(() => writer.markConsistent()).toThrow(code('ARGUMENT'));
    writer[Symbol.dispose]();
    one.readLock()[Symbol.dispose]();
    one.writeLock()[Symbol.dispose]();
    mapping.unmap();
  });

  it('lets nobody wait for himself', async () => {
    const lock = new RwLock(memory());
    const reader = lock.readLock();
    const again = lock.readLock();
    expect(() => lock.writeLock()).toThrow(code('BUSY'));
    reader.unlock();
    expect(() => lock.writeLock()).toThrow(code('BUSY'));
    again.unlock();
    const writer = lock.writeLock();
    expect(() => lock.writeLock()).toThrow(code('BUSY'));
    expect(() => lock.readLock()).toThrow(code('BUSY'));
    expect(lock.tryWriteLock()).toBeUndefined();
    const later = [lock.readLockAsync(), lock.readLockAsync()];
    writer.unlock();
    for (const guard of await Promise.all(later)) guard.unlock();
    lock.writeLock().unlock();
  });

  it('lets a writer in before readers that come later', async () => {
    const mapping = memory();
    const [readers, writers] = [new RwLock(mapping), new RwLock(mapping)];
    const order: string[] = [];
    const first = readers.readLock();
    const write = writers.writeLockAsync().then((guard) => {
      order.push('write');
      setImmediate(() => guard.unlock());
    });
    expect(readers.tryReadLock()).toBeUndefined();
    const read = readers.readLockAsync().then((guard) => {
      order.push('read');
      guard.unlock();
    });
    // Who reads already may read once more: the writer waits for it anyway.
    readers.readLock().unlock();
    first.unlock();
    await Promise.all([write, read]);
    expect(order).toEqual(['write', 'read']);
  });

  it('is given up by those who have waited for long enough', async () => {
    const mapping = memory();
    const [one, two] = [new RwLock(mapping), new RwLock(mapping)];
    const reader = one.readLock();
    expect(() => two.writeLock({ timeout: 5 })).toThrow(code('TIMEOUT'));
    await expect(two.writeLockAsync({ timeout: 5 })).rejects.toThrow(code('TIMEOUT'));
    const stop = new AbortController();
    const waits = two.writeLockAsync({ signal: stop.signal });
    expect(one.tryReadLock()).toBeUndefined();
    stop.abort(new Error('enough'));
    await expect(waits).rejects.toThrow('enough');
    // Nobody wants to write any more.
    two.readLock().unlock();
    reader.unlock();
    const writer = one.writeLock();
    expect(() => two.readLock({ timeout: 5, spin: 0 })).toThrow(code('TIMEOUT'));
    await expect(two.readLockAsync({ timeout: 5 })).rejects.toThrow(code('TIMEOUT'));
    writer.unlock();
    expect(two.readLock().ownerDied).toBe(false);
  });

  it('wakes all readers that wait for a writer', async () => {
    const mapping = memory();
    const writer = new RwLock(mapping).writeLock();
    const all = Array.from({ length: 20 }, () => new RwLock(mapping).readLockAsync());
    await new Promise(setImmediate);
    writer.unlock();
    const guards = await Promise.all(all);
    expect(guards).toHaveLength(20);
    for (const guard of guards) guard.unlock();
  });

  it('has so many places for readers; who finds none waits', async () => {
    const mapping = memory();
    const locks = Array.from({ length: 3 }, () => new RwLock(mapping, { readers: 2 }));
    const [first, second] = [locks[0]?.readLock(), locks[1]?.readLock()];
    expect(locks[2]?.tryReadLock()).toBeUndefined();
    const waits = locks[2]?.readLockAsync();
    await new Promise(setImmediate);
    first?.unlock();
    (await waits)?.unlock();
    second?.unlock();
  });

  const dying = async (act: string, shared: SharedMemory): Promise<void> => {
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { RwLock, SharedMemory } = require(workerData.root);
      const lock = new RwLock(SharedMemory.fromFd(workerData.fd).map());
      ${act};
      parentPort.postMessage('ready');
      setInterval(() => {}, 1000);`;
    const worker = new Worker(source, { eval: true, workerData: { root, fd: shared.fd } });
    await once(worker, 'message');
    await worker.terminate();
  };

  it('tells readers and writers of a writer that died, until one has put it right', async () => {
    const shared = SharedMemory.create(null, { size: RwLock.bytesFor(4) });
    const lock = new RwLock(shared.map(), { readers: 4 });
    await dying('lock.writeLock()', shared);
    const reader = lock.readLock();
    expect(reader.ownerDied).toBe(true);
    reader.unlock();
    const careless = lock.writeLock();
    expect(careless.ownerDied).toBe(true);
    careless.unlock();
    const careful = await lock.writeLockAsync();
    expect(careful.ownerDied).toBe(true);
    careful.markConsistent();
    careful.unlock();
    expect(lock.readLock().ownerDied).toBe(false);
    shared.close();
  });

  it('tells nobody of one that only waited, nor of a reader', async () => {
    const shared = SharedMemory.create(null, { size: RwLock.bytesFor(4) });
    const lock = new RwLock(shared.map(), { readers: 4 });
    const reader = lock.readLock();
    await dying('void lock.writeLockAsync()', shared);
    const other = lock.tryReadLock();
    expect(other?.ownerDied).toBe(false);
    reader.unlock();
    other?.unlock();
    await dying('lock.readLock()', shared);
    const writer = lock.writeLock();
    expect(writer.ownerDied).toBe(false);
    writer.unlock();
    shared.close();
  });

  it.each([
    [{ readers: 0 }, 'RANGE'],
    [{ readers: 1025 }, 'RANGE'],
    [{ readers: 1.5 }, 'RANGE'],
    [{ readers: '2' }, 'ARGUMENT'],
    [{ offset: 4 }, 'ARGUMENT'],
    [{ offset: 2 ** 17 - 128 }, 'RANGE'],
    [{ readers: 1024, offset: 2 ** 16 }, 'RANGE'],
    [{ reader: 1 }, 'ARGUMENT'],
  ] as const)('refuses %j', (options, kind) => {
    const mapping = memory();
    expect(() => new RwLock(mapping, options as never)).toThrow(code(kind));
    expect(mapping.read(0, 128)).toEqual(Buffer.alloc(128));
  });

  it('is made once, in shared memory that is nothing else', () => {
    const mapping = memory();
    expect(new RwLock(mapping).readers).toBe(62);
    expect(() => new RwLock(mapping, { readers: 63 })).toThrow(code('ARGUMENT'));
    mapping.write(2 ** 16, Buffer.alloc(64, 1));
    expect(() => new RwLock(mapping, { offset: 2 ** 16 })).toThrow(code('ARGUMENT'));
    mapping.view(4, 4).writeInt32LE(1_000_000);
    expect(() => new RwLock(mapping)).toThrow(code('CORRUPT'));
    expect(() => new RwLock(mapAnonymous(2 ** 16))).toThrow(code('UNSUPPORTED'));
    expect(() => new RwLock(undefined as never)).toThrow(code('ARGUMENT'));
    expect(RwLock.bytesFor(62)).toBe(64 * 64);
    const small = mapAnonymous(1000, { shared: true });
    expect(new RwLock(small).readers).toBe(13);
  });

  it('keeps its words where the mapping moves', () => {
    const mapping = memory();
    const lock = new RwLock(mapping);
    lock.readLock().unlock();
    mapping.resize(2 ** 16);
    lock.readLock().unlock();
    lock.writeLock().unlock();
    mapping.unmap();
    expect(() => lock.readLock()).toThrow(code('UNMAPPED'));
    expect(() => lock.tryWriteLock()).toThrow(code('UNMAPPED'));
  });
});
