// regions, regions-residency, query: looking at a process of 2,000 regions, against doing it with
// the text that the kernel gives, in JavaScript.
import { readFileSync } from 'node:fs';
import { addressSpace, mapAnonymous, pageSize } from 'memmap';
import { atMost, duel, now, timesFaster } from '../harness.mjs';

const REGIONS = 2000;
const ROUNDS = 41;

/** At least the smallest thing that is of use: lines, and their columns. */
const splitMaps = () =>
  readFileSync('/proc/self/maps', 'latin1')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '));

function parseSmaps() {
  const found = [];
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const [name, ...rest] = line.split(/\s+/);
    if (name.endsWith(':')) found.at(-1)[name] = Number(rest[0]) * 1024;
    else if (name !== '') found.push({ range: name, rest });
  }
  return found;
}

/** The line of an address in the text. */
function scanMaps(address) {
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const dash = line.indexOf('-');
    if (parseInt(line.slice(0, dash), 16) > address) continue;
    if (parseInt(line.slice(dash + 1, line.indexOf(' ')), 16) > address) return line;
  }
  return undefined;
}

/** Mappings of every second page, so that no two of them become one region. */
function fill() {
  const mappings = [];
  while (splitMaps().length < REGIONS) {
    const missing = REGIONS - splitMaps().length;
    for (let i = 0; i < missing; i++) {
      const mapping = mapAnonymous(pageSize, { shared: i % 2 === 0 });
      mapping.write(0, 'x');
      mappings.push(mapping);
    }
  }
  return mappings;
}

function stopwatch(work) {
  return () => {
    const start = now();
    const count = work();
    const spent = now() - start;
    if (count < REGIONS) throw new Error(`only ${count} regions`);
    return spent / 1e3;
  };
}

const peers = {
  regions: {
    ours: stopwatch(() => {
      let owned = 0;
      for (const { owner } of addressSpace.regions()) if (owner.kind !== 'anonymous') owned++;
      return owned;
    }),
    theirs: stopwatch(() => splitMaps().length),
  },
  'regions-residency': {
    ours: stopwatch(() => {
      const regions = addressSpace.regions();
      let resident = 0;
      for (const region of regions) resident += region.resident;
      return resident > 0 ? regions.length : 0;
    }),
    theirs: stopwatch(() => parseSmaps().length),
  },
};

function duelOfQueries(mappings) {
  const addresses = mappings.map(({ address }) => address);
  const measure = (count, find) => () => {
    const start = now();
    for (let i = 0; i < count; i++) {
      if (find(addresses[(i * 7919) % addresses.length]) === undefined)
        throw new Error('not found');
    }
    return (now() - start) / count / 1e3;
  };
  return {
    ours: measure(2000, (address) => addressSpace.query(address)),
    theirs: measure(20, (address) => scanMaps(Number(address))),
  };
}

export const regions = {
  name: 'regions',
  what: 'a process of 2,000 regions: all of them with their owners, with what is in memory, one',
  results: {
    regions: { unit: 'us', peer: 'splitting /proc/self/maps in JavaScript', target: atMost(1) },
    'regions-residency': {
      unit: 'us',
      peer: 'parsing /proc/self/smaps in JavaScript',
      target: atMost(1),
    },
    query: { unit: 'us', peer: 'scanning /proc/self/maps in JavaScript', target: timesFaster(10) },
  },
  async run(names) {
    const mappings = fill();
    const found = {};
    for (const name of names) {
      const sides = peers[name] ?? duelOfQueries(mappings);
      found[name] = await duel({ ...sides, rounds: ROUNDS, warmup: 10 });
    }
    for (const mapping of mappings) mapping.unmap();
    return found;
  },
};
