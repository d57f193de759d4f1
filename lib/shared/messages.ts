// Messages in place: written where they will be read, read where they were written.
import { misuse } from '../errors.js';
import * as validate from '../validate.js';
import type { Endpoint } from './endpoint.js';

/** What a message in place needs to know of its channel; it keeps the handle alive. */
export interface Held {
  readonly end: Endpoint;
  /** The Channel: one that is dropped while a message of its is held would be detached. */
  readonly keeper: object;
  readonly unit: number;
}

const done = (what: string): Error =>
  misuse('ARGUMENT', `the message was already ${what}; its memory may have been reused`);

/**
 * Room for a message, in the channel itself: write into `buffer`, then `commit`. Others go on meanwhile; those who receive see it when it is
 * committed. Of a process that dies before that nothing is seen. Do not touch `buffer` afterwards: it is another's.
 */
export class MessageDraft {
  /** The bytes to write. What was there before is still in it. */
  readonly buffer: Buffer;
  readonly #held: Held;
  readonly #reserved: number;
  #isDone = false;

  /** @internal Made by `reserve`. */
  constructor(held: Held, buffer: Buffer) {
    this.#held = held;
    this.buffer = buffer;
    this.#reserved = buffer.length;
  }

  /** Sends it, or only its first `length` bytes. */
  commit(length?: number): void {
    const bytes = length === undefined ? this.#reserved : validate.bytes('length', length);
    validate.within(0, bytes, this.#reserved);
    this.#finish(({ end, unit }) => end.sender.commit(unit, this.#reserved, bytes));
  }

  /** Gives it up: nothing is sent. */
  abort(): void {
    this.#finish(({ end, unit }) => end.sender.abort(unit));
  }

  /** `abort`, at the end of a `using` block, unless it was committed. */
  [Symbol.dispose](): void {
    if (!this.#isDone && !this.#held.end.isDetached) this.abort();
  }

  #finish(settle: (held: Held) => boolean): void {
    const { end } = this.#held;
    if (this.#isDone) throw done('committed or aborted');
    end.check();
    this.#isDone = true;
    end.settled(settle(this.#held));
  }
}

/**
 * A message that is looked at in the channel itself, and for nobody else until `release` or `requeue`. When the process dies before that it
 * is for the next one who receives. Its memory, and all behind it, is kept until then. Another process that breaks the rules can
 * change it under your eyes: copy what you check.
 */
export class MessagePeek {
  /** Its bytes. */
  readonly buffer: Buffer;
  readonly #held: Held;
  #isDone = false;

  /** @internal Made by `peek`. */
  constructor(held: Held, buffer: Buffer) {
    this.#held = held;
    this.buffer = buffer;
  }

  /** Done with it: it was received. */
  release(): void {
    this.#finish(({ end, unit }) => end.receiver.release(unit));
  }

  /** Puts it back, in its old place: the next one to receive gets it. */
  requeue(): void {
    this.#finish(({ end, unit }) => end.receiver.requeue(unit));
  }

  /** `requeue`, at the end of a `using` block, unless it was released. */
  [Symbol.dispose](): void {
    if (!this.#isDone && !this.#held.end.isDetached) this.requeue();
  }

  #finish(settle: (held: Held) => boolean): void {
    const { end } = this.#held;
    if (this.#isDone) throw done('released or requeued');
    end.check();
    this.#isDone = true;
    end.settled(settle(this.#held));
  }
}
