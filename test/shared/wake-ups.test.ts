// No wake-up that notify has counted is lost, whatever happens to the one it was meant for.
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Mapping, mapFileSync, notify, waitAsync } from '../../lib/index';
import { Scratch } from '../helpers/files';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const turn = () => new Promise(setImmediate);
const open = (path?: string): Mapping =>
  mapFileSync(path ?? scratch.path(), { access: 'read-write', create: true, size: 4096 });
const entry = join(__dirname, '..', '..', 'dist', 'index.js');

/** The words stay as they are: nothing but the wake-up itself tells anybody. */
async function wakeOne(mapping: Mapping, offset = 0): Promise<void> {
  while (notify(mapping, offset, 1) === 0) await turn();
}

/** Letters take a while; a wake-up that is lost takes for ever. */
async function until(condition: () => boolean, meanwhile?: () => void): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round === 3000) throw new Error('a wake-up was lost');
    meanwhile?.();
    await new Promise((resolve) => setTimeout(resolve, round < 100 ? 0 : 1));
  }
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

it('of one who is stopped after he was woken goes to the next', async () => {
  const mapping = open();
  const stop = new AbortController();
  const leaving = waitAsync(mapping, 0, 0, { signal: stop.signal });
  const staying = waitAsync(mapping, 0, 0);
  await wakeOne(mapping);
  block(20);
  stop.abort();
  await expect(leaving).rejects.toBe(stop.signal.reason);
  expect(await staying).toBe('ok');
});

it('is told to one whose time was up after he was woken', async () => {
  const mapping = open();
  let late = false;
  while (!late) {
    const waiting = waitAsync(mapping, 0, 0, { timeout: 20 });
    if (notify(mapping, 0, 1) === 0) {
      await waiting;
      continue;
    }
    // Both the timer and the letter are due when the loop turns, and timers come first.
    block(40);
    expect(await waiting).toBe('ok');
    late = true;
  }
});

it('of a worker that is terminated goes to the next', async () => {
  const mapping = open();
  const worker = new Worker(
    `const memmap = require(${JSON.stringify(entry)});
     const m = memmap.mapFileSync(${JSON.stringify(mapping.path)}, { access: 'read-write' });
     memmap.waitAsync(m, 0, 0);
     require('node:worker_threads').parentPort.postMessage(1);
     for (;;);`,
    { eval: true },
  );
  await once(worker, 'message');
  await wakeOne(mapping);
  block(20);
  const staying = waitAsync(mapping, 0, 0);
  await worker.terminate();
  expect(await staying).toBe('ok');
});

it('is not lost where many words are woken at once', async () => {
  const mapping = open();
  const count = 40;
  for (let round = 0; round < 50; round++) {
    let ended = 0;
    const waits = Array.from({ length: count }, async (_, i) => {
      expect(await waitAsync(mapping, 4 * i, 0)).toBe('ok');
      ended++;
    });
    block(2);
    let counted = 0;
    for (let i = 0; i < count; i++) counted += notify(mapping, 4 * ((i * 7) % count), 1);
    await until(() => ended >= counted);
    await until(
      () => ended === count,
      () => {
        for (let i = 0; i < count; i++) notify(mapping, 4 * i);
      },
    );
    await Promise.all(waits);
  }
});

it('ends nobody else, once the word is known to be one that is woken', async () => {
  const mapping = open();
  const others = { ended: 0 };
  const quiet = Array.from({ length: 30 }, (_, i) =>
    waitAsync(mapping, 64 + 4 * i, 0).then(() => others.ended++),
  );
  let waiting = waitAsync(mapping, 0, 0);
  await wakeOne(mapping);
  await waiting;
  // Those in front of it then may have ended too; these are new.
  const before = others.ended;
  for (let round = 0; round < 100; round++) {
    waiting = waitAsync(mapping, 0, 0);
    await wakeOne(mapping);
    await waiting;
  }
  expect(others.ended).toBe(before);
  for (let i = 0; others.ended < 30; i++) {
    notify(mapping, 64 + 4 * (i % 30));
    await turn();
  }
  await Promise.all(quiet);
});

it('reaches both who have the same word at two addresses', async () => {
  const first = open();
  const second = open(first.path);
  for (let round = 0; round < 50; round++) {
    const ended: string[] = [];
    const waits = [first, second].map((mapping, i) =>
      waitAsync(mapping, 0, 0).then(() => ended.push(String(i))),
    );
    block(2);
    const counted = notify(first, 0);
    await until(() => ended.length >= counted);
    await until(
      () => ended.length === 2,
      () => void notify(first, 0),
    );
    await Promise.all(waits);
  }
});

it('of one who is stopped in the instant in which another word is woken goes to the next', async () => {
  const mapping = open();
  const alias = open(mapping.path);
  for (let round = 0; round < 200; round++) {
    const stop = new AbortController();
    const leaving = waitAsync(mapping, 0, 0, { signal: stop.signal }).catch(() => 'left');
    const other = waitAsync(mapping, 64, 0);
    block(1);
    const staying = waitAsync(alias, 0, 0);
    block(1);
    const counted = notify(mapping, 0, 1);
    notify(mapping, 64, 1);
    stop.abort();
    const heir = leaving.then((how) => (how === 'left' ? staying : how));
    if (counted === 1) await Promise.race([staying, heir]);
    const state = { ended: false };
    const all = Promise.all([leaving, other, staying]).finally(() => (state.ended = true));
    while (!state.ended) {
      notify(mapping, 0);
      notify(mapping, 64);
      await turn();
    }
    await all;
  }
});

it('of one whose memory goes in that instant goes to the next', async () => {
  const mapping = open();
  for (let round = 0; round < 200; round++) {
    const going = open(mapping.path);
    const leaving = waitAsync(going, 0, 0);
    block(1);
    const staying = waitAsync(mapping, 0, 0);
    await wakeOne(mapping);
    going.unmap();
    expect(await Promise.any([leaving, staying])).toBe('ok');
    const state = { ended: false };
    const all = Promise.allSettled([leaving, staying]).finally(() => (state.ended = true));
    while (!state.ended) {
      notify(mapping, 0);
      await turn();
    }
    await all;
  }
});

it('of one whose memory moves is told to him', async () => {
  const mapping = open();
  for (let round = 0; round < 20; round++) {
    const waiting = waitAsync(mapping, 0, 0);
    await wakeOne(mapping);
    mapping.resize(4096 * (2 ** 10 + (round % 2) * 2 ** 12));
    expect(await waiting).toBe('ok');
  }
});
