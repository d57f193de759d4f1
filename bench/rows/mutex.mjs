// mutex: lock and unlock of a mutex that nobody else wants.
import { Mutex, mapAnonymous } from 'memmap';
import { loadComparator } from '../comparator.mjs';
import { duel, perOperation, reported } from '../harness.mjs';

const COUNT = 20_000;

export const mutex = {
  name: 'mutex',
  what: 'lock and unlock, uncontended',
  results: {
    mutex: { unit: 'ns', peer: 'a robust, process-shared pthread mutex in C', target: reported },
  },
  async run() {
    const { lockUnlock } = loadComparator();
    const ours = new Mutex(mapAnonymous(Mutex.SIZE, { shared: true }));
    const found = await duel({
      ours: () => perOperation(COUNT, () => ours.lock().unlock()),
      theirs: () => lockUnlock(COUNT),
      rounds: 101,
      warmup: 10,
    });
    return { mutex: found };
  },
};
