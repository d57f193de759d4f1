// flush: one dirty page out of 1 GiB to the disk.
import { closeSync, openSync } from 'node:fs';
import { mapFileSync, pageSize } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { GiB, atMost, duel, now, withFile } from '../harness.mjs';

const LENGTH = GiB;
// Each is a wait for the disk: many rounds of one.
const ROUNDS = 301;

export const flush = {
  name: 'flush',
  what: 'one dirty page of 1 GiB: flushSync of its range',
  results: { flush: { unit: 'ns', peer: 'msync of the same page in C', target: atMost(1.3) } },
  run() {
    const c = loadComparator();
    return withFile(LENGTH, async (path) => {
      const fd = openSync(path, 'r+');
      const mapping = mapFileSync(fd, { access: 'read-write' });
      c.openForSync(fd, LENGTH);
      const { buffer } = mapping;
      let value = 0;
      const somewhere = () => Math.floor(Math.random() * (LENGTH / pageSize)) * pageSize;
      const found = await duel({
        ours() {
          const offset = somewhere();
          buffer[offset] = ++value & 0xff;
          const start = now();
          mapping.flushSync({ offset, length: pageSize });
          return now() - start;
        },
        theirs: () => c.syncPage(somewhere(), pageSize, ++value & 0xff),
        rounds: ROUNDS,
        warmup: 20,
      });
      mapping.unmap();
      closeSync(fd);
      return { flush: found };
    });
  },
};
