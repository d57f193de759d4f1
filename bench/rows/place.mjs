// place, replace, arena: putting mappings at addresses of one's own choice.
import { closeSync, openSync } from 'node:fs';
import { addressSpace, mapAnonymous, mapFileSync, pageSize, reserve } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { KiB, atMost, drain, duel, perOperation, withFile } from '../harness.mjs';
import { ROUNDS, WARMUP } from './map.mjs';

const LENGTH = 64 * KiB;

export const place = {
  name: 'place',
  what: '64 KiB of memory over vacant pages of a reservation, and vacated again',
  results: {
    place: { unit: 'ns', peer: 'MAP_FIXED twice in a C loop', target: atMost(2) },
  },
  async run() {
    const c = loadComparator();
    const count = 250;
    const reservation = reserve(3 * LENGTH);
    const found = await duel({
      ours: () =>
        perOperation(count, () => {
          reservation.place(LENGTH, { anonymous: LENGTH });
          reservation.vacate(LENGTH, LENGTH);
        }),
      theirs: () => c.placeVacate(LENGTH, count),
      rounds: ROUNDS,
      warmup: WARMUP,
      between: drain,
    });
    return { place: found };
  },
};

const FIXED = 'MAP_FIXED in a C loop';

export const replace = {
  name: 'replace',
  what: '64 KiB shown by a Buffer: replaced by memory, by another open file',
  results: {
    replace: { unit: 'ns', peer: FIXED, target: atMost(2) },
    'replace-file': { unit: 'ns', peer: FIXED, target: atMost(2) },
    'replace-file-read': {
      unit: 'ns',
      peer: `${FIXED}, a byte of each page read on both sides`,
      target: atMost(2),
    },
  },
  run(names) {
    const c = loadComparator();
    const count = 250;
    const readEveryPage = (buffer) => {
      let sum = 0;
      for (let at = 0; at < LENGTH; at += pageSize) sum += buffer[at];
      return sum;
    };
    return withFile(LENGTH, (first) =>
      withFile(LENGTH, async (second) => {
        const descriptors = [first, second].map((path) => openSync(path, 'r'));
        const fight = async (name) => {
          const memory = name === 'replace';
          const look = name === 'replace-file-read';
          const fds = memory ? [-1, -1] : descriptors;
          const sources = fds.map((fd) => (memory ? { anonymous: LENGTH } : { file: fd }));
          const mapping = memory ? mapAnonymous(LENGTH) : mapFileSync(fds[0]);
          const { buffer } = mapping;
          const found = await duel({
            ours: () =>
              perOperation(count, (i) => {
                mapping.replace(sources[1 - (i % 2)]);
                if (look) readEveryPage(buffer);
              }),
            theirs: () => c.replaceByTurns(...fds, LENGTH, look ? pageSize : 0, count),
            rounds: ROUNDS,
            warmup: WARMUP,
            between: drain,
          });
          mapping.unmap();
          return found;
        };
        const found = {};
        for (const name of names) found[name] = await fight(name);
        for (const fd of descriptors) closeSync(fd);
        return found;
      }),
    );
  },
};

const LIVE = 10_000;

export const arena = {
  name: 'arena',
  what: '64 KiB of memory mapped and unmapped beside 10,000 live mappings',
  results: {
    arena: { unit: 'ns', peer: 'the same where the kernel likes', target: atMost(1.5) },
    'arena-c': {
      unit: 'ns',
      peer: 'mmap and munmap in a C loop, beside as many',
      target: atMost(2),
    },
  },
  async run(names) {
    const c = loadComparator();
    const count = 500;
    const found = {};
    for (const name of names) {
      // Every other one is gone, so that there are holes to choose from.
      const inside = addressSpace.arena({ size: 4 * LIVE * LENGTH });
      const live = Array.from({ length: 2 * LIVE }, () => mapAnonymous(LENGTH, { arena: inside }));
      live.forEach((mapping, i) => i % 2 === 0 && mapping.unmap());
      const others = Array.from({ length: LIVE }, () => mapAnonymous(LENGTH));
      const options = { arena: inside };
      found[name] = await duel({
        ours: () => perOperation(count, () => mapAnonymous(LENGTH, options).unmap()),
        theirs:
          name === 'arena'
            ? () => perOperation(count, () => mapAnonymous(LENGTH).unmap())
            : () => c.mapUnmap(LENGTH, count),
        rounds: ROUNDS,
        warmup: WARMUP,
        between: drain,
      });
      inside.release();
      for (const mapping of others) mapping.unmap();
    }
    return found;
  },
};
