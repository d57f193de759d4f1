// latest-read: a value of 64 bytes of which there is no newer one, through a reader of its own.
import { Latest } from 'memmap';
import { duel, perOperation, reported } from '../harness.mjs';

const COUNT = 100_000;

/** Nanoseconds of a read, as the authors of mmap-sync have published it; not measured here. */
const PUBLISHED = 26.7;
const PEER = 'what mmap-sync (Rust) has published, of another machine';

export const latest = {
  name: 'latest',
  what: 'the newest value of 64 B: looked at in place, or copied',
  results: {
    'latest-read': { unit: 'ns', peer: PEER, target: reported },
    'latest-read-copy': { unit: 'ns', peer: PEER, target: reported },
  },
  async run(names) {
    const values = Latest.create(null, { size: 64 });
    const writer = values.writer();
    const reader = values.reader();
    const value = Buffer.alloc(64);
    let sum = 0;
    const ways = {
      'latest-read': () => (sum += reader.view()[0]),
      'latest-read-copy': () => (sum += reader.readInto(value)),
    };
    const found = {};
    for (const name of names) {
      found[name] = await duel({
        ours: () => perOperation(COUNT, ways[name]),
        theirs: () => PUBLISHED,
        rounds: 51,
        warmup: 10,
        // Each round has a value of its own.
        between: () => writer.write(value.fill(value[0] + 1)),
      });
    }
    if (sum === 0) throw new Error('nothing was read');
    values.close();
    return found;
  },
};
