// registry: whether the list of what is owned stays cheap when it is long. No system call in it.
import { createRequire } from 'node:module';
import { atMost, duel, now } from '../harness.mjs';

const { Registry } = createRequire(import.meta.url)('../../dist/registry.js');

const PAGE = 4096;
const FEW = 1000;
const MANY = 100_000;

/**
 * Records of one page each with gaps between them, at addresses in random order. Each is made in its turn, as a mapping's
 * is: in another order than it is inserted, most of the time would go into fetching the records themselves.
 */
function shuffledRecords(count) {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  const records = Array.from(order, (index) => {
    const start = 0x7f00_0000_0000 + index * 2 * PAGE;
    return { start, end: start + PAGE, owner: undefined, busy: undefined };
  });
  return { records, addresses: Float64Array.from(records, ({ start }) => start + 8) };
}

/** Inserts, looks up and removes every record; nanoseconds for one of these operations. */
function once({ records, addresses }) {
  const registry = new Registry();
  const count = records.length;
  let found = 0;
  const start = now();
  for (const record of records) registry.insert(record);
  for (let i = 0; i < count; i++) if (registry.entryAt(addresses[i]) === records[i]) found++;
  for (const record of records) registry.remove(record);
  const spent = now() - start;
  if (found !== count || registry.size !== 0) throw new Error('the registry lost records');
  return spent / (3 * count);
}

function several(few, times) {
  let total = 0;
  for (let i = 0; i < times; i++) total += once(few);
  return total / times;
}

export const registry = {
  name: 'registry',
  what: 'insert, look up, remove with 100,000 records: one operation',
  results: { registry: { unit: 'ns', peer: 'the same with 1,000 records', target: atMost(3) } },
  async run() {
    const few = shuffledRecords(FEW);
    const many = shuffledRecords(MANY);
    const found = await duel({
      ours: () => once(many),
      theirs: () => several(few, MANY / FEW),
      rounds: 15,
    });
    return { registry: found };
  },
};
