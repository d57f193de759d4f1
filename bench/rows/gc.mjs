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

async function against(way, name) {
  const ours = [];
  const theirs = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await measure(way));
    theirs.push(await measure('koffi'));
  }
  return { [name]: { value: median(ours), against: median(theirs) } };
}

export const gc = {
  name: 'gc',
  what: '100 times with a 400 MB heap: map 1 GiB, look at 64 KiB through view, unmap',
  results: { gc: { unit: 'ms', peer: PEER, target: timesFaster(100) } },
  run: () => against('view', 'gc'),
};

export const gcWhole = {
  name: 'gc-whole',
  what: '100 times with a 400 MB heap: map 1 GiB, look at 64 KiB through buffer, unmap',
  results: { 'gc-whole': { unit: 'ms', peer: PEER, target: timesFaster(2) } },
  run: () => against('buffer', 'gc-whole'),
};
