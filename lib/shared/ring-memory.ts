// What both halves of a ring share: its memory, its geometry, who we are, and how the other half is woken.
import { ANSWER, BASE, UNIT, WORD } from './ring-layout.js';
import { acquire } from './ordered.js';
import type { LockPlace, World } from './ring-lock.js';

const { items, space, receiversAsleep, sendersAsleep } = WORD;

export interface RingPlace extends LockPlace {
  /** The whole channel, header and all; `words` is the same. */
  readonly bytes: Uint8Array;
  /** Units of the ring: read once, checked against the length of the memory, and never read again. */
  readonly units: number;
}

/** Milliseconds that a call may wait for a lock before it gives up, unless it has less time. */
export const LOCK_PATIENCE = 20;

/** The memory of a ring. */
export class RingMemory implements RingPlace {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly units: number;
  readonly tag: number;
  readonly world: World;
  /** Where positions begin anew: see ring-layout.ts. */
  readonly wrap: number;
  /** Milliseconds that the call of now may wait for a lock. */
  patience = LOCK_PATIENCE;
  /** What makes no sense, where an answer is `corrupt`. */
  trouble = '';

  constructor({ words, bytes, units, tag, world }: RingPlace) {
    this.words = words;
    this.bytes = bytes;
    this.units = units;
    this.wrap = 2 * units;
    this.tag = tag;
    this.world = world;
  }

  /** Free bytes, headers counted as used, as far as one can tell without a lock. */
  get free(): number {
    const used = this.used;
    return Math.max(0, this.units - 2 - used) * UNIT;
  }

  /** Units between head and tail; both move meanwhile. */
  get used(): number {
    const tail = Atomics.load(this.words, WORD.tail);
    const head = Atomics.load(this.words, WORD.head);
    const used = (((tail - head) % this.wrap) + this.wrap) % this.wrap;
    // A head that is before the tail for an instant: a record is received before its sender has left.
    return used >= this.units ? 0 : used;
  }

  /** The word of the unit at a position. */
  wordOf(at: number): number {
    return BASE + (at >= this.units ? at - this.units : at) * 2;
  }

  /** The position so many units behind another. */
  advance(at: number, count: number): number {
    const next = at + count;
    return next >= this.wrap ? next - this.wrap : next;
  }

  /** Units from a position to a later one. */
  distance(from: number, to: number): number {
    const distance = to - from;
    return distance < 0 ? distance + this.wrap : distance;
  }

  /** Units of a record at `at` with `length` bytes; 0 when it cannot be that long. */
  countAt(at: number, length: number): number {
    const unit = at >= this.units ? at - this.units : at;
    const count = length < 0 ? 0 : (length + 15) >>> 3;
    return count > this.units - unit ? 0 : count;
  }

  /** The answer to nonsense; says what it is. */
  corrupt(what: string, value: number): number {
    this.trouble = `${what} is ${String(value)}`;
    return ANSWER.corrupt;
  }

  /** Wakes receivers, if one sleeps. */
  wakeReceivers(): void {
    if (acquire(this.words, receiversAsleep) !== 0) this.#wake(receiversAsleep, items);
  }

  /** Wakes senders, if one sleeps and an eighth is free: not for each message of a full ring. */
  wakeSenders(): void {
    if (acquire(this.words, sendersAsleep) === 0) return;
    if (this.used <= this.units - (this.units >>> 3)) this.#wake(sendersAsleep, space);
  }

  /** Everybody looks again: the channel was closed, or we leave. */
  wakeAll(): void {
    this.#wake(receiversAsleep, items);
    this.#wake(sendersAsleep, space);
  }

  #wake(flag: number, number: number): void {
    Atomics.store(this.words, flag, 0);
    Atomics.add(this.words, number, 1);
    this.world.wake(number, Infinity);
  }
}
