import { execFileSync, spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapAnonymous, mapFileSync } from '../../lib/index';
import type { Mapping } from '../../lib/index';
import { sleep, sleepLater, wake, wordsOf } from '../../lib/shared/futex';

const folder = mkdtempSync(join(tmpdir(), 'memmap-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

let files = 0;
const sharedFile = (): Mapping =>
  mapFileSync(join(folder, String(files++)), { access: 'read-write', create: true, size: 8192 });

const sharedMemory = (): Mapping => mapAnonymous(8192, { shared: true });

describe('words', () => {
  it('are those of the mapping', () => {
    const m = sharedMemory();
    const words = wordsOf(m, 8, 16);
    words[1] = 0x01020304;
    expect([...m.read(12, 4)]).toEqual([4, 3, 2, 1]);
    expect(words).toHaveLength(4);
  });

  it.each([
    ['private memory', () => wordsOf(mapAnonymous(64), 0, 4), 'UNSUPPORTED'],
    ['an odd place', () => wordsOf(sharedMemory(), 2, 4), 'ARGUMENT'],
    ['the end', () => wordsOf(sharedMemory(), 8192, 4), 'RANGE'],
    ['a read-only mapping', () => wordsOf(mapFileSync(__filename), 0, 4), 'READ_ONLY'],
  ])('%s is refused', (_, call, kind) => {
    expect(call).toThrow(expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }));
  });
});

