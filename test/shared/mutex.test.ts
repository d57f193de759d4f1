import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Mapping, Mutex, mapAnonymous, mapFileSync } from '../../lib/index';
import { Locker, buildLocker } from '../helpers/locker';
import { Scratch } from '../helpers/files';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const memory = (): Mapping => mapAnonymous(4096, { shared: true });
const file = (size = 4096): Mapping =>
  mapFileSync(scratch.path(), { access: 'read-write', create: true, size });
const code = (kind: string) => expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }) as Error;

describe('a mutex', () => {
  it('is 64 bytes of zeros, and locked by one', () => {
    const mapping = memory();
    const mutex = new Mutex(mapping, 128);
    const same = new Mutex(mapping, 128);
    expect([Mutex.SIZE, mutex.held]).toEqual([64, false]);
    const guard = mutex.lock();
    expect([guard.ownerDied, mutex.held, same.held]).toEqual([false, true, false]);
    expect(same.tryLock()).toBeUndefined();
    expect(mutex.tryLock()).toBeUndefined();
    expect(() => mutex.lock()).toThrow(code('BUSY'));
    expect(() => same.lock()).toThrow(code('BUSY'));
    expect(() => {
      same.unlock();
    }).toThrow(code('ARGUMENT'));
    guard.unlock();
    expect(() => {
      guard.unlock();
    }).toThrow(code('ARGUMENT'));
    guard[Symbol.dispose]();
    expect(mutex.held).toBe(false);
    const again = same.tryLock();
    expect(again?.ownerDied).toBe(false);
    same.unlock();
    expect(() => {
      mutex.unlock();
    }).toThrow(code('ARGUMENT'));
    mapping.unmap();
    expect(() => mutex.lock()).toThrow(code('UNMAPPED'));
  });

  it('through another mapping of the same bytes is known to be our own', () => {
    const one = file();
    const other = mapFileSync(one.path ?? '', { access: 'read-write' });
    const guard = new Mutex(one, 64).lock();
    expect(() => new Mutex(other, 64).lock()).toThrow(code('BUSY'));
    expect(new Mutex(other, 64).tryLock()).toBeUndefined();
    guard.unlock();
  });

  it('cannot be unmapped, moved or made unreadable while it is locked', () => {
    const mapping = file();
    const guard = new Mutex(mapping).lock();
    expect(() => {
      mapping.unmap();
    }).toThrow(code('BUSY'));
    expect(() => {
      mapping.resize(2 ** 20);
    }).toThrow(code('BUSY'));
    expect(() => {
      mapping.protect('none');
    }).toThrow(code('BUSY'));
    expect(() => {
      mapping.protect('read');
    }).toThrow(code('BUSY'));
    guard.unlock();
    mapping.resize(2 ** 20);
    const mutex = new Mutex(mapping, 2 ** 19);
    mutex.lock().unlock();
    mapping.resize(2 ** 21);
    mutex.lock().unlock();
    mapping.unmap();
  });

  it.each([
    ['no mapping', () => new Mutex({} as unknown as Mapping), 'ARGUMENT'],
    ['null', () => new Mutex(null as unknown as Mapping), 'ARGUMENT'],
    ['an odd offset', () => new Mutex(memory(), 12), 'ARGUMENT'],
    ['half a byte', () => new Mutex(memory(), 0.5), 'RANGE'],
    ['the end', () => new Mutex(memory(), 4088), 'RANGE'],
    ['private memory', () => new Mutex(mapAnonymous(4096)), 'UNSUPPORTED'],
    ['a read-only file', () => new Mutex(mapFileSync(__filename)), 'READ_ONLY'],
    ['an unknown option', () => new Mutex(memory()).lock({ wait: 1 } as object), 'ARGUMENT'],
    ['a timeout of NaN', () => new Mutex(memory()).lock({ timeout: NaN }), 'RANGE'],
    ['spins of -1', () => new Mutex(memory()).lock({ spin: -1 }), 'RANGE'],
  ])('%s is refused', (_, call, kind) => {
    expect(call).toThrow(code(kind));
  });

  it('held by nobody we know is waited for until the time is up', async () => {
    const mapping = memory();
    const words = new Int32Array(mapping.buffer.buffer, 0, 16);
    // No thread has this number in its list: garbage, or of another PID namespace.
    words[0] = 0x3ffffff0;
    const mutex = new Mutex(mapping);
    expect(mutex.tryLock()).toBeUndefined();
    expect(() => mutex.lock({ timeout: 5 })).toThrow(code('TIMEOUT'));
    await expect(mutex.lockAsync({ timeout: 5 })).rejects.toMatchObject({
      code: 'ERR_MEMMAP_TIMEOUT',
    });
    words[0] = 0;
    mutex.lock().unlock();
  });
});

describe('lockAsync', () => {
  it('waits for another part of the same program, in any number', async () => {
    const mutex = new Mutex(memory());
    let inside = 0;
    let total = 0;
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const guard = await mutex.lockAsync();
        expect(inside++).toBe(0);
        await new Promise(setImmediate);
        inside--;
        total++;
        guard.unlock();
      }),
    );
    expect([total, mutex.held]).toEqual([50, false]);
  });

  it('is stopped by its signal and its timeout, and nobody is left waiting for it', async () => {
    const mutex = new Mutex(memory());
    const guard = mutex.lock();
    const stop = new AbortController();
    const reason = new Error('enough');
    const stopped = mutex.lockAsync({ signal: stop.signal });
    const late = mutex.lockAsync({ timeout: 1 });
    const patient = mutex.lockAsync();
    await expect(late).rejects.toMatchObject({ code: 'ERR_MEMMAP_TIMEOUT' });
    stop.abort(reason);
    await expect(stopped).rejects.toBe(reason);
    await expect(mutex.lockAsync({ signal: stop.signal })).rejects.toBe(reason);
    guard.unlock();
    (await patient).unlock();
    expect(mutex.held).toBe(false);
  });
});

