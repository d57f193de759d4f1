// gc, gc-whole: what looking at mapped memory does to a program with a heap of 400 MB. Each side is a
// process of its own, because what one leaves in the heap would slow down the other.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { median, timesFaster } from '../harness.mjs';

const ROUNDS = 3;
const PEER = 'koffi: mmap, koffi.view of the whole, munmap';
const child = fileURLToPath(new URL('gc-child.mjs', import.meta.url));

function measure(way) {
  return new Promise((resolve, reject) => {
    const process = fork(child, [way]);
    process.once('message', resolve);
    process.once('error', reject);
    process.once('exit', (code, signal) => {
      reject(new Error(`the ${way} side ended with ${signal ?? code}`));
    });
  });
}

const WAYS = { gc: 'view', 'gc-whole': 'buffer' };

/** koffi takes half a minute, so both rows are measured against the same rounds of it. */
async function run(names) {
  const times = { koffi: [] };
  for (const name of names) times[name] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) times[name].push(await measure(WAYS[name]));
    times.koffi.push(await measure('koffi'));
  }
  const against = median(times.koffi);
  return Object.fromEntries(names.map((name) => [name, { value: median(times[name]), against }]));
}

export const gc = {
  name: 'gc',
  what: '100 times with a 400 MB heap: map 1 GiB, look at 64 KiB through view or buffer, unmap',
  results: {
    gc: { unit: 'ms', peer: PEER, target: timesFaster(100) },
    'gc-whole': { unit: 'ms', peer: PEER, target: timesFaster(2) },
  },
  run,
};
