// Copies of messages for whoever receives: small ones side by side in a pool, long ones by themselves.
import type * as WorkerThreads from 'node:worker_threads';
import { misuse } from '../errors.js';
import type { Endpoint } from './endpoint.js';
import { type Bytes, plain } from './familiar.js';
import { ANSWER } from './ring-layout.js';
import { setBytes } from '../true-bytes.js';

/** As in Node's own pool a small message keeps its neighbours' memory: not more than this. */
const POOL = 16 * 1024;
const SMALL = 1024;
const NOTHING = Buffer.alloc(0);

let workerThreads: typeof WorkerThreads | undefined;

export class Intake {
  /** What was received last. */
  message: Buffer = NOTHING;
  readonly #end: Endpoint;
  #pool = NOTHING;
  #poolBytes = plain(NOTHING);
  #at = 0;

  constructor(end: Endpoint) {
    this.#end = end;
  }

  /** Receives into memory of its own: `message`. Its length, or an answer of the ring. */
  receive(): number {
    // Before the lock is taken: whoever allocates may have to wait for the collector.
    if (this.#at + SMALL > this.#pool.length) this.#renew();
    const { receiver } = this.#end;
    const from = this.#at;
    const length = receiver.receive(this.#poolBytes, from, SMALL);
    if (length === ANSWER.long) return this.#receiveLong();
    if (length < 0) return length;
    this.message = this.#pool.subarray(from, from + length);
    this.#at = from + ((length + 7) & ~7);
    return length;
  }

  /** Receives into a caller's. ERR_MEMMAP_RANGE when it is too long; then it stays. */
  receiveInto(target: Bytes): number {
    const { receiver } = this.#end;
    const room = target.bytes.length;
    const length = receiver.receive(target, 0, room);
    if (length !== ANSWER.long) return length;
    if (receiver.length > room) throw tooLong(receiver.length, room);
    const unit = receiver.claim();
    if (unit < 0) return unit;
    if (receiver.length > room) {
      receiver.requeue(unit);
      throw tooLong(receiver.length, room);
    }
    return this.#copy(unit, target.bytes);
  }

  #renew(): void {
    this.#pool = Buffer.allocUnsafeSlow(POOL);
    this.#poolBytes = { bytes: this.#pool, longs: new BigInt64Array(this.#pool.buffer) };
    this.#at = 0;
    // As Node's own pool: whoever transferred one message would take its neighbours with it. Loaded only here, since it takes
    // longer than the rest of memmap.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    workerThreads ??= require('node:worker_threads') as typeof WorkerThreads;
    workerThreads.markAsUntransferable(this.#pool.buffer);
  }

  #receiveLong(): number {
    const { receiver } = this.#end;
    const unit = receiver.claim();
    if (unit < 0) return unit;
    let message: Buffer;
    try {
      message = Buffer.allocUnsafeSlow(receiver.length);
    } catch (error) {
      receiver.requeue(unit);
      throw error;
    }
    const answer = this.#copy(unit, message);
    this.message = message;
    return answer;
  }

  #copy(unit: number, target: Uint8Array): number {
    const { receiver, ring } = this.#end;
    const { length, offset } = receiver;
    setBytes(target, ring.bytes.subarray(offset, offset + length), 0);
    return receiver.release(unit) ? length : ANSWER.corrupt;
  }
}

const tooLong = (length: number, room: number): Error =>
  misuse('RANGE', `the message has ${String(length)} bytes, the target ${String(room)}`, {
    argument: 'target',
    length,
  });
