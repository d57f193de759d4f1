// rtt-spin, rtt-sleep, rtt-ipc, wake: 64 bytes there and back between two processes, or only a word. A pair
// that is not measured sleeps. Against C both pairs have a processor for each process; what Node has is
// quicker where the scheduler puts both on one, and may.
import { startPairInC } from '../comparator.mjs';
import { KiB, atMost, duel, median, reported, timesFaster } from '../harness.mjs';
import { startPair } from '../near.mjs';

const bytes = Buffer.alloc(64, 7);

const throughNode = (wire, options) => async () => {
  const pair = await startPair(wire, options);
  return { trips: (count) => pair.trips(bytes, count), end: () => pair.end() };
};
const throughC = (mode) => () => {
  const pair = startPairInC();
  return { trips: (count) => pair.trips(mode, count), end: () => pair.end() };
};

/** `counts`: round trips in a round, ours and theirs. */
async function fightOnce({ ours, theirs, counts, rounds = 11 }) {
  const pairs = [await ours(), await theirs()];
  const [mine, other] = pairs.map((pair, side) => () => pair.trips(counts[side]));
  // Until the compiler is done with ours; C needs no more than one.
  for (let i = 0; i < 5; i++) await mine();
  const found = await duel({ ours: mine, theirs: other, rounds });
  await Promise.all(pairs.map((pair) => pair.end()));
  return found;
}

/** The median of each number of some alike objects. */
function medianOf(found) {
  if (typeof found[0] === 'number') return median(found);
  const names = Object.keys(found[0]);
  return Object.fromEntries(names.map((name) => [name, medianOf(found.map((each) => each[name]))]));
}

/** Several pairs, one after the other: where its memory lies makes one half as fast again as the next, in C most of all. */
async function fight({ pairs = 3, ours, theirs, counts, rounds }) {
  const found = [];
  for (let pair = 0; pair < pairs; pair++)
    found.push(await fightOnce({ ours, theirs, counts, rounds }));
  return medianOf(found);
}

// As much as the rings in C have: what fits into a cache is quicker.
const SMALL = { capacity: 64 * KiB };
const PINNED = { pinned: true };
const FIGHTS = {
  'rtt-spin': {
    ours: throughNode('channel', { ...SMALL, ...PINNED }),
    theirs: throughC('spin'),
    counts: [20_000, 20_000],
    pairs: 9,
  },
  'rtt-sleep': {
    ours: throughNode('channel', { sleeps: true, ...SMALL, ...PINNED }),
    theirs: throughC('sleep'),
    counts: [1000, 1000],
  },
  'rtt-ipc-send': {
    ours: throughNode('channel', SMALL),
    theirs: throughNode('process-send'),
    counts: [20_000, 2000],
  },
  'rtt-ipc-socket': {
    ours: throughNode('channel', SMALL),
    theirs: throughNode('socket'),
    counts: [20_000, 2000],
  },
  'wake-wait': {
    ours: throughNode('word', PINNED),
    theirs: throughC('word'),
    counts: [1000, 1000],
  },
  'wake-wait-async': {
    ours: throughNode('word', { later: true, ...PINNED }),
    theirs: throughC('word'),
    counts: [1000, 1000],
  },
};

const row = (name, what, results) => ({
  name,
  what,
  results,
  async run(names) {
    const found = {};
    for (const each of names) found[each] = await fight(FIGHTS[each]);
    return found;
  },
});

export const rttSpin = row('rtt-spin', 'a Channel, both sides looking all the time', {
  'rtt-spin': { unit: 'ns', peer: 'two rings in C, the same', target: atMost(2) },
});
export const rttSleep = row('rtt-sleep', 'a Channel, both sides asleep while there is nothing', {
  'rtt-sleep': { unit: 'ns', peer: 'two rings in C, with a futex', target: atMost(1.3) },
});
export const rttIpc = row('rtt-ipc', 'a Channel, spinning, against what Node has', {
  'rtt-ipc-send': {
    unit: 'ns',
    peer: 'process.send, advanced serialization',
    target: timesFaster(20),
  },
  'rtt-ipc-socket': { unit: 'ns', peer: 'a Unix socket of node:net', target: timesFaster(20) },
});
export const wake = row('wake', 'one word, taken by turns: wait and notify', {
  'wake-wait': { unit: 'ns', peer: 'the same futex in C', target: reported },
  'wake-wait-async': { unit: 'ns', peer: 'the same futex in C', target: reported },
});
