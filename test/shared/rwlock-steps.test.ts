// The real RwLock in every order of its steps, with writers and readers dying between any two. Only what is under it is not real: the cells
// are words, and whoever dies leaves them as the kernel does.
import type { Mapping } from '../../lib/index.js';
import { RwLock } from '../../lib/shared/rwlock.js';
import { type Plan, type Thread, everyOrder } from '../helpers/interleave.js';

const HOLDER = 0x3fffffff;
const DIED = 0x40000000;

/** The memory, and who runs. */
interface Stage {
  words: Int32Array;
  me: number;
}
const mockStage: Stage = { words: new Int32Array(0), me: 0 };

jest.mock('../../lib/shared/cell.js', () => ({
  CELL_SIZE: 64,
  Cell: class {
    heldHere = false;
    readonly #at: number;

    constructor(_: unknown, offset: number) {
      this.#at = offset / 4;
    }

    attempt(): string {
      const { words, me } = mockStage;
      const old = Atomics.load(words, this.#at);
      if ((old & 0x3fffffff) !== 0) return old === me ? 'own' : 'held';
      if (Atomics.compareExchange(words, this.#at, old, me) !== old) return 'held';
      this.heldHere = true;
      return old === 0 ? 'taken' : 'inherited';
    }

    take(): string {
      const attempt = this.attempt();
      return attempt === 'own' ? 'held' : attempt;
    }

    leave(): void {
      this.heldHere = false;
      Atomics.store(mockStage.words, this.#at, 0);
    }

    giveUp(): void {
      // Nobody sleeps here.
    }
  },
}));
jest.mock('../../lib/shared/futex.js', () => ({ wordsOf: () => mockStage.words }));
jest.mock('../../lib/shared/waits.js', () => ({
  ...jest.requireActual<object>('../../lib/shared/waits.js'),
  recordOf: () => ({}),
  inWhole: (_: unknown, call: () => unknown) => call(),
}));

const READERS = 2;
const BYTES = 128 + READERS * 64;
const DIRTY = (64 + 44) / 4;
/** After the lock: two numbers that are equal while nobody writes. */
const A = BYTES / 4;
const B = A + 1;
const WORDS = B + 1;

const lockOf = (words: Int32Array, me: number): RwLock => {
  Object.assign(mockStage, { words, me });
  return new RwLock({ length: BYTES } as unknown as Mapping, { readers: READERS });
};

function writer(me: number, times: number, options: Partial<Thread> = {}): Thread {
  const body = (words: Int32Array, mark: (...known: number[]) => void): void => {
    const lock = lockOf(words, me);
    for (let time = 0; time < times; time++) {
      mark(time);
      const guard = lock.tryWriteLock();
      if (guard === undefined) continue;
      const a = Atomics.load(words, A);
      const b = Atomics.load(words, B);
      if (a !== b && !guard.ownerDied) throw new Error(`a writer found ${String([a, b])}`);
      Atomics.store(words, A, a + 1);
      if (Atomics.load(words, B) !== b) throw new Error('two write');
      Atomics.store(words, B, a + 1);
      guard.markConsistent();
      guard.unlock();
    }
  };
  return { body, ...options };
}

function reader(me: number, times: number, options: Partial<Thread> = {}): Thread {
  // It remembers its last place, so that what came before matters.
  const body = (words: Int32Array): void => {
    const lock = lockOf(words, me);
    for (let time = 0; time < times; time++) {
      const guard = lock.tryReadLock();
      if (guard === undefined) continue;
      const a = Atomics.load(words, A);
      const b = Atomics.load(words, B);
      if (a !== b && !guard.ownerDied) throw new Error(`a reader found ${String([a, b])}`);
      if (Atomics.load(words, A) !== a) throw new Error('written while it was read');
      guard.unlock();
    }
  };
  return { body, ...options };
}

const plan = (threads: readonly Thread[], lost = -1): Plan => ({
  words: WORDS,
  threads,
  // The lock is made already: these two do not change.
  initial: { 0: 0x52776c01, 1: READERS },
  quiet: [0, 1],
  mutation: { lost },
  bury: (memory, thread) => {
    for (let at = 16; at < A; at += 16) {
      if (((memory[at] ?? 0) & HOLDER) === thread + 1) memory[at] = DIED;
    }
  },
});

const mortal = true;

it('readers and writers keep apart, in every order', () => {
  expect(everyOrder(plan([writer(1, 2), reader(2, 1), reader(3, 1)]))).toBeGreaterThan(1000);
  expect(everyOrder(plan([writer(1, 2), writer(2, 2), reader(3, 1)]))).toBeGreaterThan(1000);
});

it('a writer dies before any of its steps: whoever finds its work half done is told', () => {
  const threads = [writer(1, 2, { mortal }), writer(2, 1), reader(3, 2)];
  expect(everyOrder(plan(threads))).toBeGreaterThan(1000);
});

it('readers die before any of their steps: writers go on', () => {
  const threads = [reader(1, 1, { mortal }), writer(2, 2), reader(3, 1, { mortal })];
  expect(everyOrder(plan(threads))).toBeGreaterThan(1000);
  const last: Thread = {
    body: (words) => {
      const guard = lockOf(words, 2).tryWriteLock();
      if (guard === undefined) throw new Error('the lock of a dead reader is lost');
      guard.unlock();
    },
    after: 0,
  };
  expect(everyOrder(plan([reader(1, 1, { mortal }), last]))).toBeGreaterThan(10);
});

describe('is seen broken', () => {
  it('when a writer does not say that it writes', () => {
    const threads = [writer(1, 1, { mortal }), reader(2, 1)];
    expect(() => everyOrder(plan(threads, DIRTY))).toThrow(/a reader found/);
  });

  it('when a reader does not take its place', () => {
    expect(() => everyOrder(plan([writer(1, 1), reader(2, 1)], 128 / 4))).toThrow(
      /a reader found|written while it was read/,
    );
  });

  it('when a writer does not take the lock', () => {
    expect(() => everyOrder(plan([writer(1, 1), writer(2, 1)], 64 / 4))).toThrow(
      /two write|a writer found/,
    );
  });
});
