// What one can wait for at a channel, each as a call that may be made again. What it got is in it: whoever waits hears of it
// later, when the ring has moved on.
import * as validate from '../validate.js';
import type { Endpoint } from './endpoint.js';
import type { Bytes } from './familiar.js';
import type { Intake } from './intake.js';
import type { Attempt } from './waiting.js';

export class SendAttempt implements Attempt {
  readonly side = 'space';
  readonly #end: Endpoint;
  readonly #message: Bytes;
  readonly #length: number;

  constructor(end: Endpoint, { bytes, longs }: Bytes) {
    this.#end = end;
    this.#message = { bytes, longs };
    this.#length = bytes.length;
  }

  try(): number {
    // Transferred, or its memory has shrunk, while it waited.
    const { bytes } = this.#message;
    if (bytes.length !== this.#length) {
      throw validate.wrongKind('message', 'still there when its turn comes', bytes);
    }
    return this.#end.answer(this.#end.sender.send(this.#message));
  }
}

export class ReserveAttempt implements Attempt {
  readonly side = 'space';
  readonly length: number;
  offset = 0;
  readonly #end: Endpoint;

  constructor(end: Endpoint, length: number) {
    this.#end = end;
    this.length = length;
  }

  try(): number {
    const answer = this.#end.answer(this.#end.sender.reserve(this.length));
    this.offset = this.#end.sender.offset;
    return answer;
  }
}

/** Until a message of so many bytes fits, side by side. */
export class DrainAttempt implements Attempt {
  readonly side = 'space';
  readonly #end: Endpoint;
  readonly #bytes: number;

  constructor(end: Endpoint, bytes: number) {
    this.#end = end;
    this.#bytes = bytes;
  }

  try(): number {
    return this.#end.answer(this.#end.sender.probe(this.#bytes));
  }
}

export class ReceiveAttempt implements Attempt {
  readonly side = 'items';
  message: Buffer | undefined;
  readonly #end: Endpoint;
  readonly #intake: Intake;

  constructor(end: Endpoint, intake: Intake) {
    this.#end = end;
    this.#intake = intake;
  }

  try(): number {
    const answer = this.#end.answer(this.#intake.receive());
    if (answer >= 0) this.message = this.#intake.message;
    return answer;
  }
}

export class ReceiveIntoAttempt implements Attempt {
  readonly side = 'items';
  readonly #end: Endpoint;
  readonly #intake: Intake;
  readonly #target: Bytes;

  constructor(end: Endpoint, intake: Intake, { bytes, longs }: Bytes) {
    this.#end = end;
    this.#intake = intake;
    this.#target = { bytes, longs };
  }

  try(): number {
    return this.#end.answer(this.#intake.receiveInto(this.#target));
  }
}

export class ClaimAttempt implements Attempt {
  readonly side = 'items';
  offset = 0;
  length = 0;
  readonly #end: Endpoint;

  constructor(end: Endpoint) {
    this.#end = end;
  }

  try(): number {
    const { receiver } = this.#end;
    const answer = this.#end.answer(receiver.claim());
    this.offset = receiver.offset;
    this.length = receiver.length;
    return answer;
  }
}
