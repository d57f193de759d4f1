// The whole of what writers and readers of a Latest agree upon, in every order of their steps, with deaths between any two.
import { ReaderCore, WriterCore } from '../../lib/shared/latest-core.js';
import {
  type LatestShape,
  NOTHING,
  SEQUENCE_AT,
  STEP,
  shapeOf,
} from '../../lib/shared/latest-shape.js';
import {
  type Mutation,
  type Plan,
  type Thread,
  everyOrder,
  someOrders,
} from '../helpers/interleave.js';

/** After the words of the Latest: the last version whose write had returned, then two words of payload for each buffer. */
class Table {
  readonly shape: LatestShape;
  readonly words: number;
  readonly #returned: number;

  constructor(readers: number) {
    this.shape = shapeOf({ size: 8, readers });
    this.#returned = this.shape.control / 4;
    this.words = this.#returned + 1 + 2 * (this.shape.buffers + 1);
  }

  #payload(number: number): number {
    return this.#returned + 1 + 2 * number;
  }

  /** The high halves of the versions, which are always 0 here. */
  get #quiet(): number[] {
    const { buffers, valuesAt } = this.shape;
    return Array.from({ length: buffers }, (_, n) => valuesAt + n * STEP + 2);
  }

  /** Writes so many values, each of two equal words that no other writer writes. */
  writer = (
    values: number,
    options: Partial<Thread> & { Core?: typeof WriterCore } = {},
  ): Thread => {
    const { Core = WriterCore, ...rest } = options;
    const name = 1000 * (2 + (rest.after ?? -1));
    const body: Thread['body'] = (words, mark) => {
      const core = new Core(words, this.shape);
      for (let value = 1; value <= values; value++) {
        mark(value, core.current, core.version);
        const number = core.pick();
        const payload = name + core.version + 1;
        words[this.#payload(number)] = payload;
        words[this.#payload(number) + 1] = payload;
        core.publish(number, 8);
        Atomics.store(words, this.#returned, core.version);
      }
    };
    return { body, ...rest };
  };

  /** Reads so many values, and each twice: while it is held nobody changes it. */
  reader = (reader: number, values: number, options: Partial<Thread> = {}): Thread => {
    const body: Thread['body'] = (words, mark) => {
      const core = new ReaderCore(words, this.shape, reader);
      let last = 0;
      for (let value = 0; value < values; value++) {
        mark(value, core.held, last);
        const returned = Atomics.load(words, this.#returned);
        const number = core.enter();
        if (number === NOTHING) {
          if (returned > 0) throw new Error(`read nothing after ${String(returned)} was written`);
          continue;
        }
        if (core.length !== 8) throw new Error(`a value of ${String(core.length)} bytes`);
        const at = this.#payload(number);
        const seen = [
          Atomics.load(words, at),
          Atomics.load(words, at + 1),
          Atomics.load(words, at),
        ];
        const [first = 0] = seen;
        if (seen.some((each) => each !== first)) throw new Error(`torn: ${String(seen)}`);
        const version = first % 1000;
        if (version < returned) {
          throw new Error(`read value ${String(version)} after ${String(returned)} was written`);
        }
        if (version < last) throw new Error(`value ${String(version)} after ${String(last)}`);
        last = version;
      }
    };
    return { body, ...options };
  };

  plan = (threads: readonly Thread[], mutation: Mutation = {}): Plan => ({
    words: this.words,
    threads,
    quiet: [SEQUENCE_AT, ...this.#quiet],
    mutation,
  });
}

const one = new Table(1);
const two = new Table(2);

describe('in every order', () => {
  it('a reader gets whole values, and none older than what was written before it looked', () => {
    expect(everyOrder(one.plan([one.writer(4), one.reader(0, 3)]))).toBeGreaterThan(1000);
  });

  it('two readers do', () => {
    const plan = two.plan([two.writer(2), two.reader(0, 2), two.reader(1, 1)]);
    expect(everyOrder(plan)).toBeGreaterThan(5000);
  });

  it('the writer dies before any of its steps, and the next one goes on', () => {
    const threads = [
      one.writer(2, { mortal: true }),
      one.reader(0, 2),
      one.writer(2, { after: 0 }),
    ];
    expect(everyOrder(one.plan(threads))).toBeGreaterThan(5000);
  });

  it('the next writer dies too, wherever', () => {
    const threads = [
      one.writer(2, { mortal: true }),
      one.reader(0, 1),
      one.writer(1, { after: 0, mortal: true }),
      one.writer(2, { after: 2 }),
    ];
    expect(everyOrder(one.plan(threads))).toBeGreaterThan(5000);
  });

  it('a reader dies before any of its steps, and the next one has its place', () => {
    const threads = [
      one.writer(3),
      one.reader(0, 2, { mortal: true }),
      one.reader(0, 2, { after: 1 }),
    ];
    expect(everyOrder(one.plan(threads))).toBeGreaterThan(5000);
  });
});

describe('in many orders, with everybody dying', () => {
  const cast = (table: Table, [first, second]: [number, number]): Thread[] => [
    table.writer(6, { mortal: true }),
    table.writer(6, { mortal: true, after: 0 }),
    table.writer(6, { mortal: true, after: 1 }),
    table.writer(6, { after: 2 }),
    table.reader(first, 6, { mortal: true }),
    table.reader(second, 12),
    table.reader(first, 6, { after: 4 }),
  ];

  it('of one lane', () => {
    someOrders(two.plan(cast(two, [0, 1])), { orders: 400, seed: 1 });
  });

  it('of two lanes', () => {
    const table = new Table(26);
    someOrders(table.plan(cast(table, [1, 25])), { orders: 200, seed: 2 });
  });
});

describe('is seen broken', () => {
  class Careless extends WriterCore {
    override pick(): number {
      return this.current === 1 ? 2 : 1;
    }
  }

  it('when a writer does not look who holds a buffer', () => {
    const plan = one.plan([one.writer(3, { Core: Careless }), one.reader(0, 1)]);
    expect(() => everyOrder(plan)).toThrow(/torn/);
  });

  it('when readers do not say that they are there', () => {
    const plan = one.plan([one.writer(4), one.reader(0, 1)], { silent: true });
    expect(() => everyOrder(plan)).toThrow(/torn/);
  });

  it('when the writer does not write down whom it takes out', () => {
    const threads = [
      one.writer(2, { mortal: true }),
      one.reader(0, 1),
      one.writer(3, { after: 0 }),
    ];
    const plan = one.plan(threads, { lost: one.shape.lanesAt + 1 });
    expect(() => everyOrder(plan)).toThrow(/torn/);
  });

  it('when it does not keep who holds what', () => {
    const threads = [
      one.writer(3, { mortal: true }),
      one.reader(0, 1),
      one.writer(3, { after: 0 }),
    ];
    const plan = one.plan(threads, { lost: one.shape.holdsAt });
    expect(() => everyOrder(plan)).toThrow(/torn/);
  });
});