describe('sleep', () => {
  const m = sharedMemory();
  const spot = { mapping: m, offset: 4 };

  it('ends at once on another value, and when its time is up', () => {
    expect(sleep(spot, 1, 50)).toBe('not-equal');
    expect(sleep(spot, 0, 1)).toBe('timed-out');
    expect(sleep(spot, 0, -5)).toBe('timed-out');
    wordsOf(m, 4, 4)[0] = -1;
    expect(sleep(spot, -1, 1)).toBe('timed-out');
    wordsOf(m, 4, 4)[0] = 0;
  });

  it('is ended by another process, and says to it how many slept', async () => {
    const file = sharedFile();
    const program = `
      const { mapFileSync } = require(${JSON.stringify(join(__dirname, '../../dist/index.js'))});
      const { sleep } = require(${JSON.stringify(join(__dirname, '../../dist/shared/futex.js'))});
      const mapping = mapFileSync(${JSON.stringify(file.path)}, { access: 'read-write' });
      console.log('ready');
      let end;
      do end = sleep({ mapping, offset: 64 }, 0, 1e9); while (end === 'timed-out');
      console.log(end);
    `;
    const child = spawn(process.execPath, ['-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const closed = once(child, 'close');
    // It sleeps in slices: between two of them nobody is there.
    const at = { mapping: file, offset: 64 };
    let woken = 0;
    while (woken === 0 && child.exitCode === null) {
      woken = wake(at, 5);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(woken).toBe(1);
    expect((await closed)[0]).toBe(0);
    expect(said).toBe('ready\nok\n');
  });
});

describe('sleepLater', () => {
  const m = sharedMemory();
  const words = wordsOf(m, 0, 8192);

  it('ends as sleep does, without blocking', async () => {
    const spot = { mapping: m, offset: 0 };
    expect(await sleepLater(spot, 1)).toBe('not-equal');
    expect(await sleepLater(spot, 0, { timeout: 1 })).toBe('timed-out');
    const sleeping = sleepLater(spot, 0);
    while (wake(spot, 1) === 0) await new Promise(setImmediate);
    expect(await sleeping).toBe('ok');
  });

  it('a thousand at once, on a hundred words, each woken by its own', async () => {
    const ended: number[] = [];
    const all = Array.from({ length: 1000 }, (_, i) =>
      sleepLater({ mapping: m, offset: 400 + 4 * (i % 100) }, 0).then((result) => {
        expect(result).toBe('ok');
        ended.push(i % 100);
      }),
    );
    for (let i = 0; i < 100; i++) {
      Atomics.store(words, 100 + i, 1);
      wake({ mapping: m, offset: 400 + 4 * i }, Infinity);
    }
    await Promise.all(all);
    expect(ended).toHaveLength(1000);
    words.fill(0);
  });

  it('one is woken by one wake-up, in the order in which they came', async () => {
    const spot = { mapping: m, offset: 800 };
    const order: number[] = [];
    const all = [0, 1, 2].map((i) => sleepLater(spot, 0).then(() => order.push(i)));
    for (let i = 0; i < 3; i++) {
      while (wake(spot, 1) === 0) await new Promise(setImmediate);
      while (order.length <= i) await new Promise(setImmediate);
      expect(order).toHaveLength(i + 1);
    }
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2]);
  });

  it('is stopped by a signal, with its reason', async () => {
    const spot = { mapping: m, offset: 1200 };
    const stop = new AbortController();
    const sleeping = sleepLater(spot, 0, { signal: stop.signal });
    const other = sleepLater(spot, 0);
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    await expect(sleepLater(spot, 0, { signal: stop.signal })).rejects.toBe(reason);
    // The wake-up is not lost with the one that has left.
    Atomics.store(words, 300, 1);
    wake(spot, 1);
    expect(await other).toBe('ok');
  });

  it('a signal that stops many has one listener, as long as it is needed', async () => {
    const at = (i: number) => ({ mapping: m, offset: 2000 + 4 * i });
    const stop = new AbortController();
    const { signal } = stop;
    const listeners = () => getEventListeners(signal, 'abort').length;
    const all = Array.from({ length: 50 }, (_, i) => sleepLater(at(i), 0, { signal, timeout: i }));
    expect(listeners()).toBe(1);
    expect(new Set(await Promise.all(all))).toEqual(new Set(['timed-out']));
    expect(listeners()).toBe(0);
    const again = Array.from({ length: 50 }, (_, i) => sleepLater(at(i), 0, { signal }));
    const ended = Promise.allSettled(again);
    stop.abort();
    expect((await ended).map(({ status }) => status)).toEqual(again.map(() => 'rejected'));
    expect(listeners()).toBe(0);
  });

  it('hands a wake-up on that came too late for one', async () => {
    const spot = { mapping: m, offset: 1600 };
    for (let round = 0; round < 300; round++) {
      const stop = new AbortController();
      const leaving = sleepLater(spot, 0, { signal: stop.signal }).catch(() => 'left');
      const staying = sleepLater(spot, 0);
      // The thread must have both of them before the wake-up counts.
      if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      stop.abort();
      while (wake(spot, 1) === 0) await new Promise(setImmediate);
      expect(await Promise.all([leaving, staying])).toEqual(['left', 'ok']);
    }
  });

  it('rejects when the mapping goes, and not when it moves', async () => {
    const gone = sharedFile();
    const sleeping = sleepLater({ mapping: gone, offset: 0 }, 0);
    gone.unmap();
    await expect(sleeping).rejects.toMatchObject({ code: 'ERR_MEMMAP_UNMAPPED' });

    const moved = sharedFile();
    const spot = { mapping: moved, offset: 4096 };
    const staying = sleepLater(spot, 0);
    moved.resize(2 ** 24);
    const state = { ended: false };
    void staying.then(() => (state.ended = true));
    while (!state.ended) {
      wake(spot, 1);
      await new Promise(setImmediate);
    }
    expect(await staying).toBe('ok');
    moved.unmap();
  });
});

it('a process with a sleeper stays alive, unless the sleeper does not ask for it', () => {
  const program = (ref: boolean) => `
    const { mapAnonymous } = require(${JSON.stringify(join(__dirname, '../../dist/index.js'))});
    const { sleepLater } = require(${JSON.stringify(join(__dirname, '../../dist/shared/futex.js'))});
    const mapping = mapAnonymous(64, { shared: true });
    sleepLater({ mapping, offset: 0 }, 0, { ref: ${String(ref)}, timeout: ${ref ? '50' : '1e9'} }).then(console.log);
  `;
  const run = (ref: boolean) =>
    execFileSync(process.execPath, ['-e', program(ref)], { encoding: 'utf8' });
  expect(run(true)).toBe('timed-out\n');
  expect(run(false)).toBe('');
});
