// One handle's end of a channel: its memory, its place among the participants, both halves of the ring, and what went wrong.
import { misuse } from '../errors.js';
import { collectFaults, faultCount, faultWithin, mustBeWhole } from '../faults.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import { type Spot, nap, sharedRecord, rouse } from './futex.js';
import { Participants } from './participants.js';
import {
  ANSWER,
  LEAST_CAPACITY,
  MOST_CAPACITY,
  OVERHEAD,
  PARTICIPANTS,
  TABLE,
  CELL,
  UNIT,
  attach,
  longestOf,
} from './ring-layout.js';
import { RingKeeper } from './ring-keeper.js';
import type { World } from './ring-lock.js';
import { RingMemory } from './ring-memory.js';
import { RingReceiver } from './ring-receiver.js';
import { RingSender } from './ring-sender.js';

/** Where a channel lies in a mapping. */
export interface EndpointPlace {
  readonly mapping: Mapping;
  readonly offset: number;
  /** Undefined: what the channel says, or to the end of the mapping. */
  readonly length: number | undefined;
  /** It was made before: zeros are no channel. */
  readonly isThere: boolean;
}

/** The futex calls are on words, the ring counts them from its own beginning. */
class SharedWorld implements World {
  readonly #mapping: Mapping;
  readonly #offset: number;
  readonly #participants: Participants;

  constructor(mapping: Mapping, offset: number, participants: Participants) {
    this.#mapping = mapping;
    this.#offset = offset;
    this.#participants = participants;
  }

  isAlive(tag: number): boolean {
    return this.#participants.isAlive(tag);
  }

  wake(word: number, count: number): void {
    rouse(this.spot(word), count);
  }

  sleep(word: number, value: number, milliseconds: number): void {
    nap(this.spot(word), value, milliseconds);
  }

  now(): number {
    return performance.now();
  }

  spot(word: number): Spot {
    return { mapping: this.#mapping, offset: this.#offset + word * 4 };
  }
}

export class Endpoint {
  readonly mapping: Mapping;
  readonly offset: number;
  /** Bytes of the channel, header and ring. */
  readonly length: number;
  readonly words: Int32Array;
  /** The same bytes, for windows of it. */
  readonly buffer: Buffer;
  readonly ring: RingMemory;
  readonly sender: RingSender;
  readonly receiver: RingReceiver;
  readonly keeper: RingKeeper;
  readonly participants: Participants;
  readonly maxMessage: number;
  readonly #world: SharedWorld;
  readonly #record: MappingRecord;
  #failure: Error | undefined;
  /** Detached, or failed. */
  #isOver = false;
  #isDetached = false;
  #faults = 0;

  constructor({ mapping, offset, length, isThere }: EndpointPlace) {
    const record = liveOf(mapping);
    validate.within(offset, length ?? OVERHEAD + LEAST_CAPACITY, record.length);
    const room = Math.min(length ?? record.length - offset, OVERHEAD + MOST_CAPACITY);
    mustHoldSomething(room);
    sharedRecord(mapping, { offset, length: room }, { alignment: UNIT, use: 'write' });
    const units = Math.floor((room - OVERHEAD) / UNIT);
    const buffer = mapping.view(offset, OVERHEAD + units * UNIT);
    const words = new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4);
    this.#faults = faultCount();
    const attached = attach(words, units, { exact: length !== undefined, isThere });
    if ('problem' in attached) {
      throw (
        faultWithin(record, { offset, length: room }) ?? misuse(attached.problem, attached.message)
      );
    }
    // Where a file was cut short there are zeros, and a channel that is made of them has nobody else.
    mustShare(record, { offset, length: OVERHEAD + attached.units * UNIT });
    this.mapping = mapping;
    this.offset = offset;
    this.length = OVERHEAD + attached.units * UNIT;
    this.words = words;
    this.buffer = buffer;
    this.maxMessage = longestOf(attached.units);
    this.#record = record;
    const table = words.subarray(TABLE / 4, (TABLE + PARTICIPANTS * CELL) / 4);
    this.participants = new Participants({
      mapping,
      offset: offset + TABLE,
      count: PARTICIPANTS,
      words: table,
    });
    this.#world = new SharedWorld(mapping, offset, this.participants);
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
    const { tag } = this.participants;
    this.ring = new RingMemory({ words, bytes, units: attached.units, tag, world: this.#world });
    this.keeper = new RingKeeper(this.ring);
    this.receiver = new RingReceiver(this.ring, this.keeper);
    this.sender = new RingSender(this.ring, this.keeper);
    try {
      mustShare(record, this);
    } catch (error) {
      this.participants.leave();
      throw error;
    }
    this.#faults = faultCount();
  }

  get isDetached(): boolean {
    return this.#isDetached;
  }

  /** Throws unless the channel can be used. */
  check(): void {
    if (this.#isOver || this.words.length === 0) this.#refuse();
  }

  /** An answer of the ring, unless it is an error. Bytes that came out of a hole are none of ours. */
  answer(answer: number): number {
    if (answer === ANSWER.corrupt || faultCount() !== this.#faults) this.#examine(answer);
    return answer;
  }

  /** The end of a message in place: whether it was still ours, as it must be while we live. */
  settled(wasOurs: boolean): void {
    if (!wasOurs) this.ring.trouble = 'a record that is held here was changed';
    this.answer(wasOurs ? 0 : ANSWER.corrupt);
  }

  spot(word: number): Spot {
    return this.#world.spot(word);
  }

  /** Who holds a lock for so long. */
  holderOf(lock: number): string {
    const word = Atomics.load(this.words, lock);
    return `process ${String(this.participants.processOf(word))}`;
  }

  /** Leaves the participants. What this handle has reserved is dropped, what it has claimed is for others. */
  detach(): void {
    if (this.#isDetached) return;
    this.#isDetached = this.#isOver = true;
    const isGone = this.words.length === 0;
    try {
      this.participants.leave();
    } catch (error) {
      const fault = faultWithin(this.#record, this);
      // What was told before need not be told again: whoever has caught it wants to be rid of the handle.
      if (this.#failure === undefined) throw fault ?? error;
    } finally {
      // Whoever waits at this very handle sees that it has gone; for others it is one look too many.
      if (!isGone) this.ring.wakeAll();
    }
  }

  #refuse(): void {
    if (this.#isDetached) throw misuse('CLOSED', 'this handle was detached from its channel');
    if (this.#failure !== undefined) throw this.#failure;
    liveOf(this.mapping);
    throw misuse('UNMAPPED', 'the memory of the channel was given away');
  }

  #examine(answer: number): void {
    this.#faults = faultCount();
    const fault = faultWithin(this.#record, this);
    if (fault !== undefined) {
      this.#fail(fault);
    }
    if (answer !== ANSWER.corrupt) return;
    const error = misuse('CORRUPT', `the channel is corrupted: ${this.ring.trouble}`, {
      hint: 'another program wrote over it; make a new one',
    });
    this.#fail(error);
  }

  #fail(error: Error): never {
    this.#failure = error;
    this.#isOver = true;
    throw error;
  }
}

/** Pages of the fault guard's are this process's alone: whoever finds zeros there has found no channel, and makes none. */
function mustShare(record: MappingRecord, range: validate.ByteRange): void {
  collectFaults();
  if (record.log.faults.length > 0) mustBeWhole(record, range);
}

function mustHoldSomething(room: number): void {
  const least = OVERHEAD + LEAST_CAPACITY;
  if (room >= least) return;
  throw misuse(
    'RANGE',
    `a channel takes at least ${String(least)} bytes; here are ${String(room)}`,
    {
      argument: 'length',
    },
  );
}
