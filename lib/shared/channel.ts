// The Channel class: checks its arguments and its state, then delegates to the ring.
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Mapping } from '../mapping.js';
import { misuse } from '../errors.js';
import * as validate from '../validate.js';
import {
  ClaimAttempt,
  DrainAttempt,
  ReceiveAttempt,
  ReceiveIntoAttempt,
  ReserveAttempt,
  SendAttempt,
} from './attempts.js';
import { ChannelHandle } from './channel-handle.js';
import {
  type ChannelCreateOptions,
  type ChannelOpenOptions,
  type ChannelOptions,
  channelPlan,
  createPlan,
  openPlan,
} from './channel-options.js';
import { type Codec, type Incoming, type Outgoing, bytesOf, decode, encode } from './codec.js';
import { type Bytes, Familiar, plain } from './familiar.js';
import { Intake } from './intake.js';
import { Line } from './line.js';
import { MessageDraft, MessagePeek } from './messages.js';
import { ROLE } from './participants.js';
import { ANSWER } from './ring-layout.js';
import { LOCK_PATIENCE } from './ring-memory.js';
import { SharedMemory } from './shared-memory.js';
import { type ChannelSpinOptions, type ChannelWaitOptions, spinOf } from './waiting-options.js';
import { isSettled } from './waiting.js';

/** Shared memory that `create` or `open` hands to the constructor: it is closed with the handle. */
const handedOver = new WeakSet<SharedMemory>();

/**
 * A queue of messages in shared memory: many senders, many receivers, in any processes and threads, each with a handle of its own. Each
 * message is received once. It holds a fixed number of bytes; who sends into a full one waits. Messages of one sender arrive in
 * order. Whoever is killed, at whatever moment, harms nobody else: what it had not committed is dropped, and what it had taken and
 * not released is received by another.
 *
 * A handle has one of 128 places in its channel, until `detach` or until its thread ends: ERR_MEMMAP_NO_ROOM when there is none
 * left. After `detach` its calls are ERR_MEMMAP_CLOSED. ERR_MEMMAP_CORRUPT when another program wrote over the channel.
 *
 * @example
 * ```js
 * const channel = memmap.Channel.create(null, { capacity: 1 << 20, codec: 'json' });
 * channel.trySend({ hello: 'world' }); // true: there was room
 * channel.tryReceive(); // { hello: 'world' }
 * channel.detach();
 * ```
 */
export class Channel<Kind extends Codec = 'bytes'> extends ChannelHandle {
  readonly #codec: Codec;
  readonly #intake: Intake;
  readonly #receiving: ReceiveAttempt;
  readonly #claiming: ClaimAttempt;
  readonly #senders = new Line();
  readonly #receivers = new Line();
  readonly #message = new Familiar(bytesOf);
  readonly #target = new Familiar((value) => validate.byteView('target', value));
  #roles = 0;

  /**
   * Finds a channel in shared memory, or makes one where there are zeros; several may do so at once. `new Channel(shared)` maps
   * the memory itself. It takes 8960 bytes and what is left for messages, at an address that is a multiple of 8. ERR_MEMMAP_CORRUPT
   * where there is something else, ERR_MEMMAP_ARGUMENT for a channel of another `length`.
   */
  constructor(memory: Mapping | SharedMemory, options?: ChannelOptions<Kind>) {
    const plan = channelPlan(options);
    const isOwned = memory instanceof SharedMemory && handedOver.delete(memory);
    super(memory, plan, isOwned ? memory : undefined);
    this.#codec = plan.codec;
    this.#intake = new Intake(this.end);
    this.#receiving = new ReceiveAttempt(this.end, this.#intake);
    this.#claiming = new ClaimAttempt(this.end);
  }

  /** Makes shared memory with a channel in it, by name or (null) without one: see `SharedMemory.create`. */
  static create<Kind extends Codec = 'bytes'>(
    name: string | null,
    options: ChannelCreateOptions<Kind>,
  ): Channel<Kind> {
    const { use, shared } = createPlan(options, name !== null);
    const initialize = (mapping: Mapping): void => {
      new Channel(mapping).detach();
    };
    return opened<Kind>(SharedMemory.create(name, { ...shared, initialize }), use);
  }

  /** Opens the channel that `create` made, by its name. ENOENT when there is none. */
  static open<Kind extends Codec = 'bytes'>(
    name: string,
    options?: ChannelOpenOptions<Kind>,
  ): Channel<Kind> {
    const { use, shared } = openPlan(options);
    return opened<Kind>(SharedMemory.open(name, shared), use);
  }

