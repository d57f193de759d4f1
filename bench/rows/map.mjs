// map-unmap, map-view-unmap, map-file-unmap: what one mapping costs from first to last.
import { closeSync, openSync } from 'node:fs';
import { mapAnonymous, mapFileSync, pageSize } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { MiB, atMost, drain, duel, now, perOperation, withFile } from '../harness.mjs';

const PEER = 'mmap and munmap in a C loop';
// Short rounds, and many: what interrupts one does not reach the median.
export const ROUNDS = 201;
// Until what is unmapped no longer waits in a quarantine that fills up, but in a full one.
export const WARMUP = 20;
const FILE_LENGTH = MiB;

/** With the turns of the event loop in which Node finalizes what was detached. */
export async function withFinalizers(count, operation) {
  const start = now();
  for (let i = 0; i < count; i++) operation();
  await drain();
  return (now() - start) / count;
}

export const mapUnmap = {
  name: 'map-unmap',
  what: 'anonymous 4 KiB: map, unmap',
  results: { 'map-unmap': { unit: 'ns', peer: PEER, target: atMost(1.5) } },
  async run() {
    const c = loadComparator();
    const count = 500;
    const found = await duel({
      ours: () => perOperation(count, () => mapAnonymous(pageSize).unmap()),
      theirs: () => c.mapUnmap(pageSize, count),
      rounds: ROUNDS,
      warmup: WARMUP,
      between: drain,
    });
    return { 'map-unmap': found };
  },
};

export const mapViewUnmap = {
  name: 'map-view-unmap',
  what: 'anonymous 4 KiB: map, make its Buffer, detach it, unmap',
  results: { 'map-view-unmap': { unit: 'ns', peer: PEER, target: atMost(2.2) } },
  async run() {
    const c = loadComparator();
    const count = 250;
    const once = () => {
      const mapping = mapAnonymous(pageSize);
      const { buffer } = mapping;
      mapping.unmap();
      if (buffer.length !== 0) throw new Error('the Buffer is still attached');
    };
    const found = await duel({
      ours: () => withFinalizers(count, once),
      theirs: () => c.mapUnmap(pageSize, count),
      rounds: ROUNDS,
      warmup: WARMUP,
      between: drain,
    });
    return { 'map-view-unmap': found };
  },
};

function readEveryPage(buffer) {
  let sum = 0;
  for (let at = 0; at < buffer.length; at += pageSize) sum += buffer[at];
  return sum;
}

export const mapFileUnmap = {
  name: 'map-file-unmap',
  what: '1 MiB of an open file: map, make its Buffer, detach it, unmap',
  results: {
    'map-file-unmap': { unit: 'ns', peer: PEER, target: atMost(2) },
    'map-file-unmap-read': {
      unit: 'ns',
      peer: `${PEER}, a byte of each page read on both sides`,
      target: atMost(2),
    },
  },
  run(names) {
    const c = loadComparator();
    return withFile(FILE_LENGTH, async (path) => {
      const fd = openSync(path, 'r');
      const fight = (count, look, step) => {
        const once = () => {
          const mapping = mapFileSync(fd);
          const seen = look(mapping.buffer);
          mapping.unmap();
          if (seen === 0) throw new Error('nothing was seen');
        };
        return duel({
          ours: () => withFinalizers(count, once),
          theirs: () => c.mapFileUnmap(fd, FILE_LENGTH, step, count),
          rounds: ROUNDS,
          warmup: WARMUP,
          between: drain,
        });
      };
      const found = {};
      for (const name of names) {
        found[name] =
          name === 'map-file-unmap'
            ? await fight(250, (buffer) => buffer.length, 0)
            : await fight(100, readEveryPage, pageSize);
      }
      closeSync(fd);
      return found;
    });
  },
};
