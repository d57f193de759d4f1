// Whatever is written over a lock that others use, too: a guard, nothing, or an error that says so, in bounded time. Locks that lie
// elsewhere do not suffer.
import fc from 'fast-check';
import { type Mapping, Mutex, RwLock, Semaphore, mapAnonymous } from '../../lib/index.js';

const SIZE = 4096;
const HEADER = 1024;

/** The words that make a lock of zeros one. */
const MARKS = [0x53656d01, 0x52776c01];

/** Numbers that mean something to a lock, of its size or of its owner, and any others. */
const value = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.integer({ min: 0, max: 70 }),
  fc.constantFrom(...MARKS, process.pid, process.pid | (2 ** 31), 2 ** 30, 2 ** 31 - 1, 0x90),
);
const write = fc.record({ place: fc.nat(HEADER / 4 - 1), value });
const action = fc.oneof(
  { weight: 1, arbitrary: fc.record({ what: fc.constant('write' as const), write }) },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constantFrom('take' as const, 'wait' as const, 'other' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('leave' as const), which: fc.nat(9) }) },
);
const story = fc.tuple(fc.array(write, { maxLength: 6 }), fc.array(action, { maxLength: 30 }));

type Leave = () => void;

/** A lock of some kind: each way to take it gives how to leave it, or nothing. */
interface Ways {
  take(): Leave | undefined;
  wait(): Leave | undefined;
  other(): Leave | undefined;
}

const BRIEFLY = { timeout: 2 };

const kinds: Record<string, (memory: Mapping) => Ways> = {
  Mutex: (memory) => {
    const mutex = new Mutex(memory, 64);
    const leave = (guard: ReturnType<Mutex['tryLock']>) => guard && (() => guard.unlock());
    return {
      take: () => leave(mutex.tryLock()),
      wait: () => leave(mutex.lock(BRIEFLY)),
      other: () => leave(new Mutex(memory, 64).tryLock()),
    };
  },
  Semaphore: (memory) => {
    const semaphore = new Semaphore(memory, { permits: 5 });
    const leave = (permit: ReturnType<Semaphore['tryAcquire']>) =>
      permit && (() => permit.release());
    return {
      take: () => leave(semaphore.tryAcquire()),
      wait: () => leave(semaphore.acquire(BRIEFLY)),
      other: () => {
        const other = new Semaphore(memory);
        expect(other.available).toBeLessThanOrEqual(other.permits);
        return leave(other.tryAcquire());
      },
    };
  },
  RwLock: (memory) => {
    const lock = new RwLock(memory, { readers: 5 });
    const leave = (guard: ReturnType<RwLock['tryReadLock']>) => guard && (() => guard.unlock());
    return {
      take: () => leave(lock.tryWriteLock()),
      wait: () => leave(lock.readLock(BRIEFLY)),
      other: () => leave(new RwLock(memory).tryWriteLock()),
    };
  },
};

const KNOWN = ['ARGUMENT', 'BUSY', 'CORRUPT', 'RANGE', 'TIMEOUT', 'UNSUPPORTED'].map(
  (kind) => `ERR_MEMMAP_${kind}`,
);

/** What it gives, or undefined where it throws one of the errors that say what was found. */
function tolerant<Result>(call: () => Result): Result | undefined {
  try {
    return call();
  } catch (error) {
    expect(KNOWN).toContain((error as { code?: string }).code);
    return undefined;
  }
}

describe.each(Object.entries(kinds))('%s', (_, make) => {
  it('survives what others write over it', () => {
    const elsewhere = mapAnonymous(SIZE, { shared: true });
    const before = new Mutex(elsewhere, 0).lock();
    fc.assert(
      fc.property(story, ([first, actions]) => {
        const memory = mapAnonymous(SIZE, { shared: true });
        const words = new Int32Array(memory.buffer.buffer, memory.buffer.byteOffset, SIZE / 4);
        for (const { place, value } of first) words[place] = value;
        const held: Leave[] = [];
        const lock = tolerant(() => make(memory));
        for (const each of lock === undefined ? [] : actions) {
          if (each.what === 'write') {
            words[each.write.place] = each.write.value;
          } else if (each.what === 'leave') {
            const [leave] = held.splice(each.which % Math.max(held.length, 1), 1);
            if (leave !== undefined) tolerant(leave);
          } else {
            const leave = tolerant(() => lock?.[each.what]());
            if (leave !== undefined) held.push(leave);
          }
        }
        while (held.length > 0) tolerant(held.pop() as Leave);
        // Nobody of this thread holds a part of it any more, whatever its words say.
        memory.unmap();
        const other = new Mutex(elsewhere, 64);
        other.lock().unlock();
        expect(other.tryLock()?.unlock()).toBeUndefined();
      }),
      { numRuns: 1500 },
    );
    before.unlock();
    expect(new Mutex(elsewhere, 0).tryLock()?.ownerDied).toBe(false);
  });
});
