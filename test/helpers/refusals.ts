// What a call threw, as a value: tests look at its code, its system call and its words.

import type { MapError } from '../../lib/index.js';

export type Refusal = Error & Partial<Omit<MapError, keyof Error>> & { argument?: string };

/** The error that the call throws; a call that throws none fails the test. */
export function refused(call: () => unknown): Refusal {
  let answer: unknown;
  try {
    answer = call();
  } catch (error) {
    return error as Refusal;
  }
  throw new Error(`nothing was thrown; the call gave ${typeof answer}`);
}

/** The error that the promise rejects with. */
export async function refusedLater(promise: Promise<unknown>): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    return error as Refusal;
  }
  throw new Error('the promise was fulfilled');
}

/** The kernel's refusal, for `toMatchObject`. */
export const kernelSays = (code: string, syscall: string) => ({ name: 'MapError', code, syscall });

/** memmap's own refusal. */
export const memmapSays = (kind: string) => ({ code: `ERR_MEMMAP_${kind}` });

/** Says on stderr why a test was not run, and gives the `it` that does not run it. */
export function itUnless(reason: string | undefined): jest.It {
  if (reason === undefined) return it;
  process.stderr.write(`skipped: ${reason}\n`);
  return it.skip;
}
