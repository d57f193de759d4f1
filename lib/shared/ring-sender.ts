// The sending half of a ring; see ring-layout.ts for its states. Numbers in, numbers out: nothing is allocated for a message.
import type { Bytes } from './familiar.js';
import { ANSWER, BASE, HELD, OVERHEAD, STATE, STATE_SHIFT, UNIT, WORD } from './ring-layout.js';
import { release } from './ordered.js';
import type { RingKeeper } from './ring-keeper.js';
import { RingLock } from './ring-lock.js';
import type { RingMemory } from './ring-memory.js';
import { ShortCopy } from './short-copy.js';

const { RESERVED, COMMITTED, RELEASED, PADDING } = STATE;
const { tail: TAIL, head: HEAD, headSeen: HEAD_SEEN, sendLock: LOCK, closed: CLOSED } = WORD;

/** Longer messages are reserved, and copied without the lock. */
const INSIDE = 16 * 1024;

export class RingSender {
  /** Where the payload of what was reserved last is. */
  offset = 0;
  readonly #ring: RingMemory;
  readonly #keeper: RingKeeper;
  readonly #words: Int32Array;
  readonly #copy: ShortCopy;
  readonly #units: number;
  readonly #me: number;
  readonly #lock: RingLock;
  /** The tail behind what #allocate found, and its word: checked, so that it need not be if it still is the tail. */
  #next = 0;
  #nextWord = BASE;

  constructor(ring: RingMemory, keeper: RingKeeper) {
    this.#ring = ring;
    this.#keeper = keeper;
    this.#words = ring.words;
    this.#copy = new ShortCopy(ring.bytes);
    this.#units = ring.units;
    this.#me = ring.tag | HELD;
    this.#lock = new RingLock(ring, LOCK);
  }

  /** Sends bytes that do not grow: 0, or an answer. */
  send(source: Bytes): number {
    const { length } = source.bytes;
    if (length > INSIDE) return this.#sendLong(source, length);
    const unit = this.#allocate(length);
    if (unit < 0) return unit;
    this.#words[this.#nextWord] = 0;
    this.#copy.in(source, OVERHEAD + (unit + 1) * UNIT);
    if (!this.#publish(unit, length, COMMITTED << STATE_SHIFT)) return ANSWER.closed;
    this.#ring.wakeReceivers();
    return 0;
  }

  /** Whether a message of `length` bytes would be sent: 0, or an answer. The rest of the lap is left out where it is in the way. */
  probe(length: number): number {
    const unit = this.#allocate(length);
    if (unit < 0) return unit;
    this.#lock.leave();
    return 0;
  }

  /** Takes room for `length` bytes, to be written at `offset`: its unit, or an answer. */
  reserve(length: number): number {
    const unit = this.#allocate(length);
    if (unit < 0) return unit;
    this.#words[this.#nextWord] = 0;
    this.offset = OVERHEAD + (unit + 1) * UNIT;
    return this.#publish(unit, length, this.#reserved) ? unit : ANSWER.closed;
  }

  /**
   * Sends what was reserved, the first `length` of `reserved` bytes. What is left becomes padding first, so that whoever walks past
   * meets the next record with the old length and with the new.
   */
  commit(unit: number, reserved: number, length: number): boolean {
    const words = this.#words;
    const word = BASE + unit * 2;
    if (Atomics.load(words, word) !== this.#reserved) return false;
    const count = (length + 15) >>> 3;
    const left = ((reserved + 15) >>> 3) - count;
    if (left > 0) {
      const rest = word + count * 2;
      words[rest + 1] = (left - 1) * UNIT;
      Atomics.store(words, rest, PADDING << STATE_SHIFT);
    }
    if (length !== reserved) Atomics.store(words, word + 1, length);
    return this.#settle(word, COMMITTED);
  }

  /** Gives back what was reserved. */
  abort(unit: number): boolean {
    if (!this.#settle(BASE + unit * 2, RELEASED)) return false;
    this.#keeper.sweep(this.#ring.patience);
    return true;
  }

  /** No more messages. What has been sent before is received. False: a lock was in the way; it is closed all the same. */
  close(patience: number): boolean {
    const taken = this.#lock.take(patience);
    Atomics.store(this.#words, CLOSED, 1);
    if (taken) this.#lock.leave();
    this.#ring.wakeAll();
    return taken;
  }

  #sendLong(source: Bytes, length: number): number {
    const unit = this.reserve(length);
    if (unit < 0) return unit;
    this.#copy.in(source, this.offset);
    if (this.#settle(BASE + unit * 2, COMMITTED)) return 0;
    this.#ring.trouble = 'the state of a record that was being sent has changed';
    return ANSWER.corrupt;
  }

  #settle(word: number, state: number): boolean {
    const reserved = this.#reserved;
    const words = this.#words;
    if (Atomics.compareExchange(words, word, reserved, state << STATE_SHIFT) !== reserved) {
      return false;
    }
    Atomics.store(words, WORD.rescan, 1);
    this.#ring.wakeReceivers();
    return true;
  }

  get #reserved(): number {
    return (RESERVED << STATE_SHIFT) | this.#ring.tag;
  }

  /**
   * Makes what #allocate found a record, and leaves. The store of its state is what counts. False: while we were stopped somebody
   * has closed the channel, and waited for us in vain; those who receive may have heard that nothing comes any more. Stopped between
   * this look and the store it still sends a message that nobody waits for.
   */
  #publish(unit: number, length: number, state: number): boolean {
    const words = this.#words;
    if (words[CLOSED] !== 0) {
      this.#lock.leave();
      return false;
    }
    const word = BASE + unit * 2;
    words[word + 1] = length;
    release(words, word, state);
    words[TAIL] = this.#next;
    this.#lock.leave();
    return true;
  }

  /** The first of enough free units side by side, with the lock held; or an answer, without it. */
  #allocate(length: number): number {
    const words = this.#words;
    if (
      Atomics.compareExchange(words, LOCK, 0, this.#me) !== 0 &&
      !this.#lock.take(this.#ring.patience)
    ) {
      return ANSWER.busy;
    }
    const unit = words[CLOSED] === 0 ? this.#place((length + 15) >>> 3) : ANSWER.closed;
    if (unit < 0) this.#lock.leave();
    return this.#ring.trouble === '' ? unit : ANSWER.corrupt;
  }

  #place(count: number): number {
    const words = this.#words;
    // Behind the lock nobody else writes these: its compare-and-swap is the fence.
    const tail = words[TAIL] ?? 0;
    const word = this.#nextWord;
    if (tail === this.#next && words[word] === 0) {
      // The usual case: nobody else has sent meanwhile, and there is room, by the head as it was seen last.
      const unit = (word - BASE) >> 1;
      let used = tail - (words[HEAD_SEEN] ?? 0);
      if (used < 0) used += this.#ring.wrap;
      if (count < this.#units - unit && used >= 0 && used + count < this.#units) {
        this.#next = tail + count;
        this.#nextWord = word + count * 2;
        return unit;
      }
    }
    return this.#placeFrom(tail, count);
  }

