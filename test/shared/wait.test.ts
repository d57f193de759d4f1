import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import {
  type Mapping,
  type Words,
  mapAnonymous,
  mapFileSync,
  notify,
  reserve,
  wait,
  waitAsync,
} from '../../lib/index';
import { Scratch } from '../helpers/files';
import { Locker, buildLocker } from '../helpers/locker';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const memory = (): Mapping => mapAnonymous(4096, { shared: true });
const file = (): Mapping =>
  mapFileSync(scratch.path(), { access: 'read-write', create: true, size: 4096 });
const code = (kind: string) => expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }) as Error;
const turn = () => new Promise(setImmediate);
const entry = join(__dirname, '..', '..', 'dist', 'index.js');

describe('a word', () => {
  it('is at a byte of a mapping, or an element of an array over it', async () => {
    const mapping = memory();
    const words = new Int32Array(mapping.view(64, 64).buffer, 0, 16);
    const unsigned = new Uint32Array(words.buffer, 8);
    for (const [target, index, own] of [
      [mapping, 76, 3],
      [words, 4, 4],
      [unsigned, 3, 5],
    ] as const) {
      words[own] = 5;
      expect(notify(target, index)).toBe(0);
      expect(wait(target, index, 4)).toBe('not-equal');
      expect(wait(target, index, 5, { timeout: 1 })).toBe('timed-out');
      expect(await waitAsync(target, index, 4)).toBe('not-equal');
      expect(await waitAsync(target, index, 5, { timeout: 1 })).toBe('timed-out');
    }
    words[3] = -1;
    expect(wait(unsigned, 1, 0xffffffff, { timeout: 0 })).toBe('timed-out');
    expect(wait(mapping, 76, -1, { timeout: 0 })).toBe('timed-out');
  });

  it('is where the array says, whatever part of a mapping that is over', async () => {
    const mapping = memory();
    const { buffer } = mapping;
    const first = waitAsync(new Int32Array(buffer.buffer, 256, 4), 2, 0);
    const second = waitAsync(new Int32Array(mapping.view(264).buffer, 264, 1), 0, 0);
    let ended = 0;
    for (const each of [first, second]) void each.then(() => ended++);
    while (ended < 2) {
      notify(mapping, 264);
      await turn();
    }
    expect(await Promise.all([first, second])).toEqual(['ok', 'ok']);
  });

  it('of a file that is mapped for reading only can be waited for', () => {
    const mapping = file();
    const reader = mapFileSync(mapping.path ?? '');
    expect(wait(reader, 0, 1)).toBe('not-equal');
    expect(wait(reader, 0, 0, { timeout: 1 })).toBe('timed-out');
    expect(notify(reader, 0)).toBe(0);
  });

  const array = () => new Int32Array(memory().buffer.buffer);
  it.each<[string, unknown[], string]>([
    ['no target', [undefined, 0, 0], 'ARGUMENT'],
    ['memory of JavaScript', [new Int32Array(4), 0, 0], 'ARGUMENT'],
    ['shared memory of JavaScript', [new Int32Array(new SharedArrayBuffer(16)), 0, 0], 'ARGUMENT'],
    ['a Buffer', [memory().buffer, 0, 0], 'ARGUMENT'],
    ['64 bits', [new BigInt64Array(memory().buffer.buffer), 0, 0], 'ARGUMENT'],
    ['a reservation', [new Int32Array(reserved().buffer, 0, 1), 0, 0], 'ARGUMENT'],
    ['private memory', [mapAnonymous(64), 0, 0], 'UNSUPPORTED'],
    ['half a word', [memory(), 2, 0], 'ARGUMENT'],
    ['an index that is no number', [memory(), '0', 0], 'ARGUMENT'],
    ['a negative index', [array(), -1, 0], 'RANGE'],
    ['an index of 0.5', [array(), 0.5, 0], 'RANGE'],
    ['an index past the end', [array(), 1024, 0], 'RANGE'],
    ['an offset past the end', [memory(), 4096, 0], 'RANGE'],
    ['an offset of 2^53', [memory(), 2 ** 53, 0], 'RANGE'],
  ])('%s is refused by all three', async (_, given, kind) => {
    const [target, index, value] = given as [Words, number, number];
    expect(() => wait(target, index, value)).toThrow(code(kind));
    expect(() => notify(target, index)).toThrow(code(kind));
    await expect(waitAsync(target, index, value)).rejects.toEqual(code(kind));
  });

  it.each<[string, unknown[], string]>([
    ['a value of 2^32', [2 ** 32], 'RANGE'],
    ['a value of 0.5', [0.5], 'RANGE'],
    ['NaN', [NaN], 'RANGE'],
    ['a bigint', [0n], 'ARGUMENT'],
    ['a timeout of -1', [0, { timeout: -1 }], 'RANGE'],
    ['a timeout of NaN', [0, { timeout: NaN }], 'RANGE'],
    ['a timeout in words', [0, { timeout: '1' }], 'ARGUMENT'],
    ['an unknown option', [0, { time: 1 }], 'ARGUMENT'],
  ])('%s is refused', async (_, rest, kind) => {
    const [value, options] = rest as [number, object];
    expect(() => wait(memory(), 0, value, options)).toThrow(code(kind));
    await expect(waitAsync(memory(), 0, value, options)).rejects.toEqual(code(kind));
  });

  it('of a mapping that is gone is refused', () => {
    const mapping = memory();
    const words = new Int32Array(mapping.buffer.buffer);
    mapping.unmap();
    expect(() => wait(mapping, 0, 0)).toThrow(code('UNMAPPED'));
    expect(() => notify(words, 0)).toThrow(code('UNMAPPED'));
  });

  it.each([NaN, -1, 0.5, '1'])('a count of %p is refused', (count) => {
    expect(() => notify(memory(), 0, count as number)).toThrow(/count must be/);
  });
});

