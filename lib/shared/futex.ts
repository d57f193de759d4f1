// Sleeping on 32-bit words of shared memory and waking who sleeps, across processes. Everything
// that waits is built on this; a sleep may end for no reason, so look at the word again.
import { check, codeOf, native } from '../binding.js';
import { flags } from '../constants.js';
import { misuse } from '../errors.js';
import { inHome } from '../home.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import { whereOf } from '../ranges.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import { notAfterAll, stopWith } from './stops.js';

/** A 32-bit word in a shared mapping. `offset`: bytes in the mapping, a multiple of 4. */
export interface Spot {
  readonly mapping: Mapping;
  readonly offset: number;
}

/** How a sleep ended: woken or for no reason, on another value, or because its time was up. */
export type SleepResult = 'ok' | 'not-equal' | 'timed-out';

const RESULTS: readonly SleepResult[] = ['ok', 'not-equal', 'timed-out'];

/** What the addon answers of a word, in the words of `SleepResult`. */
export const resultOf = (answer: number): SleepResult => RESULTS[answer] ?? 'ok';

/** The longest that a thread is blocked at a time: one that is terminated must not sleep on. */
const LONGEST_MS = 100;

const WORD = 4;

/** A sleep of so many milliseconds, in nanoseconds and no longer than a thread may be blocked. */
export const nanosecondsOf = (ms: number): number =>
  Math.trunc(Math.min(Math.max(ms, 0), LONGEST_MS) * 1e6);

/** What a range of shared memory is for. */
export type Use = 'read' | 'write';

/** The record of a live mapping whose words at `offset` can be shared with other processes. */
export function sharedRecord(
  mapping: Mapping,
  { offset, length }: validate.ByteRange,
  { alignment, use }: { readonly alignment: number; readonly use: Use },
): MappingRecord {
  const record = liveOf(mapping);
  validate.within(offset, length, record.length);
  if (!record.contents.shared) {
    throw misuse('UNSUPPORTED', 'the memory is private to this process', {
      ...whereOf(record),
      hint: "map it shared: access 'read-write' of a file, or mapAnonymous(length, { shared: true })",
    });
  }
  const address = record.address + offset;
  if (address % alignment !== 0) {
    throw misuse('ARGUMENT', `offset must be a multiple of ${String(alignment)}`, {
      argument: 'offset',
      address: BigInt(address),
      hint: 'it is the address that counts, so the mapping must begin at such a one, too',
    });
  }
  const needed = use === 'write' ? flags.read | flags.write : flags.read;
  if (!record.allows(needed, address, address + length)) {
    throw misuse('READ_ONLY', `the mapping is '${record.protectionWord}'`, {
      ...whereOf(record),
      hint: "map it with access 'read-write', or protect('read-write') first",
    });
  }
  return record;
}

/** `bytes` of shared, writable memory as words; over `mapping.view()`. */
export function wordsOf(mapping: Mapping, offset: number, bytes: number): Int32Array {
  sharedRecord(mapping, { offset, length: bytes }, { alignment: WORD, use: 'write' });
  const view = mapping.view(offset, bytes);
  return new Int32Array(view.buffer, view.byteOffset, bytes / WORD);
}

const recordOf = ({ mapping, offset }: Spot): MappingRecord =>
  sharedRecord(mapping, { offset, length: WORD }, { alignment: WORD, use: 'read' });

/**
 * Sleeps while the word holds `value`, at most `ms` and never longer than 100 ms: the caller looks
 * again, and loops.
 */
export function sleep(spot: Spot, value: number, ms: number): SleepResult {
  const record = recordOf(spot);
  const at = record.lead + spot.offset;
  const answer = native.futexWait(record.start, at, value >>> 0, nanosecondsOf(ms));
  return resultOf(check(answer, whereOf(record)));
}

/** The page is missing by now: the file was cut short since it was looked at. */
const isMissing = (error: unknown): boolean =>
  (error as { readonly code?: unknown } | undefined)?.code === 'EFAULT';

/** `sleep` for whoever looks again whatever it says: where the page is missing the look meets that, and says what it is. */
export function nap(spot: Spot, value: number, ms: number): SleepResult {
  try {
    return sleep(spot, value, ms);
  } catch (error) {
    if (isMissing(error)) return 'ok';
    throw error;
  }
}

/** Wakes up to `count` who sleep on the word, in any process; says how many. */
export function wake(spot: Spot, count: number): number {
  const record = recordOf(spot);
  const most = Math.min(count, 0x7fffffff);
  return check(native.futexWake(record.start, record.lead + spot.offset, most), whereOf(record));
}

