// scan, scan-readfile: going through 256 MiB from one end to the other.
import { readFileSync } from 'node:fs';
import { mapFileSync } from 'memmap';
import { KiB, MiB, atMost, collect, duel, now, timesFaster, withFile } from '../harness.mjs';

export const LENGTH = 256 * MiB;
const ROUNDS = 15;

/**
 * The four quarters side by side: one after the other, a loop in JavaScript waits for memory most of
 * the time, which hides what it costs to get at the bytes. The length is read once, because a loop
 * that reads it every time gets slower when the process first detaches an ArrayBuffer.
 */
export function sum(words) {
  const quarter = words.length >>> 2;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0, j = quarter, k = 2 * quarter, l = 3 * quarter; i < quarter; i++, j++, k++, l++) {
    a = (a + words[i]) | 0;
    b = (b + words[j]) | 0;
    c = (c + words[k]) | 0;
    d = (d + words[l]) | 0;
  }
  return (a + b + c + d) | 0;
}

/** So that the loop is compiled as a whole, not while it runs for the first time. */
export function warmUp(words) {
  for (let i = 0; i < 5000; i++) sum(words.subarray(i, i + 1024));
}

export const wordsOf = ({ buffer, byteOffset, length }) =>
  new Uint32Array(buffer, byteOffset, length / 4);

/** Both sides see the same bytes, or there is nothing to compare. */
export function stopwatch() {
  let expected;
  return (work) => {
    const start = now();
    const total = work();
    const spent = (now() - start) / 1e6;
    expected ??= total;
    if (total !== expected) throw new Error('the two sides disagree about the sum');
    return spent;
  };
}

export const scan = {
  name: 'scan',
  what: 'summing 256 MiB of Uint32 in a warm mapping of a file',
  results: { scan: { unit: 'ms', peer: 'an ordinary heap buffer', target: atMost(1.05) } },
  run() {
    const milliseconds = stopwatch();
    return withFile(LENGTH, async (path) => {
      const mapping = mapFileSync(path, { populate: true });
      const mapped = wordsOf(mapping.buffer);
      // A copy: never pooled, filled, and so in memory.
      const heap = wordsOf(Buffer.from(mapping.buffer));
      warmUp(mapped);
      warmUp(heap);
      const found = await duel({
        ours: () => milliseconds(() => sum(mapped)),
        theirs: () => milliseconds(() => sum(heap)),
        rounds: ROUNDS,
      });
      mapping.unmap();
      return { scan: found };
    });
  },
};

export const scanReadFile = {
  name: 'scan-readfile',
  what: 'map, sum and unmap a cached file of 256 MiB',
  results: {
    'scan-readfile': { unit: 'ms', peer: 'fs.readFileSync, then the sum', target: timesFaster(3) },
  },
  run() {
    const milliseconds = stopwatch();
    return withFile(LENGTH, async (path) => {
      const mapping = mapFileSync(path, { length: 64 * KiB });
      warmUp(wordsOf(mapping.buffer));
      mapping.unmap();
      const found = await duel({
        ours: () =>
          milliseconds(() => {
            const mapping = mapFileSync(path);
            const total = sum(wordsOf(mapping.buffer));
            mapping.unmap();
            return total;
          }),
        theirs: () => milliseconds(() => sum(wordsOf(readFileSync(path)))),
        rounds: ROUNDS,
        between: collect,
      });
      return { 'scan-readfile': found };
    });
  },
};
