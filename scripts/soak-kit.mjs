// What every soak needs: numbers that a seed determines, and an end to what hangs.
import { setTimeout as pause } from 'node:timers/promises';

/** A seed for a run that was given none. */
export const chosenSeed = () => String(1 + Math.floor(Math.random() * 2 ** 31));

/** Numbers from 0 to below `limit` that a seed determines (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** Rejects when it takes so long that somebody must be waiting forever. */
export async function inTime(seconds, work) {
  const abort = new AbortController();
  const late = pause(seconds * 1000, undefined, { signal: abort.signal }).then(() => {
    throw new Error(`not done after ${seconds} s`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    abort.abort();
  }
}