/** `wake` for whoever has changed the word already: on a page that is missing nobody sleeps. */
export function rouse(spot: Spot, count: number): number {
  try {
    return wake(spot, count);
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** How `sleepLater` is stopped, and whether it keeps the process alive (by default it does). */
export interface SleepOptions {
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly ref?: boolean | undefined;
}

/** The longest time that a timer of Node's takes. */
const LONGEST_TIMER = 0x7fffffff;

const ASLEEP = 2;

class Sleeper {
  readonly #spot: Spot;
  readonly #value: number;
  readonly #options: SleepOptions;
  readonly #id: number;
  readonly #settle: (result: SleepResult) => void;
  readonly #fail: (reason: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #deadline = Infinity;

  constructor(
    { spot, value, options }: { spot: Spot; value: number; options: SleepOptions },
    settle: (result: SleepResult) => void,
    fail: (reason: unknown) => void,
  ) {
    this.#spot = spot;
    this.#value = value;
    this.#options = options;
    this.#id = ++lastId;
    this.#settle = settle;
    this.#fail = fail;
  }

  get #stays(): boolean {
    return this.#options.ref !== false;
  }

  start(): void {
    const { timeout, signal } = this.#options;
    if (!this.#lieDown()) return;
    sleepers.set(this.#id, this);
    if (this.#stays && awake++ === 0) native.refCompletionQueue(mailbox(), true);
    if (signal !== undefined) stopWith(signal, this.#abort);
    if (timeout !== undefined && timeout < Infinity) {
      this.#deadline = performance.now() + timeout;
      this.#setTimer();
    }
  }

  /** False: it has ended already. */
  #lieDown(): boolean {
    const record = recordOf(this.#spot);
    const at = record.lead + this.#spot.offset;
    const answer = native.waitAsync(record.start, at, this.#value, mailbox(), this.#id);
    const known = check(answer, whereOf(record));
    if (known === ASLEEP) return true;
    this.#finish();
    this.#settle(resultOf(known));
    return false;
  }

  #setTimer(): void {
    const left = Math.max(0, this.#deadline - performance.now());
    this.#timer = setTimeout(
      () => {
        if (performance.now() < this.#deadline) {
          this.#setTimer();
          return;
        }
        this.#settle(this.#wasWoken(false) ? 'ok' : 'timed-out');
      },
      Math.min(Math.ceil(left), LONGEST_TIMER),
    );
    if (!this.#stays) this.#timer.unref();
  }

  readonly #abort = (): void => {
    // Nobody may be interested any more: the next one gets what has woken this one.
    this.#wasWoken(true);
    this.#fail(this.#options.signal?.reason);
  };

  /** Stops it. A wake-up may have come, and not yet have been told. */
  #wasWoken(passesOn: boolean): boolean {
    return this.#finish() && check(native.cancelWait(mailbox(), this.#id, passesOn));
  }

  #finish(): boolean {
    const { signal } = this.#options;
    clearTimeout(this.#timer);
    if (signal !== undefined) notAfterAll(signal, this.#abort);
    if (!sleepers.delete(this.#id)) return false;
    if (this.#stays && --awake === 0) native.refCompletionQueue(mailbox(), false);
    return true;
  }

  /** What the addon says of it: woken, the memory has gone, or it is bad. */
  wakeUp(ending: number): void {
    try {
      // The page may be there again.
      if (ending === BAD) {
        this.#lieDown();
        return;
      }
      // Where it was moved, or replaced by other contents, it may have been woken before that.
      if (ending === GONE) recordOf(this.#spot);
      this.#finish();
      this.#settle('ok');
    } catch (error) {
      this.#finish();
      this.#fail(error);
    }
  }
}

const GONE = 1;
const BAD = 2;

let lastId = 0;
/** Each holds its mapping: one that is waited for is not collected. */
const sleepers = new Map<number, Sleeper>();
/** Those that keep the process alive. */
let awake = 0;
let opened: number | undefined;

function mailbox(): number {
  if (opened === undefined) {
    inHome(() => {
      opened = check(native.createCompletionQueue(deliver));
    });
  }
  return opened ?? 0;
}

function deliver(): void {
  const letters = native.takeCompletions(mailbox());
  for (let i = 0; i < letters.length; i += 2) {
    sleepers.get(letters[i] ?? 0)?.wakeUp(letters[i + 1] ?? 0);
  }
}

/**
 * Sleeps while the word holds `value`, without a thread of its own. Rejects with the signal's reason,
 * and with ERR_MEMMAP_UNMAPPED when the mapping goes.
 */
export function sleepLater(
  spot: Spot,
  value: number,
  options: SleepOptions = {},
): Promise<SleepResult> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    new Sleeper({ spot, value: value >>> 0, options }, resolve, reject).start();
  });
}

/** `nap` without a thread of its own. */
export async function napLater(
  spot: Spot,
  value: number,
  options: SleepOptions,
): Promise<SleepResult> {
  try {
    return await sleepLater(spot, value, options);
  } catch (error) {
    if (isMissing(error)) return 'ok';
    throw error;
  }
}

/** True when a failure says that the system cannot do it at all. */
export const isUnsupported = (answer: unknown): boolean =>
  ['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(answer) ?? '');
