// How long a call is in the ring when a lock of it is not let go: unit tests without a clock, of the patience that it is given.
import type { Endpoint } from '../../lib/shared/endpoint.js';
import { Channel } from '../../lib/index.js';
import { HELD, WORD } from '../../lib/shared/ring-layout.js';
import { LOCK_PATIENCE } from '../../lib/shared/ring-memory.js';
import { memmapSays, refused } from '../helpers/refusals.js';

const endOf = (channel: Channel): Endpoint => (channel as unknown as { end: Endpoint }).end;

let channel: Channel;
let other: Channel;
let patience: number[];
/** Told each patience. */
let look: (patience: number) => void;

beforeEach(() => {
  channel = Channel.create(null, { capacity: 4096 });
  const end = endOf(channel);
  other = new Channel(channel.mapping);
  // A live handle has both.
  const lock = HELD | endOf(other).participants.tag;
  for (const word of [WORD.sendLock, WORD.receiveLock]) Atomics.store(end.words, word, lock);
  Atomics.store(end.words, WORD.rescan, 1);
  patience = [];
  look = () => undefined;
  for (const [half, name] of [
    [end.sender, 'send'],
    [end.receiver, 'receive'],
  ] as const) {
    const real = (half as unknown as Record<string, (...all: unknown[]) => number>)[name];
    Object.defineProperty(half, name, {
      value: (...all: unknown[]) => {
        patience.push(end.ring.patience);
        look(end.ring.patience);
        return real?.apply(half, all);
      },
    });
  }
});

afterEach(() => {
  other.detach();
  channel.detach();
});

it.each([
  [
    'sendSync',
    (timeout: number) => {
      channel.sendSync(Buffer.of(1), { timeout });
    },
  ],
  ['receiveSync', (timeout: number) => channel.receiveSync({ timeout, spin: 0 })],
])('%s waits for a lock as long as it has time', (_name, call) => {
  expect(refused(() => call(1))).toMatchObject(memmapSays('TIMEOUT'));
  expect(new Set(patience)).toEqual(new Set([1]));
  expect(patience.length).toBeLessThan(5);
  expect(endOf(channel).ring.patience).toBe(LOCK_PATIENCE);
});

it('a call that lets others have their turns waits for a lock twice at most', async () => {
  const stop = new AbortController();
  const reason = new Error('enough');
  // However long that took.
  look = (each) => {
    if (each === 0) stop.abort(reason);
  };
  await expect(channel.receive({ signal: stop.signal })).rejects.toBe(reason);
  expect(patience).toEqual([LOCK_PATIENCE, LOCK_PATIENCE, 0]);
});
