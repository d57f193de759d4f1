// Cosmopolitan, test/libc: msync between processes, madvise.
import assert from 'node:assert/strict';
import {
  type Runs,
  answer,
  freeAddress,
  holds,
  mmap,
  opened,
  pageOf,
  succeeds,
  suiteOf,
} from '../kit.js';
import { constants, memmap, mustRefuse, pageSize, sys } from '../tools.js';

const { MADV_DONTNEED, MADV_WILLNEED } = constants;

const msync: Runs = {
  async 'cosmo.msync.changeFileMappingAndWakeSpinLockWaiter'(t) {
    const path = t.file(Buffer.alloc(8));
    using m = memmap.mapFileSync(path, { access: 'read-write' });
    const words = new Int32Array(m.buffer.buffer, 0, 2);
    const state = { ended: false };
    // The child does not end before it was told that its store was seen.
    const child = answer(
      t,
      `const fd = fs.openSync(${JSON.stringify(path)}, 'r+');
       const m = sys.mmap(0, 8, c.PROT_READ | c.PROT_WRITE, c.MAP_SHARED, fd, 0);
       const words = new Int32Array(m.buffer.buffer, 0, 2);
       Atomics.store(words, 1, 42);
       sys.msync(m.address, 8, c.MS_ASYNC);
       Atomics.store(words, 0, 1);
       while (Atomics.load(words, 0) !== 2);
       console.log('true');`,
    ).finally(() => (state.ended = true));
    while (!state.ended && Atomics.load(words, 0) === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [seen, before] = [Atomics.load(words, 1), !state.ended];
    Atomics.store(words, 0, 2);
    await child;
    assert.deepEqual({ seen, before }, { seen: 42, before: true });
  },
};

const madvise: Runs = {
  'cosmo.madvise.anon'() {
    using m = mmap({ length: 2 * pageSize });
    succeeds(() => sys.madvise(m.address, m.length, MADV_WILLNEED));
  },
  'cosmo.madvise.file'(t) {
    using file = opened(t.file('hello'), 'r');
    using m = mmap({ length: 5, prot: 'r', flags: 'PRIVATE', fd: file.fd });
    succeeds(() => sys.madvise(m.address, 5, MADV_WILLNEED));
  },
  'cosmo.madvise.short'() {
    using m = mmap();
    succeeds(() => sys.madvise(m.address, pageSize - 1, MADV_WILLNEED));
  },
  'cosmo.madvise.subPages'() {
    using m = mmap({ length: 2 * pageSize });
    succeeds(() => sys.madvise(pageOf(m, 1), pageSize, MADV_WILLNEED));
  },
  'cosmo.madvise.misalign'() {
    using m = mmap();
    const advise = (address: bigint, length: number | bigint) => () =>
      sys.madvise(address, length, MADV_WILLNEED);
    mustRefuse(advise(m.address + 1n, pageSize - 1), 'EINVAL', 'madvise');
    succeeds(advise(m.address, 1));
    mustRefuse(advise(m.address, 2n ** 64n - 1n), 'EINVAL', 'madvise');
  },
  'cosmo.madvise.badAdvice'() {
    using m = mmap();
    mustRefuse(() => sys.madvise(m.address, pageSize, 127), 'EINVAL', 'madvise');
  },
  'cosmo.madvise.missingMemory'() {
    const at = freeAddress(1);
    mustRefuse(() => sys.madvise(at, pageSize, MADV_WILLNEED), 'ENOMEM', 'madvise');
  },
  'cosmo.madvise.dontneed_canStillUsePages'() {
    using m = mmap();
    m.write(0, 'before');
    sys.madvise(m.address, pageSize, MADV_DONTNEED);
    m.write(0, Buffer.alloc(pageSize, 3));
    holds(m, 3);
  },
};

export const suite = suiteOf({ ...msync, ...madvise });
