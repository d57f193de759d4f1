// The receiving half of a ring; see ring-layout.ts for its states. Numbers in, numbers out: nothing is allocated for a message.
import {
  ANSWER,
  BASE,
  HELD,
  OVERHEAD,
  STATE,
  STATE_SHIFT,
  TAG,
  UNIT,
  WORD,
} from './ring-layout.js';
import { RingLock } from './ring-lock.js';
import type { RingMemory } from './ring-memory.js';
import { ShortCopy } from './short-copy.js';

const { RESERVED, COMMITTED, CLAIMED, RELEASED, ABANDONED, PADDING } = STATE;
const { head: HEAD, scan: SCAN, receiveLock: LOCK, rescan: RESCAN, closed: CLOSED } = WORD;

/** Longer messages are claimed, and copied without the lock. */
const INSIDE = 16 * 1024;

/** How often a walk starts over because something before what it found was committed meanwhile: of a peer that plays fair, once. */
const AGAIN = 16;

/** What the dead held is looked for at least as often, in milliseconds. */
const THOROUGH_EVERY = 50;

export class RingReceiver {
  /** Length of the message that was found last, and where its payload is. */
  length = 0;
  offset = 0;
  /** The next look begins at the head, for what the dead left behind. */
  thorough = false;
  readonly #ring: RingMemory;
  readonly #words: Int32Array;
  readonly #copy: ShortCopy;
  readonly #units: number;
  readonly #wrap: number;
  readonly #me: number;
  readonly #lock: RingLock;
  /** Records, from head to end, that others may still commit or give back. */
  #outstanding = 0;
  #head = 0;
  #at = 0;
  #next = 0;
  #lastThorough = 0;

  constructor(ring: RingMemory) {
    this.#ring = ring;
    this.#words = ring.words;
    this.#copy = new ShortCopy(ring.words, ring.bytes);
    this.#units = ring.units;
    this.#wrap = 2 * ring.units;
    this.#me = ring.tag | HELD;
    this.#lock = new RingLock(ring, LOCK);
  }

