// fault: what one fault costs that does not kill the process.
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { mapFileSync, pageSize } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { atMost, drain, duel, now, withFile } from '../harness.mjs';

// Short rounds, and many: what interrupts one does not reach the median.
const PAGES = 256;
const LENGTH = PAGES * pageSize;
const ROUNDS = 201;

function touch(bytes, length) {
  let sum = 0;
  for (let at = 0; at < length; at += pageSize) sum += bytes[at];
  return sum;
}

/** Nanoseconds for each page of a mapping whose file has been cut to nothing. */
function meetFaults(path, fd) {
  const mapping = mapFileSync(path);
  mapping.on('fault', () => {});
  const { buffer } = mapping;
  ftruncateSync(fd, 0);
  const start = now();
  const sum = touch(buffer, LENGTH);
  const spent = now() - start;
  if (sum !== 0) throw new Error('bytes of a file that has none');
  const pages = mapping.faults.reduce((total, { length }) => total + length / pageSize, 0);
  if (pages !== PAGES) throw new Error(`${pages} pages in the records, not ${PAGES}`);
  mapping.unmap();
  ftruncateSync(fd, LENGTH);
  return spent / PAGES;
}

export const fault = {
  name: 'fault',
  what: 'reading page after page of a mapping whose file was cut to nothing',
  results: {
    fault: { unit: 'ns', peer: 'the least such handler in C', target: atMost(1.5) },
  },
  run() {
    const c = loadComparator();
    return withFile(LENGTH, async (path) => {
      const fd = openSync(path, 'r+');
      const heap = Buffer.alloc(LENGTH);
      for (let i = 0; i < 1000; i++) touch(heap, LENGTH);
      const found = await duel({
        ours: () => meetFaults(path, fd),
        theirs: () => c.mendFaults(fd, LENGTH, pageSize),
        rounds: ROUNDS,
        between: drain,
      });
      closeSync(fd);
      return { fault: found };
    });
  },
};