  /** The same from any tail. */
  #placeFrom(given: number, count: number): number {
    const units = this.#units;
    let tail = given;
    if (tail !== this.#next || this.#words[this.#nextWord] !== 0) {
      if (tail < 0 || tail >= this.#ring.wrap) return this.#ring.corrupt('its tail', tail);
      tail = this.#stepOver(tail);
      if (tail < 0) return tail;
    }
    const unit = tail >= units ? tail - units : tail;
    const room = units - unit;
    if (count <= room) {
      if (!this.#hasRoom(tail, count)) return ANSWER.wait;
      this.#go(tail, count);
      return unit;
    }
    // It lies side by side: the rest of the lap is left out. Where both can never fit at once the rest goes first.
    const together = room + count < units ? room + count : room;
    if (!this.#hasRoom(tail, together)) return ANSWER.wait;
    tail = this.#pad(tail, room);
    if (!this.#hasRoom(tail, count)) return ANSWER.wait;
    this.#go(tail, count);
    return 0;
  }

  #go(tail: number, count: number): void {
    this.#next = this.#ring.advance(tail, count);
    this.#nextWord = this.#ring.wordOf(this.#next);
  }

  #pad(tail: number, room: number): number {
    const words = this.#words;
    const word = this.#ring.wordOf(tail);
    const next = this.#ring.advance(tail, room);
    words[word + 1] = (room - 1) * UNIT;
    words[this.#ring.wordOf(next)] = 0;
    Atomics.store(words, word, PADDING << STATE_SHIFT);
    Atomics.store(words, TAIL, next);
    return next;
  }

  /** A sender was killed between its record and the tail: the record counts. */
  #stepOver(tail: number): number {
    const words = this.#words;
    let at = tail;
    for (let walked = 0; ;) {
      const word = this.#ring.wordOf(at);
      const state = Atomics.load(words, word);
      if (state === 0) return at;
      const length = Atomics.load(words, word + 1);
      const unit = at >= this.#units ? at - this.#units : at;
      const count = length < 0 ? 0 : (length + 15) >>> 3;
      walked += count;
      if (state >>> STATE_SHIFT > PADDING || count === 0 || count > this.#units - unit) {
        return this.#ring.corrupt('a record behind its tail', state);
      }
      if (walked >= this.#units) return this.#ring.corrupt('the length of a record', length);
      at = this.#ring.advance(at, count);
      Atomics.store(words, TAIL, at);
    }
  }

  #hasRoom(tail: number, count: number): boolean {
    const words = this.#words;
    let used = tail - (words[HEAD_SEEN] ?? 0);
    if (used < 0) used += this.#ring.wrap;
    // Not what the head was a lap ago: it was seen by whoever last looked, under this same lock.
    if (used >= 0 && used + count < this.#units) return true;
    used = this.#look(tail);
    if (used + count < this.#units) return true;
    if (this.#ring.trouble !== '' || !this.#keeper.isLitter()) return false;
    return this.#keeper.sweep(0) && this.#look(tail) + count < this.#units;
  }

  /** Units in use, by the head as it is now. */
  #look(tail: number): number {
    const head = Atomics.load(this.#words, HEAD);
    let used = tail - head;
    if (used < 0) used += this.#ring.wrap;
    if (head < 0 || head >= this.#ring.wrap || used >= this.#units) {
      this.#ring.corrupt('its head', head);
      return this.#units;
    }
    this.#words[HEAD_SEEN] = head;
    return used;
  }
}