  /**
   * Sends a message; waits while there is no room. Calls of one handle are served in order; the bytes must not change before it
   * resolves. ERR_MEMMAP_CLOSED when the channel was closed, ERR_MEMMAP_TIMEOUT, ERR_MEMMAP_RANGE for what is longer than `maxMessage`.
   */
  async send(message: Outgoing[Kind], options?: ChannelWaitOptions): Promise<void> {
    const attempt = new SendAttempt(this.end, this.#outgoing(message));
    this.mustBeOpen(await this.later(this.#senders, attempt, this.patience(options)));
  }

  /** `send`, blocking the thread: it spins for a while, then sleeps. ERR_MEMMAP_BUSY while other sends of this handle wait. */
  sendSync(message: Outgoing[Kind], options?: ChannelSpinOptions): void {
    // First the options, whose getters may send something, too.
    const times = spinOf(options);
    const bytes = this.#outgoing(message);
    const { end } = this;
    this.mustBeFirst(this.#senders);
    let answer: number = ANSWER.wait;
    if (times.timeout >= LOCK_PATIENCE) answer = end.answer(end.sender.send(bytes));
    if (!isSettled(answer)) answer = this.now(this.#senders, new SendAttempt(end, bytes), times);
    this.mustBeOpen(answer);
  }

  /** Sends a message if there is room, and says whether. Never before those that wait in `send`. */
  trySend(message: Outgoing[Kind]): boolean {
    const bytes = this.#outgoing(message);
    if (!this.#senders.isFree) return false;
    const answer = this.end.answer(this.end.sender.send(bytes));
    this.mustBeOpen(answer);
    return answer === 0;
  }

  /**
   * Resolves when a message of so many bytes fits, of half of the channel by default: what to wait for when `trySend` has said false.
   * Others may have filled it again by then.
   */
  async drained(bytes?: number, options?: ChannelWaitOptions): Promise<void> {
    this.end.check();
    const most = this.maxMessage;
    const wanted =
      bytes === undefined
        ? Math.floor(most / 2)
        : this.#fitting('bytes', validate.bytes('bytes', bytes));
    const attempt = new DrainAttempt(this.end, wanted);
    const patience = this.patience(options);
    this.mustBeOpen(await this.waiting.later(attempt, patience));
    // Who asks `trySend` again and hears false all the same, because of others, must not keep the loop from its turns.
    await setImmediate(undefined, { ref: patience.ref });
  }

  /** The next message; waits for one. Undefined: the channel was closed, and everything has been received. */
  async receive(options?: ChannelWaitOptions): Promise<Incoming[Kind] | undefined> {
    this.#begin(ROLE.receives);
    const attempt = new ReceiveAttempt(this.end, this.#intake);
    const answer = await this.later(this.#receivers, attempt, this.patience(options));
    return this.#received(answer, attempt);
  }

  /** `receive`, blocking the thread: it spins for a while, then sleeps. ERR_MEMMAP_BUSY while other calls of this handle wait. */
  receiveSync(options?: ChannelSpinOptions): Incoming[Kind] | undefined {
    this.#begin(ROLE.receives);
    const answer = this.now(this.#receivers, this.#receiving, spinOf(options));
    return this.#received(answer, this.#receiving);
  }

  /** The next message, or undefined when there is none now. Never before those that wait in `receive`. */
  tryReceive(): Incoming[Kind] | undefined {
    this.#begin(ROLE.receives);
    if (!this.#receivers.isFree) return undefined;
    return this.#received(this.#receiving.try(), this.#receiving);
  }

  /**
   * `receive` into memory of one's own, as bytes: how many. ERR_MEMMAP_RANGE when the message is longer (its `length` is in the
   * error); then it stays.
   */
  async receiveInto(
    target: NodeJS.ArrayBufferView,
    options?: ChannelWaitOptions,
  ): Promise<number | undefined> {
    this.#begin(ROLE.receives);
    const attempt = new ReceiveIntoAttempt(this.end, this.#intake, this.#target.of(target));
    const length = await this.later(this.#receivers, attempt, this.patience(options));
    return length < 0 ? undefined : length;
  }

  /** `receiveInto`, blocking the thread. */
  receiveIntoSync(
    target: NodeJS.ArrayBufferView,
    options?: ChannelSpinOptions,
  ): number | undefined {
    this.#begin(ROLE.receives);
    const attempt = new ReceiveIntoAttempt(this.end, this.#intake, this.#target.of(target));
    const length = this.now(this.#receivers, attempt, spinOf(options));
    return length < 0 ? undefined : length;
  }

  /** `receiveInto` when there is a message now. */
  tryReceiveInto(target: NodeJS.ArrayBufferView): number | undefined {
    const bytes = this.#target.of(target);
    this.#begin(ROLE.receives);
    if (!this.#receivers.isFree) return undefined;
    const length = this.end.answer(this.#intake.receiveInto(bytes));
    return length < 0 ? undefined : length;
  }

  /** Room for a message of so many bytes, in the channel itself; waits for it. */
  async reserve(length: number, options?: ChannelWaitOptions): Promise<MessageDraft> {
    const attempt = this.#reservation(length);
    const unit = await this.later(this.#senders, attempt, this.patience(options));
    return this.#draft(unit, attempt);
  }

  /** `reserve`, blocking the thread. */
  reserveSync(length: number, options?: ChannelSpinOptions): MessageDraft {
    const attempt = this.#reservation(length);
    return this.#draft(this.now(this.#senders, attempt, spinOf(options)), attempt);
  }

  /** `reserve` if there is room now. */
  tryReserve(length: number): MessageDraft | undefined {
    const attempt = this.#reservation(length);
    if (!this.#senders.isFree) return undefined;
    const unit = attempt.try();
    this.mustBeOpen(unit);
    return unit < 0 ? undefined : this.#draft(unit, attempt);
  }

  /** The next message, looked at in place; waits for one. Undefined: closed, and everything has been received. */
  async peek(options?: ChannelWaitOptions): Promise<MessagePeek | undefined> {
    this.#begin(ROLE.receives);
    const attempt = new ClaimAttempt(this.end);
    const unit = await this.later(this.#receivers, attempt, this.patience(options));
    return this.#claimed(unit, attempt);
  }

  /** `peek`, blocking the thread. */
  peekSync(options?: ChannelSpinOptions): MessagePeek | undefined {
    this.#begin(ROLE.receives);
    const unit = this.now(this.#receivers, this.#claiming, spinOf(options));
    return this.#claimed(unit, this.#claiming);
  }

  /** `peek` when there is a message now. */
  tryPeek(): MessagePeek | undefined {
    this.#begin(ROLE.receives);
    if (!this.#receivers.isFree) return undefined;
    return this.#claimed(this.#claiming.try(), this.#claiming);
  }

  /** Every message until the channel is closed. Leaving the loop leaves the channel open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<NonNullable<Incoming[Kind]>, void, undefined> {
    for (;;) {
      const message = await this.receive();
      if (message === undefined) return;
      yield message as NonNullable<Incoming[Kind]>;
    }
  }

  /** What console.log shows of it. */
  [inspect.custom](): string {
    if (!(#codec in this)) return 'Channel {}';
    const state = this.end.isDetached ? ', detached' : '';
    return `Channel { ${String(this.capacity)} bytes, '${this.#codec}'${state} }`;
  }

  /** The first call of its kind is noted, for stats(). */
  #begin(role: number): void {
    this.end.check();
    if ((this.#roles & role) !== 0) return;
    this.#roles |= role;
    this.end.participants.play(role);
  }

  /** Good until the next message of this handle. */
  #outgoing(message: unknown): Bytes {
    this.#begin(ROLE.sends);
    const bytes = this.#codec === 'bytes' ? this.#message.of(message) : this.#encoded(message);
    this.#fitting('message', bytes.bytes.length);
    return bytes;
  }

  #encoded(message: unknown): Bytes {
    const bytes = plain(encode(this.#codec as Exclude<Codec, 'bytes'>, message));
    // What the message does to be written (toJSON) may have detached the handle.
    this.end.check();
    return bytes;
  }

  #fitting(argument: string, length: number): number {
    if (length <= this.maxMessage) return length;
    const most = String(this.maxMessage);
    throw misuse(
      'RANGE',
      `${argument}: ${String(length)} bytes are more than the channel takes (${most})`,
      {
        argument,
        length,
      },
    );
  }

  #received(answer: number, attempt: ReceiveAttempt): Incoming[Kind] | undefined {
    if (answer < 0 || attempt.message === undefined) return undefined;
    return decode(this.#codec, attempt.message) as Incoming[Kind];
  }

  #reservation(length: number): ReserveAttempt {
    this.#begin(ROLE.sends);
    return new ReserveAttempt(this.end, this.#fitting('length', validate.bytes('length', length)));
  }

  #draft(unit: number, { offset, length }: ReserveAttempt): MessageDraft {
    this.mustBeOpen(unit);
    const { end } = this;
    // Since the attempt the handle may have been detached: what it held is not ours any more.
    end.check();
    const buffer = end.buffer.subarray(offset, offset + length);
    return new MessageDraft({ end, keeper: this, unit }, buffer);
  }

  #claimed(unit: number, { offset, length }: ClaimAttempt): MessagePeek | undefined {
    if (unit < 0) return undefined;
    const { end } = this;
    end.check();
    const buffer = end.buffer.subarray(offset, offset + length);
    return new MessagePeek({ end, keeper: this, unit }, buffer);
  }
}

function opened<Kind extends Codec>(shared: SharedMemory, use: object): Channel<Kind> {
  handedOver.add(shared);
  return new Channel<Kind>(shared, use);
}
