'use strict';
// What senders and receivers of channel-kills.js write down, in shared memory, so that what the killed have done is known too.

/** Words: one to stop everybody; for each incarnation what it tries to send, what it has sent, and how many it has received. */
const STOP = 0;
const FIRST = 16;
const WORDS_EACH = 4;
/** Messages that one incarnation receives at most. */
const LOG = 1 << 16;
/** A message's name: who, and which. */
const WHICH = 1 << 20;

const head = (incarnation) => FIRST + incarnation * WORDS_EACH;

class Ledger {
  constructor(words, incarnations) {
    this.words = words;
    this.incarnations = incarnations;
  }

  static bytes(incarnations) {
    return 4 * (head(incarnations) + incarnations * LOG);
  }

  static over(mapping, incarnations) {
    const { buffer } = mapping;
    return new Ledger(
      new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2),
      incarnations,
    );
  }

  get stopped() {
    return Atomics.load(this.words, STOP) !== 0;
  }

  stop() {
    Atomics.store(this.words, STOP, 1);
  }

  trying(incarnation, which) {
    Atomics.store(this.words, head(incarnation), which);
  }

  sent(incarnation, which) {
    Atomics.store(this.words, head(incarnation) + 1, which);
  }

  /** Before it is released. False: no room to write any more. */
  received(incarnation, name) {
    const count = Atomics.load(this.words, head(incarnation) + 2);
    this.words[head(this.incarnations) + incarnation * LOG + count] = name;
    Atomics.store(this.words, head(incarnation) + 2, count + 1);
    return count + 1 < LOG;
  }

  /** Of one incarnation: the last it tried and the last it has sent, and the names of what it received. */
  of(incarnation) {
    const [tried, sent, count] = this.words.subarray(head(incarnation), head(incarnation) + 3);
    const from = head(this.incarnations) + incarnation * LOG;
    return { tried, sent, received: this.words.subarray(from, from + count) };
  }
}

module.exports = { Ledger, WHICH };
