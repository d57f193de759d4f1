// wait, waitAsync, notify: the public face of sleeping on words. Checks what it is given and finds
// the word; futex.ts does the rest.
import { types } from 'node:util';
import { misuse } from '../errors.js';
import { inside } from '../inside.js';
import { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import { kindOf } from '../true-bytes.js';
import * as validate from '../validate.js';
import { mappingOf, offsetOf } from '../views.js';
import { type Spot, sharedRecord, sleep, sleepLater, wake } from './futex.js';

/** 32-bit words of a mapping: an array over its Buffer, or over its SharedArrayBuffer. */
export type Words = Int32Array | Uint32Array;

/** How a wait ended: woken (or for no reason), on another value, or because its time was up. */
export type WaitResult = 'ok' | 'not-equal' | 'timed-out';

/** How long `wait` waits. */
export interface WaitOptions {
  /** Milliseconds. Default: for ever. */
  timeout?: number;
}

/** How `waitAsync` is stopped. */
export interface WaitAsyncOptions extends WaitOptions {
  /** Rejects with the signal's reason. */
  signal?: AbortSignal;
  /** False: it does not keep the process alive. Default true. */
  ref?: boolean;
}

interface Word extends Spot {
  /** The word as JavaScript's own Atomics see it, if they can wake anybody there. */
  readonly local: { readonly words: Int32Array; readonly index: number } | undefined;
}

const BYTES = 4;

/** A mapping and a byte offset in it, or an array over its memory and an index in that. */
function wordAt(target: unknown, index: unknown): Word {
  if (typeof target === 'object' && target !== null && inside.recordOf(target) !== undefined) {
    const offset = validate.bytes('index', index);
    return { mapping: target as Mapping, offset, local: undefined };
  }
  const kind = kindOf(target);
  if (kind !== 'Int32Array' && kind !== 'Uint32Array') {
    throw validate.wrongKind(
      'target',
      'a Mapping, or an Int32Array or Uint32Array over one',
      target,
    );
  }
  const { buffer, byteOffset, length } = target as Words;
  const mapping = mappingOf(buffer);
  if (!(mapping instanceof Mapping)) {
    throw misuse('ARGUMENT', 'target must lie in the memory of a Mapping of this thread', {
      argument: 'target',
      hint: 'a SharedArrayBuffer that came from another thread is not known here: map it here too, or use Atomics',
    });
  }
  liveOf(mapping);
  const at = validate.bytes('index', index);
  validate.within(at * BYTES, BYTES, length * BYTES);
  const shared = types.isSharedArrayBuffer(buffer);
  const words = shared ? new Int32Array(buffer, byteOffset, length) : undefined;
  return {
    mapping,
    offset: offsetOf(buffer) + byteOffset + at * BYTES,
    local: words && { words, index: at },
  };
}

/** Whole numbers of 32 bits, signed or not. */
function valueOf(value: unknown): number {
  const expected = 'a whole number from -2^31 to 2^32 - 1';
  if (typeof value !== 'number') throw validate.wrongKind('value', expected, value);
  if (Math.trunc(value) === value && value >= -0x80000000 && value <= 0xffffffff) return value;
  throw misuse('RANGE', `value must be ${expected}; got ${validate.describe(value)}`, {
    argument: 'value',
  });
}

function countOf(count: unknown): number {
  return count === undefined || count === Infinity ? Infinity : validate.bytes('count', count);
}

const timeoutOf = (timeout: unknown): number =>
  timeout === undefined ? Infinity : validate.milliseconds('options.timeout', timeout);

/**
 * Sleeps while the 32-bit word holds `value`, in any process that maps the same memory, until
 * `notify` (or a futex call of another language) wakes it. Blocks this thread. `target` is a shared
 * mapping and `index` a byte offset in it, a multiple of 4; or an Int32Array or Uint32Array over
 * its memory, and `index` counts its elements. A wait may end for no reason: look at the word again.
 * Change the word before you notify. Source: futex(2).
 *
 * @example
 * ```js
 * const memory = memmap.mapAnonymous(4096, { shared: true });
 * memmap.wait(memory, 0, 1); // 'not-equal': the word is 0
 * memmap.wait(memory, 0, 0, { timeout: 10 }); // 'timed-out'
 * ```
 */
export function wait(
  target: Mapping | Words,
  index: number,
  value: number,
  options?: WaitOptions,
): WaitResult {
  const word = wordAt(target, index);
  const expected = valueOf(value);
  const given = validate.options('options', options, ['timeout'] as const);
  const deadline = performance.now() + timeoutOf(given.timeout);
  for (let round = 0; ; round++) {
    const left = deadline - performance.now();
    const result = sleep(word, expected, left);
    // It has changed since the last look: that is what was waited for.
    if (result === 'not-equal' && round > 0) return 'ok';
    if (result !== 'timed-out' || performance.now() >= deadline) return result;
  }
}

/**
 * `wait` without blocking: one thread of memmap's waits for many words, so that waits for other
 * words, or for the same one, may end for no reason. Rejects with the signal's reason, and with ERR_MEMMAP_UNMAPPED when the mapping is unmapped meanwhile.
 */
export async function waitAsync(
  target: Mapping | Words,
  index: number,
  value: number,
  options?: WaitAsyncOptions,
): Promise<WaitResult> {
  const word = wordAt(target, index);
  const expected = valueOf(value);
  const given = validate.options('options', options, ['timeout', 'signal', 'ref'] as const);
  const timeout = timeoutOf(given.timeout);
  const signal = validate.signal(given.signal);
  const ref = given.ref === undefined ? true : validate.boolean('options.ref', given.ref);
  return sleepLater(word, expected, { timeout, signal, ref });
}

/**
 * Wakes up to `count` who wait for the word, in any process, and says how many: at least as many
 * waits end, in no particular order. Where the array is over a SharedArrayBuffer also those who wait there by
 * `Atomics.wait`. Source: futex(2).
 */
export function notify(target: Mapping | Words, index: number, count?: number): number {
  const word = wordAt(target, index);
  const most = countOf(count);
  const range = { offset: word.offset, length: BYTES };
  sharedRecord(word.mapping, range, { alignment: BYTES, use: 'read' });
  const woken = most === 0 ? 0 : wake(word, most);
  const { local } = word;
  if (local === undefined || woken >= most) return woken;
  return woken + Atomics.notify(local.words, local.index, most - woken);
}
