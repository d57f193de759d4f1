// random-read, safe-read: bytes here and there, against a system call for each.
import { closeSync, openSync, readSync } from 'node:fs';
import { mapFile, pageSize } from 'memmap';
import {
  GiB,
  KiB,
  MiB,
  atMost,
  duel,
  now,
  perOperation,
  timesFaster,
  withFile,
} from '../harness.mjs';

// Short rounds, and many: what interrupts one does not reach the median.
const ROUNDS = 101;

function randomPages(count, pages) {
  const places = new Uint32Array(count);
  for (let i = 0; i < count; i++) places[i] = Math.floor(Math.random() * pages);
  return places;
}

const WORDS_IN_PAGE = pageSize / 4;

function sumOfWords(words, places) {
  const { length } = places;
  let total = 0;
  for (let i = 0; i < length; i++) total = (total + words[places[i] * WORDS_IN_PAGE]) | 0;
  return total;
}

function sumOfReads(fd, places) {
  const { length } = places;
  const four = Buffer.alloc(4);
  let total = 0;
  for (let i = 0; i < length; i++) {
    readSync(fd, four, 0, 4, places[i] * pageSize);
    total = (total + four.readUInt32LE(0)) | 0;
  }
  return total;
}

export const randomRead = {
  name: 'random-read',
  what: 'one Uint32 from a random page of a cached file of 2 GiB, through a view',
  results: {
    'random-read': { unit: 'ns', peer: 'fs.readSync of 4 bytes', target: timesFaster(10) },
  },
  run() {
    const length = 2 * GiB;
    return withFile(length, async (path) => {
      const mapping = await mapFile(path);
      await mapping.prefetch();
      const { buffer } = mapping;
      const words = new Uint32Array(buffer.buffer, buffer.byteOffset, length / 4);
      const fd = openSync(path, 'r');
      const count = 20_000;
      let places = randomPages(count, length / pageSize);
      if (sumOfWords(words, places) !== sumOfReads(fd, places)) {
        throw new Error('the two sides disagree about the sum');
      }
      const each = (sum) => {
        const start = now();
        sum();
        return (now() - start) / count;
      };
      const found = await duel({
        ours: () => each(() => sumOfWords(words, places)),
        theirs: () => each(() => sumOfReads(fd, places)),
        rounds: ROUNDS,
        warmup: 10,
        // Fresh places each time: what was read a moment ago is in the processor's cache.
        between() {
          places = randomPages(count, length / pageSize);
        },
      });
      closeSync(fd);
      mapping.unmap();
      return { 'random-read': found };
    });
  },
};

const SIZES = [
  { name: 'safe-read-64', size: 64, count: 4000, limit: 1 },
  { name: 'safe-read-4096', size: 4 * KiB, count: 2000, limit: 1 },
  { name: 'safe-read-1048576', size: MiB, count: 64, limit: 1.2 },
];

async function safeReads({ size, count }) {
  const length = 64 * MiB;
  return withFile(length, async (path) => {
    const mapping = await mapFile(path);
    await mapping.prefetch();
    const fd = openSync(path, 'r');
    const target = Buffer.alloc(size);
    const places = length / size;
    const found = await duel({
      ours: () => perOperation(count, (i) => mapping.read((i % places) * size, target)),
      theirs: () => perOperation(count, (i) => readSync(fd, target, 0, size, (i % places) * size)),
      rounds: ROUNDS,
    });
    closeSync(fd);
    mapping.unmap();
    return found;
  });
}

export const safeRead = {
  name: 'safe-read',
  what: 'read() into a given buffer of 64 B, 4 KiB, 1 MiB',
  results: Object.fromEntries(
    SIZES.map(({ name, limit }) => [
      name,
      { unit: 'ns', peer: 'fs.readSync into the same buffer', target: atMost(limit) },
    ]),
  ),
  async run(names) {
    const found = {};
    for (const each of SIZES) {
      if (names.includes(each.name)) found[each.name] = await safeReads(each);
    }
    return found;
  },
};
