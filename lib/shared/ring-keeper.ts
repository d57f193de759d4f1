// Who keeps a ring in order: what nobody needs any more goes, what the dead held is for others.
import { STATE, STATE_SHIFT, TAG, WORD } from './ring-layout.js';
import { RingLock } from './ring-lock.js';
import type { RingMemory } from './ring-memory.js';

const { RESERVED, COMMITTED, CLAIMED, RELEASED, ABANDONED, PADDING } = STATE;
const { head: HEAD, scan: SCAN, rescan: RESCAN } = WORD;

export class RingKeeper {
  readonly #ring: RingMemory;
  readonly #words: Int32Array;
  readonly #lock: RingLock;

  constructor(ring: RingMemory) {
    this.#ring = ring;
    this.#words = ring.words;
    this.#lock = new RingLock(ring, WORD.receiveLock);
  }

  /** Moves the head over what nobody needs any more. False: the lock could not be had. */
  sweep(patience: number): boolean {
    if (!this.#lock.take(patience)) return false;
    const words = this.#words;
    const head = Atomics.load(words, HEAD);
    let at = head;
    for (let walked = 0; at >= 0 && at < this.#ring.wrap;) {
      const word = this.#ring.wordOf(at);
      const state = Atomics.load(words, word);
      const count = this.#ring.countAt(at, Atomics.load(words, word + 1));
      walked += count;
      if (state === 0 || count === 0 || walked >= this.#ring.units) break;
      if (this.kindOf(word, state) < RELEASED) break;
      at = this.#ring.advance(at, count);
    }
    if (at !== head) {
      // A scan that is behind the head would be a look at bytes of anything.
      const scan = Atomics.load(words, SCAN);
      if (this.#ring.distance(head, scan) < this.#ring.distance(head, at))
        Atomics.store(words, SCAN, at);
      Atomics.store(words, HEAD, at);
    }
    this.#leave();
    return true;
  }

  /** Whether the record at the head could be swept away, without the lock. */
  isLitter(): boolean {
    const head = Atomics.load(this.#words, HEAD);
    if (head < 0 || head >= this.#ring.wrap) return false;
    const state = Atomics.load(this.#words, this.#ring.wordOf(head));
    const kind = state >>> STATE_SHIFT;
    return kind >= RELEASED || (kind === RESERVED && !this.#ring.world.isAlive(state & TAG));
  }

  /** How many records are in which state, for stats(): index is the state. Undefined: no lock. */
  census(): number[] | undefined {
    if (!this.#lock.take(this.#ring.patience)) return undefined;
    const counts = [0, 0, 0, 0, 0, 0, 0];
    let at = Atomics.load(this.#words, HEAD);
    for (let walked = 0; at >= 0 && at < this.#ring.wrap;) {
      const word = this.#ring.wordOf(at);
      const state = Atomics.load(this.#words, word);
      const count = this.#ring.countAt(at, Atomics.load(this.#words, word + 1));
      const kind = state >>> STATE_SHIFT;
      walked += count;
      if (state === 0 || count === 0 || kind > PADDING || walked >= this.#ring.units) break;
      counts[kind] = (counts[kind] ?? 0) + 1;
      at = this.#ring.advance(at, count);
    }
    this.#leave();
    return counts;
  }

  /** The state of a record, after what the dead held was taken from them. With the lock held. */
  kindOf(word: number, state: number): number {
    const kind = state >>> STATE_SHIFT;
    if (kind !== RESERVED && kind !== CLAIMED) return kind;
    if (this.isOurs(state) || this.#ring.world.isAlive(state & TAG)) return kind;
    const next = kind === RESERVED ? ABANDONED : COMMITTED;
    // Another state by now: its sender has committed it after all.
    const now = Atomics.compareExchange(this.#words, word, state, next << STATE_SHIFT);
    if (now !== state) return now >>> STATE_SHIFT;
    if (kind === RESERVED) {
      Atomics.add(this.#words, WORD.abandoned, 1);
    } else {
      Atomics.add(this.#words, WORD.redelivered, 1);
      Atomics.store(this.#words, RESCAN, 1);
      this.#ring.wakeReceivers();
    }
    return next;
  }

  isOurs(state: number): boolean {
    return (state & TAG) === this.#ring.tag;
  }

  #leave(): void {
    this.#lock.leave();
    this.#ring.wakeSenders();
  }
}
