// Rings in one process, without a mapping: who is alive and what time it is are the test's to say.

import type { Bytes } from '../../lib/shared/familiar.js';
import { ANSWER, OVERHEAD, UNIT, attach } from '../../lib/shared/ring-layout.js';
import { RingKeeper } from '../../lib/shared/ring-keeper.js';
import type { World } from '../../lib/shared/ring-lock.js';
import { RingMemory } from '../../lib/shared/ring-memory.js';
import { RingReceiver } from '../../lib/shared/ring-receiver.js';
import { RingSender } from '../../lib/shared/ring-sender.js';

/** A world of its own: nobody ever sleeps in it, and time passes by looking at the clock. */
export class FakeWorld implements World {
  readonly alive = new Set<number>();
  readonly woken: number[] = [];
  time = 0;

  isAlive(tag: number): boolean {
    return this.alive.has(tag);
  }

  wake(word: number): void {
    this.woken.push(word);
  }

  sleep(_word: number, _value: number, milliseconds: number): void {
    this.time += milliseconds;
  }

  now(): number {
    return (this.time += 0.01);
  }
}

export interface Peer {
  readonly tag: number;
  readonly ring: RingMemory;
  readonly sender: RingSender;
  readonly receiver: RingReceiver;
  readonly keeper: RingKeeper;
}

export class Rings {
  readonly world = new FakeWorld();
  words: Int32Array;
  readonly bytes: Uint8Array;
  readonly units: number;

  constructor(units: number) {
    const memory = new ArrayBuffer(OVERHEAD + units * UNIT);
    this.words = new Int32Array(memory);
    this.bytes = new Uint8Array(memory);
    this.units = units;
    const attached = attach(this.words, units, { exact: true, isThere: false });
    if (!('units' in attached)) throw new Error(attached.message);
  }

  join(tag: number): Peer {
    this.world.alive.add(tag);
    const { words, bytes, units, world } = this;
    const ring = new RingMemory({ words, bytes, units, tag, world });
    const keeper = new RingKeeper(ring);
    const receiver = new RingReceiver(ring, keeper);
    return { tag, ring, receiver, sender: new RingSender(ring, keeper), keeper };
  }
}

/** Bytes as a handle passes those that it knows. */
export const ready = (bytes: Uint8Array): Bytes => ({
  bytes,
  longs: new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 3),
});

/** The next message of a peer as an array, or the ring's answer. */
export function receive({ receiver }: Peer): number[] | number {
  const target = new Uint8Array(4096);
  const answer = receiver.receive(ready(target), 0, target.length);
  return answer < 0 ? answer : [...target.subarray(0, answer)];
}

/** Everything that a peer can receive. */
export function drain(peer: Peer): number[][] {
  const got: number[][] = [];
  for (;;) {
    peer.receiver.thorough = true;
    const message = receive(peer);
    if (typeof message !== 'number') got.push(message);
    else if (message === ANSWER.wait || message === ANSWER.closed) return got;
    else throw new Error(`answer ${String(message)}: ${peer.ring.trouble}`);
  }
}

/** Writes a message that says who sent it, which it was and how long it is. */
export function messageOf(from: number, number: number, length: number): Uint8Array {
  const message = new Uint8Array(length);
  for (let index = 0; index < length; index++)
    message[index] = (from * 31 + number * 7 + index) & 0xff;
  return message;
}
