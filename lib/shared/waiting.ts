// How one waits for a ring: spin, sleep on its number, look again. In slices, since whoever should wake us may be killed.
import { misuse } from '../errors.js';
import type { Endpoint } from './endpoint.js';
import { type SleepOptions, type SleepResult, nap, napLater } from './futex.js';
import type { Patience } from './line.js';
import { ANSWER, WORD } from './ring-layout.js';
import { LOCK_PATIENCE } from './ring-memory.js';
import { type Spin, timedOut } from './waiting-options.js';

/** A call on the ring that may have to wait: `wait` and `busy` mean that it wants to be tried again. */
export interface Attempt {
  /** Whose number one sleeps on. */
  readonly side: 'items' | 'space';
  try(): number;
}

const SIDES = {
  items: { flag: WORD.receiversAsleep, number: WORD.items, lock: WORD.receiveLock },
  space: { flag: WORD.sendersAsleep, number: WORD.space, lock: WORD.sendLock },
} as const;

/** The longest sleeps, in milliseconds. */
const SLICE = 100;
const SLICE_LATER = 250;
const SLICE_BUSY = 10;

/** A lock that a live thread holds for longer is not let go any more: the thread is stopped, or the lock is garbage. */
const LONGEST_HELD = 10_000;

/** How many looks are as long as one at the clock. */
const LOOKS = 64;

export class Waiting {
  readonly #end: Endpoint;

  constructor(end: Endpoint) {
    this.#end = end;
  }

  /** Tries until it works, and blocks meanwhile. */
  now(attempt: Attempt, { timeout, spin }: Spin): number {
    const began = performance.now();
    const { flag, number, lock } = SIDES[attempt.side];
    let busySince = 0;
    for (;;) {
      let answer = tryOften(attempt, began + Math.min(spin, timeout));
      if (isSettled(answer)) return answer;
      const time = performance.now();
      if (time - began >= timeout) throw timedOut();
      busySince = this.#mindLock(answer, lock, busySince);
      if (answer === ANSWER.busy) continue;
      const seen = this.#announce(flag, number);
      answer = attempt.try();
      if (isSettled(answer)) return answer;
      const left = Math.min(SLICE, timeout - (time - began));
      this.#awake(nap(this.#end.spot(number), seen, left) === 'timed-out');
    }
  }

  /** The same, and lets others do something meanwhile. */
  async later(attempt: Attempt, { deadline, signal, ref }: Patience): Promise<number> {
    const { flag, number, lock } = SIDES[attempt.side];
    let busySince = 0;
    for (;;) {
      signal?.throwIfAborted();
      this.#end.check();
      let answer = this.#try(attempt, busySince !== 0);
      if (isSettled(answer)) return answer;
      const left = deadline - performance.now();
      if (left <= 0) throw timedOut();
      busySince = this.#mindLock(answer, lock, busySince);
      if (answer === ANSWER.busy) {
        const held = Atomics.load(this.#end.words, lock);
        await this.#sleepLater(lock, held, { timeout: Math.min(SLICE_BUSY, left), signal, ref });
        continue;
      }
      const seen = this.#announce(flag, number);
      answer = this.#try(attempt, busySince !== 0);
      if (isSettled(answer)) return answer;
      const timeout = Math.min(SLICE_LATER, left);
      const result = await this.#sleepLater(number, seen, { timeout, signal, ref });
      this.#awake(result === 'timed-out');
    }
  }

  /** Where a lock was not free for a while it is slept for, too: to wait for it here would block the event loop. */
  #try(attempt: Attempt, isBusy: boolean): number {
    const { ring } = this.#end;
    if (isBusy) ring.patience = 0;
    try {
      return attempt.try();
    } finally {
      ring.patience = LOCK_PATIENCE;
    }
  }

  async #sleepLater(word: number, value: number, options: SleepOptions): Promise<SleepResult> {
    try {
      return await napLater(this.#end.spot(word), value, options);
    } catch (error) {
      // detach() may have unmapped it.
      this.#end.check();
      throw error;
    }
  }

  /** Says that one is about to sleep; gives the number to sleep on. What changes from here on wakes us. */
  #announce(flag: number, number: number): number {
    Atomics.store(this.#end.words, flag, 1);
    return Atomics.load(this.#end.words, number);
  }

  /** Nobody called: whoever should have may be dead, and hold what we wait for. */
  #awake(alone: boolean): void {
    this.#end.receiver.thorough ||= alone;
  }

  #mindLock(answer: number, lock: number, since: number): number {
    if (answer !== ANSWER.busy) return 0;
    const time = performance.now();
    if (since === 0 || time - since < LONGEST_HELD) return since === 0 ? time : since;
    throw misuse('TIMEOUT', `a lock of the channel is held by ${this.#end.holderOf(lock)}`, {
      hint: 'the holder is alive but not running; was it stopped?',
    });
  }
}

/** Whether an answer is one, and not to be asked for again. */
export const isSettled = (answer: number): boolean =>
  answer !== ANSWER.wait && answer !== ANSWER.busy;

/** Once at least, then until `until`. */
function tryOften(attempt: Attempt, until: number): number {
  for (;;) {
    for (let look = 0; look < LOOKS; look++) {
      const answer = attempt.try();
      if (isSettled(answer) || answer === ANSWER.busy) return answer;
      if (look === 0 && performance.now() >= until) return answer;
    }
  }
}
