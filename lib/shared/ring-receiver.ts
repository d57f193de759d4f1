// The receiving half of a ring; see ring-layout.ts for its states. Numbers in, numbers out: nothing is allocated for a message.
import type { Bytes } from './familiar.js';
import { ANSWER, BASE, HELD, OVERHEAD, STATE, STATE_SHIFT, UNIT, WORD } from './ring-layout.js';
import { acquire, release } from './ordered.js';
import type { RingKeeper } from './ring-keeper.js';
import { RingLock } from './ring-lock.js';
import type { RingMemory } from './ring-memory.js';
import { ShortCopy } from './short-copy.js';

const { RESERVED, COMMITTED, CLAIMED, RELEASED, PADDING } = STATE;
const { head: HEAD, scan: SCAN, receiveLock: LOCK, rescan: RESCAN, closed: CLOSED } = WORD;

/** The state of a record that can be received. */
const READY = COMMITTED << STATE_SHIFT;

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
  readonly #me: number;
  readonly #lock: RingLock;
  readonly #keeper: RingKeeper;
  /** Records, from head to end, that others may still commit or give back. */
  #outstanding = 0;
  #head = 0;
  #at = 0;
  #next = 0;
  #nextWord = BASE;
  #lastThorough = 0;
  /** Where the next record will be if nobody else receives: head and scan, as a position that was checked, and its word. */
  #here = 0;
  #hereWord = BASE;

  constructor(ring: RingMemory, keeper: RingKeeper) {
    this.#ring = ring;
    this.#words = ring.words;
    this.#copy = new ShortCopy(ring.bytes);
    this.#units = ring.units;
    this.#me = ring.tag | HELD;
    this.#lock = new RingLock(ring, LOCK);
    this.#keeper = keeper;
  }

  /** Copies the next message to `target`: its length, or an answer. `long`: more than `room`; it stays. */
  receive(target: Bytes, at: number, room: number): number {
    const unit = this.#find();
    if (unit < 0) return unit;
    const { length } = this;
    if (length > room || length > INSIDE) {
      this.#leave();
      return ANSWER.long;
    }
    this.#copy.out(target, at, this);
    const words = this.#words;
    const next = this.#next;
    if (this.#at === this.#head) {
      release(words, HEAD, next);
      this.#here = next;
      this.#hereWord = this.#nextWord;
    } else {
      release(words, BASE + unit * 2, RELEASED << STATE_SHIFT);
    }
    words[SCAN] = next;
    this.#lock.leaveQuietly();
    this.#ring.wakeSenders();
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
    this.#keeper.sweep(this.#ring.patience);
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

  /** The unit of the first message, with the lock held; or an answer, without it. */
  #find(): number {
    const words = this.#words;
    const here = this.#here;
    if (words[SCAN] === here && words[HEAD] === here && !this.thorough) {
      // The usual case: the record here is the first, or there is none.
      const word = this.#hereWord;
      if (acquire(words, word) === 0) {
        if (Atomics.load(words, RESCAN) === 0 && words[CLOSED] === 0) return ANSWER.wait;
      } else if (Atomics.compareExchange(words, LOCK, 0, this.#me) === 0) {
        return this.#isFirst(word, here) ? (word - BASE) >> 1 : this.#walkLocked();
      }
    }
    return this.#search();
  }

  #expectAt(at: number): void {
    this.#here = at;
    this.#hereWord = this.#ring.wordOf(at);
  }

  /** Whether what was seen here without the lock is so, and may be received. With the lock held. */
  #isFirst(word: number, here: number): boolean {
    const words = this.#words;
    if (words[SCAN] !== here || words[HEAD] !== here || words[RESCAN] !== 0) return false;
    if (acquire(words, word) !== READY) return false;
    const length = words[word + 1] ?? 0;
    const count = (length + 15) >>> 3;
    const unit = (word - BASE) >> 1;
    if (length < 0 || count >= this.#units - unit) return false;
    this.length = length;
    this.offset = word * 4 + UNIT;
    this.#head = here;
    this.#at = here;
    this.#next = here + count;
    this.#nextWord = word + count * 2;
    return true;
  }

  #search(): number {
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
    if (scan < 0 || scan >= this.#ring.wrap) return false;
    const head = words[HEAD] ?? 0;
    if (this.#ring.distance(head, scan) >= this.#units) return false;
    if ((words[this.#ring.wordOf(scan)] ?? 0) !== 0) return false;
    if (head === scan) this.#expectAt(scan);
    return Atomics.load(words, RESCAN) === 0 && acquire(words, SCAN) === scan;
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

  /** With the lock held; without it where there is nothing. */
  #walkLocked(): number {
    const unit = this.#walk(false);
    if (unit < 0) this.#leave();
    return unit;
  }

  #walk(thorough: boolean): number {
    const words = this.#words;
    // Behind the lock nobody else writes these: its compare-and-swap is the fence.
    const head = words[HEAD] ?? 0;
    if (head < 0 || head >= this.#ring.wrap) return this.#ring.corrupt('its head', head);
    let at = words[SCAN] ?? 0;
    let walked = this.#ring.distance(head, at);
    if (
      thorough ||
      words[RESCAN] !== 0 ||
      at < 0 ||
      at >= this.#ring.wrap ||
      walked >= this.#units
    ) {
      Atomics.store(words, RESCAN, 0);
      at = head;
      walked = 0;
    }
    let free = head;
    let answer: number = ANSWER.wait;
    let again = 0;
    this.#outstanding = 0;
    for (;;) {
      const word = this.#ring.wordOf(at);
      const state = acquire(words, word);
      if (state === 0) break;
      const length = words[word + 1] ?? 0;
      const count = this.#ring.countAt(at, length);
      walked += count;
      if (count === 0 || walked >= this.#units) {
        answer = this.#ring.corrupt('the length of a record', length);
        break;
      }
      const kind = this.#keeper.kindOf(word, state);
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
        this.#next = this.#ring.advance(at, count);
        this.#nextWord = this.#ring.wordOf(this.#next);
        break;
      }
      const next = this.#ring.advance(at, count);
      if (kind > PADDING || kind === 0) {
        answer = this.#ring.corrupt('the state of a record', state);
        break;
      }
      if (kind >= RELEASED && free === at) free = next;
      else if (kind === RESERVED || (kind === CLAIMED && !this.#keeper.isOurs(state)))
        this.#outstanding++;
      at = next;
    }
    if (free !== head) Atomics.store(words, HEAD, free);
    words[SCAN] = at;
    this.#head = free;
    this.#at = at;
    if (free === at) this.#expectAt(at);
    return answer;
  }

  #leave(): void {
    this.#lock.leave();
    this.#ring.wakeSenders();
  }
}
