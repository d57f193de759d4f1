// channel, channel-memcpy: messages a second from one process to another by the blocking calls, as they are
// without options: sendSync of the same bytes; 64 B and 4 KiB are copied out by receiveIntoSync, 1 MiB is
// received in place (peekSync). The others get whole messages, too, and nobody looks at them; but for
// channel-memcpy, where a word of each cache line is read.
import { loadComparator } from '../comparator.mjs';
import { KiB, MiB, duel, timesLarger } from '../harness.mjs';
import { startPair } from '../near.mjs';
import { CAPACITY } from '../wires/channel.mjs';

const PEERS = {
  send: { wire: 'process-send', peer: 'process.send, advanced serialization' },
  socket: { wire: 'socket', peer: 'a Unix socket of node:net' },
};

/** Messages in a round, ours and theirs: 50 to 200 milliseconds. */
const SIZES = [
  { size: 64, counts: [200_000, 20_000] },
  { size: 4 * KiB, counts: [50_000, 10_000] },
  { size: MiB, counts: [1000, 200] },
];

const FIGHTS = Object.fromEntries(
  SIZES.flatMap(({ size, counts }) =>
    Object.entries(PEERS).map(([name, { wire, peer }]) => [
      `channel-${size}-${name}`,
      { size, counts, wire, peer },
    ]),
  ),
);

async function fight({ size, counts, wire }) {
  const bytes = Buffer.alloc(size, 7);
  const pairs = [await startPair('channel'), await startPair(wire)];
  const [ours, theirs] = pairs.map((pair, side) => () => pair.rate(bytes, counts[side]));
  const found = await duel({ ours, theirs, rounds: 15, warmup: 3 });
  for (const pair of pairs) await pair.end();
  return found;
}

export const channel = {
  name: 'channel',
  what: 'messages of 64 B, 4 KiB, 1 MiB a second through a Channel',
  results: Object.fromEntries(
    Object.entries(FIGHTS).map(([name, { peer }]) => [
      name,
      { unit: '/s', peer, target: timesLarger(10) },
    ]),
  ),
  async run(names) {
    const found = {};
    for (const name of names) found[name] = await fight(FIGHTS[name]);
    return found;
  },
};

export const channelMemcpy = {
  name: 'channel-memcpy',
  what: '1 MiB at a time through a Channel, and all of it looked at',
  results: {
    'channel-memcpy': {
      unit: 'GB/s',
      peer: 'memcpy in C into as many bytes, one processor',
      target: timesLarger(0.5),
    },
  },
  async run() {
    const { copyIntoRing } = loadComparator();
    const bytes = Buffer.alloc(MiB, 7);
    const pair = await startPair('channel', { looks: true });
    const found = await duel({
      ours: async () => ((await pair.rate(bytes, 1000)) * MiB) / 1e9,
      theirs: () => MiB / copyIntoRing(MiB, CAPACITY, 1000),
      rounds: 31,
    });
    await pair.end();
    return { 'channel-memcpy': found };
  },
};
