// append, grow, search: files that become longer, and files that are searched.
import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { mapFileSync } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { GiB, MiB, atMost, duel, now, perOperation, timesFaster, withFile } from '../harness.mjs';

const RECORD = Buffer.alloc(64, 'r');
const ROUNDS = 9;

export const append = {
  name: 'append',
  what: 'a record of 64 bytes appended to a growing log, 500,000 of them',
  results: {
    append: {
      unit: 'ns',
      peer: 'fs.writeSync to a file opened for appending',
      target: timesFaster(20),
    },
  },
  run: () =>
    withFile(0, async (path) => {
      const found = await duel({
        ours() {
          const log = mapFileSync(path, { access: 'read-write', maxLength: GiB });
          const time = perOperation(500_000, () => log.append(RECORD));
          log.unmap();
          truncateSync(path, 0);
          return time;
        },
        theirs() {
          const fd = openSync(path, 'a');
          const time = perOperation(50_000, () => writeSync(fd, RECORD));
          closeSync(fd);
          truncateSync(path, 0);
          return time;
        },
        rounds: ROUNDS,
      });
      return { append: found };
    }),
};

export const grow = {
  name: 'grow',
  what: 'a mapped file made 64 KiB longer in place, with its blocks, 200 times',
  results: {
    grow: { unit: 'ns', peer: 'fallocate and mremap in a C loop', target: atMost(2) },
  },
  run: () =>
    withFile(0, async (path) => {
      const c = loadComparator();
      const step = 64 * 1024;
      const count = 200;
      const found = await duel({
        ours() {
          truncateSync(path, step);
          const mapping = mapFileSync(path, { access: 'read-write', maxLength: GiB });
          const time = perOperation(count, () => mapping.resize(mapping.length + step));
          mapping.unmap();
          return time;
        },
        theirs() {
          truncateSync(path, step);
          const fd = openSync(path, 'r+');
          const time = c.growFile(fd, step, count);
          closeSync(fd);
          return time;
        },
        rounds: ROUNDS,
      });
      return { grow: found };
    }),
};

export const search = {
  name: 'search',
  what: 'indexOf in a warm mapping of 1 GiB; the bytes are at its end',
  results: {
    search: {
      unit: 'ms',
      peer: 'Buffer.indexOf over the same Buffer, in windows',
      target: atMost(1.1),
    },
  },
  run: () =>
    withFile(GiB, async (path) => {
      const mapping = mapFileSync(path, { access: 'read-write', populate: true });
      const needle = Buffer.from('the needle that is looked for');
      mapping.write(mapping.length - needle.length, needle);
      const { buffer } = mapping;
      const milliseconds = (find) => {
        const start = now();
        if (find() !== mapping.length - needle.length) throw new Error('not found');
        return (now() - start) / 1e6;
      };
      const window = 256 * MiB;
      const inWindows = () => {
        for (let at = 0; at < buffer.length; at += window) {
          const hit = buffer.subarray(at, at + window + needle.length - 1).indexOf(needle);
          if (hit >= 0) return at + hit;
        }
        return -1;
      };
      const found = await duel({
        ours: () => milliseconds(() => mapping.indexOf(needle)),
        theirs: () => milliseconds(inWindows),
        rounds: ROUNDS,
      });
      mapping.unmap();
      return { search: found };
    }),
};
