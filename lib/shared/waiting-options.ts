// What may be said about a wait: how long, how it is stopped, whether it spins first.
import { misuse } from '../errors.js';
import * as validate from '../validate.js';
import type { Patience } from './line.js';

/** How an asynchronous call waits. */
export interface ChannelWaitOptions {
  /** Milliseconds; then the call rejects with ERR_MEMMAP_TIMEOUT. Without it, for ever. */
  timeout?: number;
  /** Rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** How a blocking call waits. */
export interface ChannelSpinOptions {
  /** Milliseconds; then the call throws ERR_MEMMAP_TIMEOUT. Without it, for ever. */
  timeout?: number;
  /** Milliseconds to look without sleeping; 0.05 by default. `Infinity`: never sleep. */
  spin?: number;
}

/** The times of a blocking call. */
export interface Spin {
  readonly timeout: number;
  readonly spin: number;
}

const SPIN = 0.05;
const DEFAULT_SPIN: Spin = { timeout: Infinity, spin: SPIN };

const milliseconds = (name: string, value: unknown, otherwise: number): number =>
  value === undefined ? otherwise : validate.milliseconds(name, value);

export function patienceOf(value: unknown, ref: boolean): Patience {
  if (value === undefined) return { deadline: Infinity, signal: undefined, ref };
  const given = validate.options('options', value, ['timeout', 'signal'] as const);
  const timeout = milliseconds('timeout', given.timeout, Infinity);
  return { deadline: performance.now() + timeout, signal: validate.signal(given.signal), ref };
}

export function spinOf(value: unknown): Spin {
  if (value === undefined) return DEFAULT_SPIN;
  const given = validate.options('options', value, ['timeout', 'spin'] as const);
  return {
    timeout: milliseconds('timeout', given.timeout, Infinity),
    spin: milliseconds('spin', given.spin, SPIN),
  };
}

/** The error of a wait that was too long. */
export const timedOut = (): Error => misuse('TIMEOUT', 'timed out');