function reserved(): Buffer {
  const reservation = reserve(2 ** 16);
  reservation.place(0, { anonymous: 2 ** 16 });
  return reservation.view(0, 64);
}

describe('across threads and processes', () => {
  const built = buildLocker(scratch.folder);
  const withC = itUnless(typeof built === 'string' ? built : undefined);
  const start = () => {
    const mapping = file();
    const words = new Int32Array(mapping.buffer.buffer, 0, 1024);
    const c = new Locker(typeof built === 'string' ? '' : built.path, mapping.path ?? '');
    return { mapping, words, c };
  };

  withC('C waits and JavaScript notifies', async () => {
    const { words, c } = start();
    expect(await c.ask('wait', 40, 1, 1000)).toBe('EAGAIN');
    c.send('wait', 40, 0, 30_000);
    while (notify(words, 10) === 0) await turn();
    expect(await c.answer()).toBe('ok');
    await c.end();
  });

  withC('JavaScript waits and C notifies', async () => {
    const { mapping, words, c } = start();
    const waiting = waitAsync(mapping, 40, 0);
    expect(await c.ask('set', 40, 1)).toBe('0');
    await c.ask('wake', 40, 1);
    expect(await waiting).toBe('ok');
    expect(Atomics.load(words, 10)).toBe(1);
    const again = waitAsync(words, 10, 1);
    while ((await c.ask('wake', 40, 100)) === '0') await turn();
    expect(await again).toBe('ok');
    // Blocking: C wakes somebody who is asleep, and cannot be too early.
    c.send('rouse', 40, 1);
    expect(wait(words, 10, 1, { timeout: 30_000 })).toBe('ok');
    expect(await c.answer()).toBe('1');
    await c.end();
  });

  it('Python waits and notifies', async () => {
    const mapping = file();
    const program = `
import ctypes, mmap, os, sys, platform
libc = ctypes.CDLL(None, use_errno=True)
NR = {'x86_64': 202, 'aarch64': 98}[platform.machine()]
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(f.fileno(), 4096)
words = (ctypes.c_int32 * 1024).from_buffer(m)
at = lambda i: ctypes.c_void_p(ctypes.addressof(words) + 4 * i)
print('ready', flush=True)
while words[0] == 0:
    libc.syscall(NR, at(0), 0, 0, None, None, 0)
words[1] = words[0] + 1
libc.syscall(NR, at(1), 1, 1, None, None, 0)
print(words[0], flush=True)
`;
    const child = spawn('python3', ['-c', program, mapping.path ?? ''], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    expect(await lines.next()).toMatchObject({ value: 'ready' });
    const words = new Int32Array(mapping.buffer.buffer, 0, 1024);
    Atomics.store(words, 0, 41);
    notify(words, 0);
    while (Atomics.load(words, 1) === 0) await waitAsync(words, 1, 0);
    expect(Atomics.load(words, 1)).toBe(42);
    expect(await lines.next()).toMatchObject({ value: '41' });
    await closed;
  });

  it('workers wait for one another, 100 times', async () => {
    const mapping = file();
    const source = (own: number) => `
      const memmap = require(${JSON.stringify(entry)});
      const m = memmap.mapFileSync(${JSON.stringify(mapping.path)}, { access: 'read-write' });
      const words = new Int32Array(m.buffer.buffer, 0, 1);
      for (let turn = 0; turn < 100; turn++) {
        const mine = 2 * turn + ${String(own)};
        for (let now; (now = Atomics.load(words, 0)) !== mine;) memmap.wait(words, 0, now);
        Atomics.store(words, 0, mine + 1);
        memmap.notify(words, 0);
      }
    `;
    const workers = [0, 1].map((own) => new Worker(source(own), { eval: true }));
    const ended = await Promise.all(workers.map((worker) => once(worker, 'exit')));
    expect(ended).toEqual([[0], [0]]);
    expect(new Int32Array(mapping.buffer.buffer)[0]).toBe(200);
  });

  it('a worker that waits for ever is terminated all the same', async () => {
    const mapping = file();
    const worker = new Worker(
      `const memmap = require(${JSON.stringify(entry)});
       const m = memmap.mapFileSync(${JSON.stringify(mapping.path)}, { access: 'read-write' });
       require('node:worker_threads').parentPort.postMessage(1);
       memmap.wait(m, 0, 0);`,
      { eval: true },
    );
    await once(worker, 'message');
    expect(await worker.terminate()).toBe(1);
  });

  const hasShared = (() => {
    try {
      return memory().sharedArrayBuffer.byteLength > 0;
    } catch {
      return false;
    }
  })();
  const withShared = itUnless(
    hasShared ? undefined : `Node ${process.versions.node} has no SharedArrayBuffers over memory`,
  );

  withShared('those who wait by Atomics.wait are notified too', async () => {
    const mapping = memory();
    const words = new Int32Array(mapping.sharedArrayBuffer);
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       parentPort.postMessage(Atomics.wait(workerData, 5, 0));`,
      { eval: true, workerData: words },
    );
    const said = once(worker, 'message');
    const other = waitAsync(words, 5, 0);
    let woken = 0;
    while (woken < 2) {
      woken += notify(words, 5);
      await turn();
    }
    expect([woken, await said, await other]).toEqual([2, ['ok'], 'ok']);
  });
});
