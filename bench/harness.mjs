// How everything here is measured: ours and theirs by turns in one process, the median of each.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

export const now = () => Number(process.hrtime.bigint());

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What is told of many times; sides are compared by the first. */
const PERCENTILES = { p50: 0.5, p99: 0.99, 'p99.9': 0.999 };

/** The percentiles of many times. */
export function spreadOf(times) {
  const sorted = Float64Array.from(times).sort();
  const at = (part) => sorted[Math.floor(part * (sorted.length - 1))];
  return Object.fromEntries(Object.entries(PERCENTILES).map(([name, part]) => [name, at(part)]));
}

/** The median of what the rounds of a side answered, numbers or spreads. */
function summary(found) {
  if (typeof found[0] === 'number') return { value: median(found) };
  const percentiles = Object.fromEntries(
    Object.keys(PERCENTILES).map((name) => [name, median(found.map((spread) => spread[name]))]),
  );
  return { value: percentiles.p50, percentiles };
}

/** A target: the ratio ours / theirs is at most `limit`. */
export const atMost = (limit) => ({
  text: `<= ${limit}`,
  ratioOf: ({ value, against }) => value / against,
  isMet: (ratio) => ratio <= limit,
});

/** A target: ours is at least `limit` times faster, ratio theirs / ours. */
export const timesFaster = (limit) => ({
  text: `>= ${limit}`,
  ratioOf: ({ value, against }) => against / value,
  isMet: (ratio) => ratio >= limit,
});

/** A target: ours is at least `limit` times larger, ratio ours / theirs. */
export const timesLarger = (limit) => ({
  text: `>= ${limit}`,
  ratioOf: ({ value, against }) => value / against,
  isMet: (ratio) => ratio >= limit,
});

/** No target: the ratio ours / theirs is only reported. */
export const reported = {
  text: 'report',
  ratioOf: ({ value, against }) => value / against,
  isMet: () => true,
};

/** Nanoseconds per operation of `count` calls. */
export function perOperation(count, operation) {
  const start = now();
  for (let i = 0; i < count; i++) operation(i);
  return (now() - start) / count;
}

/**
 * Ours, theirs, ours, theirs, ...: machine noise that lasts longer than a round hits both. Each side
 * answers what one operation cost, or the spread of that (spreadOf). The first `warmup` rounds are not
 * counted. `shuffle`: chance says who begins, where what one side leaves behind, collections among it,
 * would always hit the other.
 */
export async function duel({
  ours,
  theirs,
  rounds,
  warmup = 2,
  between = () => {},
  shuffle = false,
}) {
  const sides = [
    { measure: ours, found: [] },
    { measure: theirs, found: [] },
  ];
  for (let round = -warmup; round < rounds; round++) {
    const order = shuffle && Math.random() < 0.5 ? [1, 0] : [0, 1];
    for (const side of order) {
      await between();
      const cost = await sides[side].measure();
      if (round >= 0) sides[side].found.push(cost);
    }
  }
  const [mine, other] = sides.map(({ found }) => summary(found));
  const found = { value: mine.value, against: other.value };
  if (mine.percentiles === undefined) return found;
  return { ...found, percentiles: { ours: mine.percentiles, theirs: other.percentiles } };
}

/** Until everything that waits for a later turn of the event loop, finalizers among it, has run. */
export async function drain() {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A collection outside of the measured time. Needs --expose-gc. */
export const collect = () => globalThis.gc();

/** Calls `use(path)` with a file of random bytes on the disk of this folder: written, synced, cached. */
export async function withFile(size, use) {
  const parent = fileURLToPath(new URL('build', import.meta.url));
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'file-'));
  try {
    const path = join(folder, 'data');
    fill(path, size);
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fill(path, size) {
  const fd = openSync(path, 'w');
  const block = randomFillSync(Buffer.allocUnsafe(Math.min(size, 16 * MiB)));
  for (let done = 0; done < size; done += block.length) {
    writeSync(fd, block, 0, Math.min(block.length, size - done));
  }
  // Written back now, so that no writeback runs while something is measured.
  fdatasyncSync(fd);
  closeSync(fd);
}
