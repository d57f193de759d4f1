// The locks of a ring: a word that says who holds it. Taken over from the dead; never waited for without end.
import { acquire, release } from './ordered.js';
import { ASLEEP, HELD, TAG } from './ring-layout.js';

/** What a ring must be told by others: who is alive, and how one sleeps. Words are indexes. */
export interface World {
  isAlive(tag: number): boolean;
  /** Wakes everybody, or one, that sleeps on a word. */
  wake(word: number, count: number): void;
  /** Sleeps while the word has this value, at most so many milliseconds. */
  sleep(word: number, value: number, milliseconds: number): void;
  /** Milliseconds, of a clock that never goes back. */
  now(): number;
}

/** Where a lock is, and who takes it. */
export interface LockPlace {
  readonly words: Int32Array;
  readonly tag: number;
  readonly world: World;
}

/** Looks at a taken lock before its taker goes to sleep: a section that runs takes far less. */
const SPINS = 200;

/** A section takes a microsecond: a sleep as long as this only happens when a holder lost its processor. */
const SLICE = 10;

/**
 * A lock. `words[index]` is taken by a compare-and-swap from 0 to `me` in the ring's own code, which is all that it costs when it is
 * free; everything else is here.
 */
export class RingLock {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #me: number;
  readonly #world: World;

  constructor({ words, tag, world }: LockPlace, index: number) {
    this.#words = words;
    this.#index = index;
    this.#me = tag | HELD;
    this.#world = world;
  }

  /** True: it is ours. False: somebody else had it for as long as `patience`, in milliseconds. */
  take(patience: number): boolean {
    const words = this.#words;
    let mine = this.#me;
    let deadline = 0;
    for (let round = 0; ; round++) {
      const seen = Atomics.load(words, this.#index);
      const free = seen === 0 || this.#isLost(seen);
      // Whoever sleeps on it must be woken by us, too.
      const next = mine | (seen & ASLEEP);
      if (free && Atomics.compareExchange(words, this.#index, seen, next) === seen) return true;
      if (round < SPINS) continue;
      if (deadline === 0) deadline = this.#world.now() + patience;
      const left = deadline - this.#world.now();
      if (left <= 0) return false;
      if (free) continue;
      const asleep = seen | ASLEEP;
      if (Atomics.compareExchange(words, this.#index, seen, asleep) !== seen) continue;
      mine |= ASLEEP;
      this.#world.sleep(this.#index, asleep, Math.min(left, SLICE));
    }
  }

  leave(): void {
    if (Atomics.exchange(this.#words, this.#index, 0) < 0) this.#world.wake(this.#index, 1);
  }

  /**
   * `leave` for whoever wakes nobody urgently: whoever goes to sleep at this very moment, for the lock or for what was done behind it,
   * may sleep for a slice.
   */
  leaveQuietly(): void {
    if (acquire(this.#words, this.#index) === this.#me) release(this.#words, this.#index, 0);
    else this.leave();
  }

  /** Its holder is dead, or it is we: an exception (of a stack that is full) ended a section of ours. */
  #isLost(seen: number): boolean {
    const holder = seen & ~ASLEEP;
    if (holder === this.#me) return true;
    return (holder & HELD) === 0 || !this.#world.isAlive(holder & TAG);
  }
}