  /** Copies the next message to `target`: its length, or an answer. `long`: more than `room`; it stays. */
  receive(target: Uint8Array, at: number, room: number): number {
    const unit = this.#find();
    if (unit < 0) return unit;
    const { length } = this;
    if (length > room || length > INSIDE) {
      this.#leave();
      return ANSWER.long;
    }
    this.#copy.out(target, at, this);
    const words = this.#words;
    if (this.#at === this.#head) {
      Atomics.store(words, HEAD, this.#next);
    } else {
      Atomics.store(words, BASE + unit * 2, RELEASED << STATE_SHIFT);
    }
    words[SCAN] = this.#next;
    this.#leave();
    return length;
  }

  /** Claims the next message: its unit, or an answer. It stays where it is until `release` or `requeue`. */
  claim(): number {
    const unit = this.#find();
    if (unit < 0) return unit;
    const words = this.#words;
    Atomics.store(words, BASE + unit * 2, (CLAIMED << STATE_SHIFT) | this.#ring.tag);
    words[SCAN] = this.#next;
    this.#leave();
    return unit;
  }

  /** The end of a claim: the message is done with. */
  release(unit: number): boolean {
    if (!this.#settle(unit, RELEASED)) return false;
    this.sweep(this.#ring.patience);
    if (Atomics.load(this.#words, CLOSED) !== 0) this.#ring.wakeReceivers();
    return true;
  }

  /** The end of a claim: the message is for another, or for us once more. */
  requeue(unit: number): boolean {
    if (!this.#settle(unit, COMMITTED)) return false;
    Atomics.store(this.#words, RESCAN, 1);
    this.#ring.wakeReceivers();
    return true;
  }

  #settle(unit: number, state: number): boolean {
    const word = BASE + unit * 2;
    const mine = (CLAIMED << STATE_SHIFT) | this.#ring.tag;
    const next = state << STATE_SHIFT;
    return Atomics.compareExchange(this.#words, word, mine, next) === mine;
  }

  /** Moves the head over what nobody needs any more. False: the lock could not be had. */
  sweep(patience: number): boolean {
    if (!this.#lock.take(patience)) return false;
    const words = this.#words;
    const head = Atomics.load(words, HEAD);
    let at = head;
    for (let walked = 0; at >= 0 && at < this.#wrap;) {
      const word = this.#wordOf(at);
      const state = Atomics.load(words, word);
      const count = this.#countAt(at, Atomics.load(words, word + 1));
      walked += count;
      if (state === 0 || count === 0 || walked >= this.#units) break;
      if (this.#kindOf(word, state) < RELEASED) break;
      at = this.#advance(at, count);
    }
    if (at !== head) {
      // A scan that is behind the head would be a look at bytes of anything.
      const scan = Atomics.load(words, SCAN);
      if (this.#distance(head, scan) < this.#distance(head, at)) Atomics.store(words, SCAN, at);
      Atomics.store(words, HEAD, at);
    }
    this.#leave();
    return true;
  }

  /** Whether the record at the head could be swept away, without the lock. */
  isLitter(): boolean {
    const head = Atomics.load(this.#words, HEAD);
    if (head < 0 || head >= this.#wrap) return false;
    const state = Atomics.load(this.#words, this.#wordOf(head));
    const kind = state >>> STATE_SHIFT;
    return kind >= RELEASED || (kind === RESERVED && !this.#ring.world.isAlive(state & TAG));
  }

  /** How many records are in which state, for stats(): index is the state. Undefined: no lock. */
  census(): number[] | undefined {
    if (!this.#lock.take(this.#ring.patience)) return undefined;
    const counts = [0, 0, 0, 0, 0, 0, 0];
    let at = Atomics.load(this.#words, HEAD);
    for (let walked = 0; at >= 0 && at < this.#wrap;) {
      const word = this.#wordOf(at);
      const state = Atomics.load(this.#words, word);
      const count = this.#countAt(at, Atomics.load(this.#words, word + 1));
      const kind = state >>> STATE_SHIFT;
      walked += count;
      if (state === 0 || count === 0 || kind > PADDING || walked >= this.#units) break;
      counts[kind] = (counts[kind] ?? 0) + 1;
      at = this.#advance(at, count);
    }
    this.#leave();
    return counts;
  }

  /** The unit of the first message, with the lock held; or an answer, without it. */
  #find(): number {
    if (this.thorough || !this.#seemsEmpty()) {
      const thorough = this.thorough;
      this.thorough = false;
      const found = this.#findLocked(thorough);
      if (found !== ANSWER.wait || thorough) return found;
    }
    return this.#isThoroughDue() ? this.#findLocked(true) : ANSWER.wait;
  }

  /** One look at the record that comes next, which is in our cache until a sender writes it. A hint: no atomics. */
  #seemsEmpty(): boolean {
    const words = this.#words;
    const scan = words[SCAN] ?? 0;
    if (scan < 0 || scan >= this.#wrap) return false;
    if (this.#distance(words[HEAD] ?? 0, scan) >= this.#units) return false;
    if ((words[this.#wordOf(scan)] ?? 0) !== 0) return false;
    return Atomics.load(words, RESCAN) === 0 && Atomics.load(words, SCAN) === scan;
  }

  /** Only when there is nothing to receive: is it the end, or does somebody dead hold something? */
  #isThoroughDue(): boolean {
    const words = this.#words;
    if (words[CLOSED] !== 0) return true;
    if (words[HEAD] === words[SCAN]) return false;
    return this.#ring.world.now() - this.#lastThorough > THOROUGH_EVERY;
  }

  #findLocked(thorough: boolean): number {
    const words = this.#words;
    // Before the look: what was sent before the end is received.
    const closed = thorough && Atomics.load(words, CLOSED) !== 0;
    if (
      Atomics.compareExchange(words, LOCK, 0, this.#me) !== 0 &&
      !this.#lock.take(this.#ring.patience)
    ) {
      return ANSWER.busy;
    }
    if (thorough) this.#lastThorough = this.#ring.world.now();
    const unit = this.#walk(thorough);
    if (unit >= 0) return unit;
    this.#leave();
    return unit === ANSWER.wait && closed && this.#outstanding === 0 ? ANSWER.closed : unit;
  }

  #walk(thorough: boolean): number {
    const words = this.#words;
    // Behind the lock nobody else writes these: its compare-and-swap is the fence.
    const head = words[HEAD] ?? 0;
    if (head < 0 || head >= this.#wrap) return this.#corrupt('its head', head);
    let at = words[SCAN] ?? 0;
    let walked = this.#distance(head, at);
    if (thorough || words[RESCAN] !== 0 || at < 0 || at >= this.#wrap || walked >= this.#units) {
      Atomics.store(words, RESCAN, 0);
      at = head;
      walked = 0;
    }
    let free = head;
    let answer: number = ANSWER.wait;
    let again = 0;
    this.#outstanding = 0;
    for (;;) {
      const word = this.#wordOf(at);
      const state = Atomics.load(words, word);
      if (state === 0) break;
      const length = words[word + 1] ?? 0;
      const count = this.#countAt(at, length);
      walked += count;
      if (count === 0 || walked >= this.#units) {
        answer = this.#corrupt('the length of a record', length);
        break;
      }
      const kind = this.#kindOf(word, state);
      if (kind === COMMITTED) {
        // Its sender may have committed an older one that we have passed, or that lies before the scan: that one comes first.
        if (at !== free && again < AGAIN && Atomics.load(words, RESCAN) !== 0) {
          Atomics.store(words, RESCAN, 0);
          again++;
          at = free = head;
          walked = this.#outstanding = 0;
          continue;
        }
        answer = (word - BASE) / 2;
        this.length = length;
        this.offset = OVERHEAD + (answer + 1) * UNIT;
        this.#next = this.#advance(at, count);
        break;
      }
      const next = this.#advance(at, count);
      if (kind > PADDING || kind === 0) {
        answer = this.#corrupt('the state of a record', state);
        break;
      }
      if (kind >= RELEASED && free === at) free = next;
      else if (kind === RESERVED || (kind === CLAIMED && !this.#isOurs(state))) this.#outstanding++;
      at = next;
    }
    if (free !== head) Atomics.store(words, HEAD, free);
    words[SCAN] = at;
    this.#head = free;
    this.#at = at;
    return answer;
  }

  /** The state of a record, after what the dead held was taken from them. With the lock held. */
  #kindOf(word: number, state: number): number {
    const kind = state >>> STATE_SHIFT;
    if (kind !== RESERVED && kind !== CLAIMED) return kind;
    if (this.#isOurs(state) || this.#ring.world.isAlive(state & TAG)) return kind;
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

  #isOurs(state: number): boolean {
    return (state & TAG) === this.#ring.tag;
  }

  #wordOf(at: number): number {
    return BASE + (at >= this.#units ? at - this.#units : at) * 2;
  }

  /** Units of a record at `at`; 0 when it cannot be that long. */
  #countAt(at: number, length: number): number {
    const unit = at >= this.#units ? at - this.#units : at;
    const count = length < 0 ? 0 : (length + 15) >>> 3;
    return count > this.#units - unit ? 0 : count;
  }

  #distance(from: number, to: number): number {
    const distance = to - from;
    return distance < 0 ? distance + this.#wrap : distance;
  }

  #advance(at: number, count: number): number {
    const next = at + count;
    return next >= this.#wrap ? next - this.#wrap : next;
  }

  #leave(): void {
    this.#lock.leave();
    this.#ring.wakeSenders();
  }

  #corrupt(what: string, value: number): number {
    this.#ring.trouble = `${what} is ${String(value)}`;
    return ANSWER.corrupt;
  }
}
