// How one writer and many readers of a Latest agree about which buffer is whose. Pure: knows words, no mapping. Every
// order of the steps below, with any of them the last one of a process, is tried by test/shared/latest-steps.test.ts.
//
// A lane is [8 bits: number of the newest buffer | 24 bits: who has seen that]. A reader moves on by ONE atomic `or` of its
// bit: the answer names the buffer, and the same step has told the writer. The writer moves on by ONE compare-and-swap of the
// whole word: the bits that it took out are the readers that hold the buffer of before, until they are seen on a later one.
// A buffer that is not the newest and that no reader was last seen on is free. Each reader holds at most one, so that of
// readers + 2 buffers one is always free: nobody ever waits for anybody.
import { makesNoSense } from './nonsense.js';
import { BITS, BIT_MASK, type LatestShape, NOTHING, SEQUENCE_AT, STEP } from './latest-shape.js';

/** In the sequence word: somebody sleeps on it. The versions are above. */
const SLEEPERS = 1;

const numberIn = (lane: number): number => lane >>> BITS;

export const corrupt = (what: string): Error => makesNoSense('Latest', what);

/** What is stored with a buffer. */
function valueAt(shape: LatestShape, number: number): number {
  return shape.valuesAt + (number - 1) * STEP;
}

/** Which value a buffer has: they are counted from 1. */
export function versionOf(words: Int32Array, shape: LatestShape, number: number): number {
  if (number === NOTHING) return 0;
  const at = valueAt(shape, number) + 1;
  const low = Atomics.load(words, at) >>> 0;
  const version = (Atomics.load(words, at + 1) >>> 0) * 2 ** 32 + low;
  if (version > Number.MAX_SAFE_INTEGER) throw corrupt('a version beyond 2^53');
  return version;
}

export class ReaderCore {
  readonly #words: Int32Array;
  readonly #shape: LatestShape;
  readonly #lane: number;
  readonly #bit: number;
  #held: number = NOTHING;
  #length = 0;

  constructor(words: Int32Array, shape: LatestShape, reader: number) {
    this.#words = words;
    this.#shape = shape;
    this.#lane = shape.lanesAt + Math.trunc(reader / BITS) * STEP;
    this.#bit = 1 << (reader % BITS);
  }

