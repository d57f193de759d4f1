// random-read, safe-read: bytes here and there, against a system call for each.
import { closeSync, openSync, readSync } from 'node:fs';
import { mapFile, pageSize } from 'memmap';
import { GiB, KiB, MiB, atMost, duel, perOperation, timesFaster, withFile } from '../harness.mjs';

// Short rounds, and many: what interrupts one does not reach the median.
const ROUNDS = 101;

/** The same places for both sides. */
function randomPages(count, pages) {
  const places = new Uint32Array(count);
  for (let i = 0; i < count; i++) places[i] = Math.floor(Math.random() * pages);
  return places;
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
      const four = Buffer.alloc(4);
      const places = randomPages(100_000, length / pageSize);
      const wordsInPage = pageSize / 4;
      let sink = 0;
      const found = await duel({
        ours: () => perOperation(places.length, (i) => (sink ^= words[places[i] * wordsInPage])),
        theirs: () =>
          perOperation(places.length, (i) => {
            readSync(fd, four, 0, 4, places[i] * pageSize);
            sink ^= four.readUInt32LE(0);
          }),
        rounds: ROUNDS,
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
