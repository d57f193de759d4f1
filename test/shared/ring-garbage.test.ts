// Whatever is written over a ring: results or `corrupt`, in bounded time, and never outside of the ring.
import fc from 'fast-check';
import { ANSWER, BASE, OVERHEAD, WORD } from '../../lib/shared/ring-layout.js';
import { type Peer, Rings, drain, messageOf, receive, ready } from '../helpers/rings.js';

const UNITS = 40;
const names = Object.values(WORD).filter((index) => index >= WORD.closed);

/** Numbers that mean something to a ring, and any others. */
const value = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.integer({ min: -2, max: 2 * UNITS + 2 }),
  fc
    .tuple(fc.nat(15), fc.constantFrom(0, 1, 2, 7, 2 ** 28 - 1))
    .map(([state, tag]) => (state << 28) | tag),
  fc.constantFrom(1 << 30, (1 << 30) | 1, (1 << 31) | (1 << 30) | 1, 1 << 31),
);
const place = fc.oneof(
  fc.constantFrom(...names),
  fc.integer({ min: BASE, max: BASE + 2 * UNITS - 1 }),
);
const write = fc.record({ place, value });
const action = fc.oneof(
  fc.record({ what: fc.constant('write' as const), writes: fc.array(write, { maxLength: 4 }) }),
  fc.record({
    what: fc.constantFrom('send' as const, 'receive' as const, 'look' as const, 'lay' as const),
    length: fc.nat(200),
  }),
  fc.record({
    what: fc.constantFrom('census' as const, 'close' as const, 'sweep' as const),
  }),
);

const isLost = ({ ring }: Peer): boolean => ring.trouble !== '';

function act(peer: Peer, what: string, length: number): number {
  const { sender, receiver } = peer;
  switch (what) {
    case 'send':
      return sender.send(ready(messageOf(0, 0, length)));
    case 'receive': {
      const message = receive(peer);
      return typeof message === 'number' ? message : 0;
    }
    case 'look': {
      const unit = receiver.claim();
      if (unit < 0) return unit;
      expect(receiver.offset + receiver.length).toBeLessThanOrEqual(peer.ring.bytes.length);
      receiver.release(unit);
      return 0;
    }
    case 'lay': {
      const unit = sender.reserve(length);
      if (unit < 0) return unit;
      expect(sender.offset + length).toBeLessThanOrEqual(peer.ring.bytes.length);
      sender.commit(unit, length, length >> 1);
      return 0;
    }
    case 'census':
      peer.keeper.census();
      return 0;
    case 'sweep':
      peer.keeper.sweep(1);
      return 0;
    default:
      return sender.close(1) ? 0 : ANSWER.busy;
  }
}

it('answers, and stays inside, whatever another program writes', () => {
  const answers = new Set<number>();
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (program) => {
      const rings = new Rings(UNITS);
      const peers = [rings.join(1), rings.join(2)];
      // Nobody writes before the ring, into the constants or the participants.
      const before = rings.bytes.slice(0, WORD.closed * 4);
      let turn = 0;
      for (const step of program) {
        if (step.what === 'write') {
          for (const { place, value } of step.writes) rings.words[place] = value;
          continue;
        }
        const peer = peers[turn++ % 2];
        if (peer === undefined || isLost(peer)) continue;
        const length = 'length' in step ? Math.min(step.length, (UNITS - 2) * 8) : 0;
        const answer = act(peer, step.what, length);
        answers.add(answer);
        expect(isLost(peer)).toBe(answer === ANSWER.corrupt);
      }
      expect(rings.bytes.slice(0, WORD.closed * 4)).toEqual(before);
      expect(rings.bytes.length).toBe(OVERHEAD + UNITS * 8);
    }),
    { numRuns: 5_000 },
  );
  expect([...answers].sort((a, b) => a - b)).toEqual([
    ANSWER.corrupt,
    ANSWER.closed,
    ANSWER.busy,
    ANSWER.wait,
    0,
  ]);
});

it.each<[string, [number, number][]]>([
  [
    'head and scan',
    [
      [WORD.head, -1],
      [WORD.scan, -1],
    ],
  ],
  [
    'head and scan, and a message where no unit is',
    [
      [WORD.head, -1],
      [WORD.scan, -1],
      [0, 2 << 28],
      [1, 64],
    ],
  ],
  ['tail', [[WORD.tail, -1]]],
  [
    'tail, with room behind it',
    [
      [WORD.tail, -1],
      [0, 0],
      [WORD.headSeen, 2 * UNITS - 1],
    ],
  ],
])('a handle that is new believes no position: %s', (name, writes) => {
  const rings = new Rings(UNITS);
  const peer = rings.join(1);
  for (const [place, value] of writes) rings.words[place] = value;
  const answer = name.startsWith('tail')
    ? peer.sender.send(ready(messageOf(1, 1, 9)))
    : receive(peer);
  expect(answer).toBe(ANSWER.corrupt);
  expect([rings.words[WORD.sendLock], rings.words[WORD.receiveLock]]).toEqual([0, 0]);
});

describe('a lock that', () => {
  const lockedBy = (word: number): Rings => {
    const rings = new Rings(UNITS);
    rings.join(5);
    rings.words[WORD.sendLock] = word;
    rings.words[WORD.receiveLock] = word;
    return rings;
  };

  it.each([
    ['names a dead participant', (1 << 30) | 9],
    ['names a dead participant, with somebody asleep', (1 << 31) | (1 << 30) | 9],
    ['names nobody', 12345],
    ['says only that somebody sleeps', 1 << 31],
    ['was left by this very handle', (1 << 30) | 1],
  ])('%s is taken over', (_name, word) => {
    const rings = lockedBy(word);
    const peer = rings.join(1);
    expect(peer.sender.send(ready(messageOf(1, 1, 9)))).toBe(0);
    expect(drain(peer)).toEqual([[...messageOf(1, 1, 9)]]);
    expect(rings.words[WORD.sendLock]).toBe(0);
  });

  it('a live one holds is waited for, and not for long', () => {
    const rings = lockedBy((1 << 30) | 5);
    const peer = rings.join(1);
    expect(peer.sender.send(ready(messageOf(1, 1, 9)))).toBe(ANSWER.busy);
    expect(rings.world.time).toBeLessThan(50);
    peer.receiver.thorough = true;
    expect(peer.receiver.claim()).toBe(ANSWER.busy);
    expect(rings.words[WORD.sendLock]).toBe((1 << 31) | (1 << 30) | 5);
  });
});