  /** The number of the buffer that is this reader's until the next call; NOTHING before the first value. */
  enter(): number {
    // While this reader holds a buffer its number is not used again, so that an equal number is an equal value.
    if (numberIn(Atomics.load(this.#words, this.#lane)) === this.#held) return this.#held;
    const seen = numberIn(Atomics.or(this.#words, this.#lane, this.#bit));
    if (seen > this.#shape.buffers) throw corrupt(`buffer ${String(seen)}`);
    if (seen !== NOTHING) this.#length = this.#lengthOf(seen);
    this.#held = seen;
    return seen;
  }

  #lengthOf(number: number): number {
    const length = Atomics.load(this.#words, valueAt(this.#shape, number));
    if (length < 0 || length > this.#shape.size)
      throw corrupt(`a value of ${String(length)} bytes`);
    return length;
  }

  /** There is a newer value than that of the last `enter`. */
  get changed(): boolean {
    return numberIn(Atomics.load(this.#words, this.#lane)) !== this.#held;
  }

  get held(): number {
    return this.#held;
  }

  /** Bytes of the value in the buffer that is held. */
  get length(): number {
    return this.#length;
  }

  /** Says that somebody will sleep, and gives the word to sleep on as it is then: look at `changed` once more after this. */
  expectSleep(): number {
    return Atomics.or(this.#words, SEQUENCE_AT, SLEEPERS) | SLEEPERS;
  }
}

export class WriterCore {
  readonly #words: Int32Array;
  readonly #shape: LatestShape;
  /** By reader: the last buffer it was seen on. The truth is in shared memory, for the next writer. */
  readonly #holds: Uint8Array;
  /** By buffer: how many readers were last seen on it. */
  readonly #holders: Uint8Array;
  #current: number;
  #version: number;

  /** Takes over where the last writer was, wherever that was. Whoever calls this is the only writer. */
  constructor(words: Int32Array, shape: LatestShape) {
    this.#words = words;
    this.#shape = shape;
    for (let lane = 0; lane < shape.lanes; lane++) this.#recover(lane);
    this.#holds = new Uint8Array(shape.readers);
    this.#holders = new Uint8Array(shape.buffers + 1);
    for (let reader = 0; reader < shape.readers; reader++) {
      const held = this.#checked(Atomics.load(words, shape.holdsAt + reader));
      this.#holds[reader] = held;
      this.#holders[held] = (this.#holders[held] ?? 0) + 1;
    }
    // The first lane is published first: what the others do not have yet they are given now.
    this.#current = this.#numberIn(0);
    for (let lane = 1; lane < shape.lanes; lane++) {
      if (this.#numberIn(lane) !== this.#current) this.#publishLane(lane, this.#current);
    }
    this.#version = versionOf(words, shape, this.#current);
  }

  get version(): number {
    return this.#version;
  }

  get current(): number {
    return this.#current;
  }

  /** A buffer that nobody reads, and nobody will before it is published. */
  pick(): number {
    for (let number = 1; number <= this.#shape.buffers; number++) {
      if (number !== this.#current && this.#holders[number] === 0) return number;
    }
    throw corrupt('no buffer is free');
  }

  /** Makes the buffer, which pick() gave and which was filled since, the newest. True: somebody sleeps. */
  publish(number: number, length: number): boolean {
    const version = this.#version + 1;
    const at = valueAt(this.#shape, number);
    // Plain stores: the swap of the lane comes after them, for every processor.
    this.#words[at] = length;
    this.#words[at + 1] = version;
    this.#words[at + 2] = Math.trunc(version / 2 ** 32);
    for (let lane = 0; lane < this.#shape.lanes; lane++) this.#publishLane(lane, number);
    this.#current = number;
    this.#version = version;
    return this.tell();
  }

  /** Moves the word that sleepers wait on. True: somebody sleeps. */
  tell(): boolean {
    // Only the writer counts, so that one exchange does it; two values of 31 bits are equal after 2^31 writes.
    const before = Atomics.exchange(this.#words, SEQUENCE_AT, this.#version << 1);
    return (before & SLEEPERS) !== 0;
  }

  #publishLane(lane: number, number: number): void {
    const words = this.#words;
    const at = this.#shape.lanesAt + lane * STEP;
    let seen = Atomics.load(words, at);
    const before = numberIn(seen);
    // Each failure means that one more reader came to the old buffer, which it does once.
    for (let tries = 0; tries <= BITS && numberIn(seen) === before; tries++) {
      // Written down first: if this is the writer's last step, the next one knows whom the swap has taken out.
      words[at + 1] = seen;
      const found = Atomics.compareExchange(words, at, seen, number << BITS);
      if (found === seen) {
        this.#move(lane, seen);
        return;
      }
      seen = found;
    }
    throw corrupt('its lanes do not keep still');
  }

  /** The readers whose bits these are were last seen on this buffer. */
  #move(lane: number, seen: number): void {
    const number = numberIn(seen);
    let bits = seen & BIT_MASK;
    while (bits !== 0) {
      const reader = lane * BITS + 31 - Math.clz32(bits & -bits);
      bits &= bits - 1;
      if (reader >= this.#shape.readers) continue;
      const last = this.#holds[reader] ?? NOTHING;
      if (last === number) continue;
      this.#holders[last] = (this.#holders[last] ?? 1) - 1;
      this.#holders[number] = (this.#holders[number] ?? 0) + 1;
      this.#holds[reader] = number;
      this.#words[this.#shape.holdsAt + reader] = number;
    }
  }

  /** If the last writer died between a swap and the end of #move, does the rest. Doing it again changes nothing. */
  #recover(lane: number): void {
    const words = this.#words;
    const at = this.#shape.lanesAt + lane * STEP;
    const taken = Atomics.load(words, at + 1);
    const number = this.#checked(numberIn(taken));
    // The swap was not done: the bits are still in the lane.
    if (number === this.#numberIn(lane)) return;
    for (let bits = taken & BIT_MASK; bits !== 0; bits &= bits - 1) {
      const reader = lane * BITS + 31 - Math.clz32(bits & -bits);
      if (reader < this.#shape.readers) words[this.#shape.holdsAt + reader] = number;
    }
  }

  #numberIn(lane: number): number {
    return this.#checked(numberIn(Atomics.load(this.#words, this.#shape.lanesAt + lane * STEP)));
  }

  #checked(number: number): number {
    if (number >= 0 && number <= this.#shape.buffers) return number;
    throw corrupt(`buffer ${String(number)}`);
  }
}
