// guard-idle: what the guard costs where no fault ever happens: the same with `guard: false`.
import { closeSync, openSync } from 'node:fs';
import { mapAnonymous, mapFileSync, pageSize } from 'memmap';
import { MiB, atMost, drain, duel, perOperation, withFile } from '../harness.mjs';
import { ROUNDS, WARMUP, withFinalizers } from './map.mjs';
import { LENGTH, stopwatch, sum, warmUp, wordsOf } from './scan.mjs';

const PEER = 'the same with guard: false';
const target = atMost(1.05);

function scan() {
  const milliseconds = stopwatch();
  return withFile(LENGTH, async (path) => {
    const [on, off] = [true, false].map((guard) => mapFileSync(path, { populate: true, guard }));
    const [guarded, bare] = [on, off].map(({ buffer }) => wordsOf(buffer));
    warmUp(guarded);
    warmUp(bare);
    const found = await duel({
      ours: () => milliseconds(() => sum(guarded)),
      theirs: () => milliseconds(() => sum(bare)),
      rounds: 31,
      shuffle: true,
    });
    on.unmap();
    off.unmap();
    return found;
  });
}

const mapUnmap = () => {
  const side = (guard) => () => perOperation(500, () => mapAnonymous(pageSize, { guard }).unmap());
  return duel({
    ours: side(true),
    theirs: side(false),
    rounds: ROUNDS,
    warmup: WARMUP,
    between: drain,
    shuffle: true,
  });
};

const mapFileUnmap = () =>
  withFile(MiB, async (path) => {
    const fd = openSync(path, 'r');
    const once = (guard) => {
      const mapping = mapFileSync(fd, { guard });
      const { length } = mapping.buffer;
      mapping.unmap();
      if (length !== MiB) throw new Error('the Buffer was not there');
    };
    const side = (guard) => () => withFinalizers(250, () => once(guard));
    const found = await duel({
      ours: side(true),
      theirs: side(false),
      rounds: ROUNDS,
      warmup: WARMUP,
      between: drain,
      shuffle: true,
    });
    closeSync(fd);
    return found;
  });

const runs = {
  'guard-idle-scan': scan,
  'guard-idle-map-unmap': mapUnmap,
  'guard-idle-map-file-unmap': mapFileUnmap,
};

export const guardIdle = {
  name: 'guard-idle',
  what: 'the scan, map-unmap and map-file-unmap of the rows above, with the guard and without',
  results: {
    'guard-idle-scan': { unit: 'ms', peer: PEER, target },
    'guard-idle-map-unmap': { unit: 'ns', peer: PEER, target },
    'guard-idle-map-file-unmap': { unit: 'ns', peer: `${PEER}; a file, with its Buffer`, target },
  },
  async run(names) {
    const found = {};
    for (const name of names) found[name] = await runs[name]();
    return found;
  },
};
