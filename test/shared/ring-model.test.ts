import fc from 'fast-check';
import { ANSWER, longestOf } from '../../lib/shared/ring-layout.js';
import { type Peer, Rings, receive, ready } from '../helpers/rings.js';

/** What should be in the ring: a plain array, oldest first. */
interface Entry {
  readonly bytes: number[];
  state: 'reserved' | 'committed' | 'claimed';
  owner: Peer | undefined;
  unit: number;
}

type Step =
  | { readonly kind: 'send' | 'reserve'; readonly peer: number; readonly length: number }
  | { readonly kind: 'commit'; readonly which: number; readonly less: number }
  | { readonly kind: 'abort' | 'release' | 'requeue'; readonly which: number }
  | { readonly kind: 'receive' | 'claim' | 'kill'; readonly peer: number };

const PEERS = 4;
const UNITS = 40;

const peer = fc.nat(PEERS - 1);
const which = fc.nat(20);
const length = fc.oneof(fc.nat(40), fc.nat(longestOf(UNITS)), fc.constantFrom(0, longestOf(UNITS)));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom('send' as const, 'reserve' as const), peer, length }),
    fc.record({ kind: fc.constant('commit' as const), which, less: fc.nat(30) }),
    fc.record({
      kind: fc.constantFrom('abort' as const, 'release' as const, 'requeue' as const),
      which,
    }),
    fc.record({ kind: fc.constantFrom('receive' as const, 'claim' as const), peer }),
    fc.record({ kind: fc.constantFrom('receive' as const, 'claim' as const), peer }),
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), peer }) },
  ),
  { maxLength: 120 },
);

class Model {
  readonly rings = new Rings(UNITS);
  readonly peers: Peer[] = [];
  entries: Entry[] = [];
  nextTag = 1;
  nextByte = 0;

  constructor() {
    for (let index = 0; index < PEERS; index++) this.peers.push(this.rings.join(this.nextTag++));
  }

  run(step: Step): void {
    switch (step.kind) {
      case 'send':
        this.send(this.peer(step.peer), step.length);
        return;
      case 'reserve':
        this.reserve(this.peer(step.peer), step.length);
        return;
      case 'receive':
      case 'claim':
        this.take(step.kind, this.peer(step.peer));
        return;
      case 'kill':
        this.kill(step.peer);
        return;
      case 'commit':
        this.commit(step.which, step.less);
        return;
      default:
        this.settle(step.kind, step.which);
    }
  }

  peer(index: number): Peer {
    const found = this.peers[index];
    if (found === undefined) throw new Error('no such peer');
    return found;
  }

  bytes(count: number): number[] {
    return Array.from({ length: count }, () => this.nextByte++ & 0xff);
  }

  /** True: it was sent. An empty ring takes whatever fits into it. */
  accepted(answer: number): boolean {
    if (answer >= 0) return true;
    expect(answer).toBe(ANSWER.wait);
    expect(this.entries.length).toBeGreaterThan(0);
    return false;
  }

  send(peer: Peer, count: number): void {
    const bytes = this.bytes(count);
    if (!this.accepted(peer.sender.send(ready(Uint8Array.from(bytes))))) return;
    this.entries.push({ bytes, state: 'committed', owner: undefined, unit: -1 });
  }

  reserve(peer: Peer, count: number): void {
    const unit = peer.sender.reserve(count);
    if (!this.accepted(unit)) return;
    const bytes = this.bytes(count);
    peer.ring.bytes.set(bytes, peer.sender.offset);
    this.entries.push({ bytes, state: 'reserved', owner: peer, unit });
  }

  held(state: Entry['state'], index: number): Entry | undefined {
    const held = this.entries.filter((entry) => entry.state === state);
    return held[index % held.length];
  }

  commit(index: number, less: number): void {
    const entry = this.held('reserved', index);
    if (entry?.owner === undefined) return;
    const { bytes, owner, unit } = entry;
    const kept = Math.max(0, bytes.length - less);
    expect(owner.sender.commit(unit, bytes.length, kept)).toBe(true);
    bytes.length = kept;
    Object.assign(entry, { state: 'committed', owner: undefined });
  }

  settle(kind: 'abort' | 'release' | 'requeue', index: number): void {
    const entry = this.held(kind === 'abort' ? 'reserved' : 'claimed', index);
    if (entry?.owner === undefined) return;
    const { owner, unit } = entry;
    if (kind === 'requeue') {
      expect(owner.receiver.requeue(unit)).toBe(true);
      Object.assign(entry, { state: 'committed', owner: undefined });
      return;
    }
    const { sender, receiver } = owner;
    expect(kind === 'abort' ? sender.abort(unit) : receiver.release(unit)).toBe(true);
    this.remove(entry);
  }

  take(kind: 'receive' | 'claim', peer: Peer): void {
    const first = this.entries.find((entry) => entry.state === 'committed');
    if (kind === 'receive') {
      expect(receive(peer)).toEqual(first === undefined ? ANSWER.wait : first.bytes);
      if (first !== undefined) this.remove(first);
      return;
    }
    const unit = peer.receiver.claim();
    if (first === undefined) {
      expect(unit).toBe(ANSWER.wait);
      return;
    }
    const { offset, length: count } = peer.receiver;
    expect([...peer.ring.bytes.subarray(offset, offset + count)]).toEqual(first.bytes);
    Object.assign(first, { state: 'claimed', owner: peer, unit });
  }

  /** What it had reserved is gone, what it had claimed comes back; another takes its place. */
  kill(index: number): void {
    const dead = this.peer(index);
    this.rings.world.alive.delete(dead.tag);
    this.entries = this.entries.filter(
      (entry) => entry.owner !== dead || entry.state !== 'reserved',
    );
    for (const entry of this.entries) {
      if (entry.owner === dead) Object.assign(entry, { state: 'committed', owner: undefined });
    }
    this.peers[index] = this.rings.join(this.nextTag++);
    // Found by whoever waits for a while; here at once.
    for (const { receiver } of this.peers) receiver.thorough = true;
  }

  remove(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
  }

  /** Once everything was taken and given back the ring is empty, and takes the longest message. */
  finish(): void {
    for (const entry of [...this.entries]) {
      if (entry.state === 'claimed') this.settle('release', 0);
      if (entry.state === 'reserved') this.settle('abort', 0);
    }
    while (this.entries.length > 0) this.take('receive', this.peer(0));
    this.take('receive', this.peer(1));
    this.send(this.peer(2), longestOf(UNITS));
    this.take('receive', this.peer(3));
  }
}

it('does what a plain array does, whoever is killed between two calls', () => {
  fc.assert(
    fc.property(steps, (program) => {
      const model = new Model();
      for (const step of program) model.run(step);
      model.finish();
    }),
    { numRuns: 3_000 },
  );
});