describe('the one who died with it', () => {
  it('is told to everybody until somebody makes it right', async () => {
    const mapping = file();
    const mutex = new Mutex(mapping);
    const worker = new Worker(
      `const { Mutex, mapFileSync } = require(${JSON.stringify(join(__dirname, '../../dist/index.js'))});
       new Mutex(mapFileSync(${JSON.stringify(mapping.path)}, { access: 'read-write' })).lock();
       require('node:worker_threads').parentPort.postMessage(1);
       setInterval(() => {}, 1000);`,
      { eval: true },
    );
    await once(worker, 'message');
    expect(mutex.tryLock()).toBeUndefined();
    const next = mutex.lockAsync();
    await worker.terminate();
    const guard = await next;
    expect(guard.ownerDied).toBe(true);
    guard.unlock();
    const second = mutex.lock();
    expect(second.ownerDied).toBe(true);
    second.markConsistent();
    second.unlock();
    expect(() => {
      second.markConsistent();
    }).toThrow(code('ARGUMENT'));
    const third = mutex.lock();
    expect(third.ownerDied).toBe(false);
    third.unlock();
  });
});

const built = buildLocker(scratch.folder);
const program = typeof built === 'string' ? '' : built.path;
const withC = itUnless(typeof built === 'string' ? built : undefined);

describe('with pthread_mutex_t of C', () => {
  const start = () => {
    const mapping = file();
    return { mapping, mutex: new Mutex(mapping, 64), c: new Locker(program, mapping.path ?? '') };
  };

  withC('each waits for the other', async () => {
    const { mutex, c } = start();
    expect(await c.ask('init', 64)).toBe('ok');
    expect(await c.ask('lock', 64)).toBe('ok');
    expect(mutex.tryLock()).toBeUndefined();
    expect(() => mutex.lock({ timeout: 5 })).toThrow(code('TIMEOUT'));
    const waiting = mutex.lockAsync();
    expect(await c.ask('unlock', 64)).toBe('ok');
    const guard = await waiting;
    expect(guard.ownerDied).toBe(false);
    expect(await c.ask('trylock', 64)).toBe('EBUSY');
    expect(await c.ask('unlock', 64)).toBe('EPERM');
    c.send('lock', 64);
    await new Promise((resolve) => setTimeout(resolve, 20));
    guard.unlock();
    expect(await c.answer()).toBe('ok');
    expect(await c.ask('unlock', 64)).toBe('ok');
    mutex.lock().unlock();
    await c.end();
  });

  withC('C takes what JavaScript was the first to use', async () => {
    const { mutex, c } = start();
    mutex.lock().unlock();
    expect(await c.ask('lock', 64)).toBe('ok');
    expect(mutex.tryLock()).toBeUndefined();
    expect(await c.ask('unlock', 64)).toBe('ok');
    await c.end();
  });

  withC('C dies with it', async () => {
    const { mutex, c } = start();
    await c.ask('init', 64);
    await c.ask('lock', 64);
    const waiting = mutex.lockAsync();
    c.send('die');
    const guard = await waiting;
    expect(guard.ownerDied).toBe(true);
    guard.markConsistent();
    guard.unlock();
    expect(mutex.lock().ownerDied).toBe(false);
    mutex.unlock();
    await c.closed;
  });

  withC('JavaScript dies with it, and lets it go as if', async () => {
    const { mapping, mutex, c } = start();
    await c.ask('init', 64);
    const worker = new Worker(
      `const { Mutex, mapFileSync } = require(${JSON.stringify(join(__dirname, '../../dist/index.js'))});
       new Mutex(mapFileSync(${JSON.stringify(mapping.path)}, { access: 'read-write' }), 64).lock();`,
      { eval: true },
    );
    await once(worker, 'exit');
    expect(await c.ask('lock', 64)).toBe('EOWNERDEAD');
    expect(await c.ask('consistent', 64)).toBe('ok');
    expect(await c.ask('unlock', 64)).toBe('ok');
    expect(mutex.lock().ownerDied).toBe(false);
    mutex.unlock();
    // What C gives up for ever, JavaScript makes usable again.
    c.send('lock', 64);
    expect(await c.answer()).toBe('ok');
    c.send('die');
    await c.closed;
    const other = new Locker(program, mapping.path ?? '');
    expect(await other.ask('lock', 64)).toBe('EOWNERDEAD');
    expect(await other.ask('unlock', 64)).toBe('ok');
    expect(await other.ask('lock', 64)).toBe('ENOTRECOVERABLE');
    const guard = mutex.lock();
    expect(guard.ownerDied).toBe(true);
    guard.unlock();
    expect(await other.ask('lock', 64)).toBe('EOWNERDEAD');
    expect(await other.ask('consistent', 64)).toBe('ok');
    expect(await other.ask('unlock', 64)).toBe('ok');
    await other.end();
  });

  withC('a plain counter under it is exact', async () => {
    const { mapping, mutex, c } = start();
    const others = [c, new Locker(program, mapping.path ?? '')];
    const counter = new BigInt64Array(mapping.buffer.buffer, 1024, 1);
    await c.ask('init', 64);
    for (const each of others) each.send('count', 64, 20_000, 1024);
    for (let i = 0; i < 20_000; i++) {
      const guard = mutex.lock();
      const before = counter[0] ?? 0n;
      counter[0] = before + 1n;
      guard.unlock();
    }
    for (const each of others) expect(await each.answer()).toBe('0');
    expect(counter[0]).toBe(60_000n);
    for (const each of others) await each.end();
  });
});
