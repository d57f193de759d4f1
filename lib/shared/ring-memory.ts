// What both halves of a ring share: its memory, its geometry, who we are, and how the other half is woken.
import { UNIT, WORD } from './ring-layout.js';
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
  /** Milliseconds that the call of now may wait for a lock. */
  patience = LOCK_PATIENCE;
  /** What makes no sense, where an answer is `corrupt`. */
  trouble = '';

  constructor({ words, bytes, units, tag, world }: RingPlace) {
    this.words = words;
    this.bytes = bytes;
    this.units = units;
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
    const wrap = 2 * this.units;
    const tail = Atomics.load(this.words, WORD.tail);
    const head = Atomics.load(this.words, WORD.head);
    const used = (((tail - head) % wrap) + wrap) % wrap;
    // A head that is before the tail for an instant: a record is received before its sender has left.
    return used >= this.units ? 0 : used;
  }

  /** Wakes receivers, if one sleeps. */
  wakeReceivers(): void {
    if (Atomics.load(this.words, receiversAsleep) !== 0) this.#wake(receiversAsleep, items);
  }

  /** Wakes senders, if one sleeps and an eighth is free: not for each message of a full ring. */
  wakeSenders(): void {
    if (Atomics.load(this.words, sendersAsleep) === 0) return;
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
