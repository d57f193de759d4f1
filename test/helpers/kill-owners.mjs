// Processes that count under a mutex and are killed while they do: at random from outside, and by themselves in the middle
// of a section. Used by test/process/mutex-killed.test.ts and by longer runs.
//
//   words: 0 the counter · 1 stop · 2 who is inside · 3 owners that died · 16.. sections that each process has completed
//   the mutex is at byte 512

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

const SIZE = 4096;
const LOCK = 512;
const COUNTER = 0;
const STOP = 1;
const INSIDE = 2;
const DEATHS = 3;
const DONE = 16;

function open(entry, path, options = {}) {
  const memmap = require(entry);
  const mapping = memmap.mapFileSync(path, { access: 'read-write', ...options });
  const words = new Int32Array(mapping.view(0, LOCK).buffer, 0, LOCK / 4);
  return { mapping, words, mutex: new memmap.Mutex(mapping, LOCK) };
}

const sum = (words) => words.subarray(DONE).reduce((total, each) => total + each, 0);

/** A section: everything in it is plain reads and writes. Dies in it with a probability of 1 in `odds`. */
function section(words, slot, guard, odds) {
  const dies = odds > 0 && Math.random() * odds < 1 ? Math.floor(Math.random() * 4) : -1;
  const step = (number) => {
    if (dies === number) process.kill(process.pid, 'SIGKILL');
    for (let spin = Math.random() * 500; spin > 0; spin--) words[8] = spin;
  };
  if (guard.ownerDied) {
    // What the dead one had completed counts, and nothing else.
    words[COUNTER] = sum(words);
    words[DEATHS]++;
    guard.markConsistent();
  } else if (words[INSIDE] !== 0) {
    throw new Error(`two are inside: ${words[INSIDE] - 1} and ${slot}`);
  }
  words[INSIDE] = slot + 1;
  step(0);
  const before = words[COUNTER];
  if (before !== sum(words)) throw new Error(`the counter is ${before}, and not ${sum(words)}`);
  step(1);
  words[COUNTER] = before + 1;
  step(2);
  words[DONE + slot]++;
  step(3);
  words[INSIDE] = 0;
  guard.unlock();
}

async function work(entry, path, slot, odds) {
  const { words, mutex } = open(entry, path);
  console.log('ready');
  while (Atomics.load(words, STOP) === 0) {
    // Half of them block, the others wait on their event loop.
    const guard = slot % 2 === 0 ? mutex.lock() : await mutex.lockAsync();
    section(words, slot, guard, odds);
  }
}

/**
 * Kills `kills` of `processes` that count under one mutex, starting each anew. Rejects where one of them found what must
 * not be; gives what was counted.
 */
export async function killOwners({ entry, path, kills, processes = 4, odds = 60 }) {
  const { mapping, words, mutex } = open(entry, path, { create: true, size: SIZE });
  let left = kills;
  let failure;
  const children = new Set();
  const life = async (slot) => {
    while (failure === undefined) {
      const args = [
        fileURLToPath(import.meta.url),
        'work',
        entry,
        path,
        String(slot),
        String(odds),
      ];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      children.add(child);
      let timer;
      const kill = () => child.kill('SIGKILL');
      // Some are killed before they have begun.
      if (left > 0 && Math.random() < 0.1) timer = setTimeout(kill, Math.random() * 50);
      child.stdout.once('data', () => {
        if (left > 0) timer ??= setTimeout(kill, Math.random() * 50);
      });
      const [code, signal] = await once(child, 'exit');
      clearTimeout(timer);
      children.delete(child);
      if (signal === 'SIGKILL') {
        if (--left <= 0) Atomics.store(words, STOP, 1);
      } else if (code !== 0) {
        failure = new Error(`a process ended with ${signal ?? code}`);
        Atomics.store(words, STOP, 1);
        for (const other of children) other.kill('SIGKILL');
      }
      if (Atomics.load(words, STOP) !== 0) return;
    }
  };
  await Promise.all(Array.from({ length: processes }, (_, slot) => life(slot)));
  if (failure !== undefined) throw failure;
  // Whoever came last may have been killed as well.
  const guard = mutex.lock({ timeout: 10_000 });
  if (guard.ownerDied) {
    words[COUNTER] = sum(words);
    words[DEATHS]++;
    guard.markConsistent();
  }
  const counted = { counter: words[COUNTER], completed: sum(words), deaths: words[DEATHS] };
  guard.unlock();
  mapping.unmap();
  return { ...counted, kills: kills - left };
}

const [, , what, entry, path, slot, odds] = process.argv;
if (what === 'work') await work(entry, path, Number(slot), Number(odds));
