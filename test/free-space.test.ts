import fc from 'fast-check';
import { FreeSpace, type Lifetime, type Policy } from '../lib/reservation/free-space.js';

const PAGE = 0x1000;
const POLICIES: Policy[] = ['first-fit', 'best-fit', 'top-down', 'segregated'];

const partsOf = (space: FreeSpace): [number, number][] =>
  [...space].map(({ start, end }) => [start, end]);

/** The same, kept the simplest way there is: one boolean a page. */
class Naive {
  readonly #pages: boolean[];
  readonly start: number;
  readonly end: number;
  readonly policy: Policy;

  constructor(start: number, end: number, policy: Policy) {
    this.start = start;
    this.end = end;
    this.policy = policy;
    this.#pages = Array.from({ length: (end - start) / PAGE }, () => true);
  }

  parts(): [number, number][] {
    const found: [number, number][] = [];
    this.#pages.forEach((free, index) => {
      const start = this.start + index * PAGE;
      const last = found.at(-1);
      if (!free) return;
      if (last?.[1] === start) last[1] += PAGE;
      else found.push([start, start + PAGE]);
    });
    return found;
  }

  /** Every place where it fits, ascending, with the size of the part it is in. */
  #places(length: number, alignment: number): { start: number; size: number }[] {
    return this.parts().flatMap(([from, to]) => {
      const places = [];
      for (let start = from; start + length <= to; start += PAGE) {
        if (start % alignment === 0) places.push({ start, size: to - from });
      }
      return places;
    });
  }

  take(length: number, alignment: number, lifetime: Lifetime): number | undefined {
    const places = this.#places(length, alignment);
    const fromTop =
      this.policy === 'top-down' || (this.policy === 'segregated' && lifetime === 'short');
    if (this.policy === 'best-fit') places.sort((a, b) => a.size - b.size || a.start - b.start);
    const start = places.at(fromTop ? -1 : 0)?.start;
    if (start !== undefined) this.#set(start, start + length, false);
    return start;
  }

  isFree(start: number, end: number): boolean {
    return this.#slice(start, end).every((free) => free);
  }

  isTaken(start: number, end: number): boolean {
    return this.#slice(start, end).every((free) => !free);
  }

  claim(start: number, end: number): boolean {
    if (!this.isFree(start, end)) return false;
    this.#set(start, end, false);
    return true;
  }

  give(start: number, end: number): void {
    this.#set(start, end, true);
  }

  #slice(start: number, end: number): boolean[] {
    return this.#pages.slice((start - this.start) / PAGE, (end - this.start) / PAGE);
  }

  #set(start: number, end: number, free: boolean): void {
    this.#pages.fill(free, (start - this.start) / PAGE, (end - this.start) / PAGE);
  }
}

function expectSame(space: FreeSpace, naive: Naive): void {
  const parts = naive.parts();
  const sizes = parts.map(([start, end]) => end - start);
  expect({
    parts: partsOf(space),
    free: space.free,
    largest: space.largest,
    ranges: space.ranges,
  }).toEqual({
    parts,
    free: sizes.reduce((sum, size) => sum + size, 0),
    largest: Math.max(0, ...sizes),
    ranges: parts.length,
  });
}

interface Step {
  kind: 'take' | 'give' | 'claim';
  /** The page it is about, for give and claim. */
  page: number;
  pages: number;
  alignmentBits: number;
  lifetime: Lifetime;
}

const PAGES = 300;

const stepArbitrary = fc.record<Step>({
  kind: fc.constantFrom('take', 'take', 'give', 'give', 'claim'),
  page: fc.nat({ max: PAGES - 1 }),
  pages: fc.integer({ min: 1, max: 12 }),
  alignmentBits: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 60 })),
  lifetime: fc.constantFrom('long', 'short'),
});

function follow(space: FreeSpace, naive: Naive, step: Step): void {
  const { lifetime, pages, page } = step;
  const length = pages * PAGE;
  const start = naive.start + page * PAGE;
  const end = Math.min(naive.end, start + length);
  if (step.kind === 'take') {
    const alignment = 2 ** step.alignmentBits;
    expect(space.take(length, alignment, lifetime)).toBe(naive.take(length, alignment, lifetime));
  } else if (step.kind === 'claim') {
    expect(space.claim(start, end)).toBe(naive.claim(start, end));
  } else if (naive.isTaken(start, end)) {
    space.give(start, end);
    naive.give(start, end);
  } else {
    expect(() => {
      space.give(start, end);
    }).toThrow(RangeError);
  }
}

describe.each(POLICIES)('%s', (policy) => {
  it('agrees with a list of pages after any sequence of steps', () => {
    const sequences = fc.array(stepArbitrary, { maxLength: 400, size: 'max' });
    // The highest is where a page of 4 KiB is the last bit of a double and one more.
    const bases = fc.constantFrom(0, PAGE, 0x7f00_0012_3000, 2 ** 57 - PAGES * PAGE);
    fc.assert(
      fc.property(bases, sequences, (base, sequence) => {
        const space = new FreeSpace(base, base + PAGES * PAGE, policy);
        const naive = new Naive(base, base + PAGES * PAGE, policy);
        for (const step of sequence) {
          follow(space, naive, step);
          expectSame(space, naive);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('takes everything, page by page, and is one part again when all is given back', () => {
    const count = 10_000;
    const [base, end] = [0x7000_0000_0000, 0x7000_0000_0000 + count * PAGE];
    const space = new FreeSpace(base, end, policy);
    const taken = Array.from({ length: count }, () => space.take(PAGE, 1, 'long') as number);
    expect(new Set(taken).size).toBe(count);
    expect([space.free, space.largest, space.ranges, space.take(PAGE, 1, 'short')]).toEqual([
      0,
      0,
      0,
      undefined,
    ]);
    for (const start of taken.filter((_, i) => i % 2 === 0)) space.give(start, start + PAGE);
    expect([space.free, space.largest, space.ranges]).toEqual([
      (count / 2) * PAGE,
      PAGE,
      count / 2,
    ]);
    expect(space.take(2 * PAGE, 1, 'long')).toBeUndefined();
    for (const start of taken.filter((_, i) => i % 2 === 1)) space.give(start, start + PAGE);
    expect(partsOf(space)).toEqual([[base, end]]);
  });

  it('never gives two the same page in 100,000 steps among thousands of parts', () => {
    const [base, pages] = [2 ** 46, 200_000];
    const space = new FreeSpace(base, base + pages * PAGE, policy);
    const owner = new Int32Array(pages);
    const live: { start: number; length: number }[] = [];
    let seed = 12345;
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * limit);
    };
    let taken = 0;
    for (let step = 1; step <= 100_000; step++) {
      if (live.length < 20_000 && random(100) < 60) {
        const length = (1 + random(16)) * PAGE;
        const alignment = random(10) === 0 ? PAGE * 2 ** random(9) : PAGE;
        const start = space.take(length, alignment, random(2) === 0 ? 'long' : 'short');
        if (start === undefined) continue;
        const pagesTaken = owner.subarray((start - base) / PAGE, (start - base + length) / PAGE);
        if (start % alignment !== 0 || pagesTaken.some((by) => by !== 0)) {
          throw new Error(`step ${String(step)}: ${String(start)} is taken or not aligned`);
        }
        pagesTaken.fill(step);
        live.push({ start, length });
        taken += length;
      } else if (live.length > 0) {
        const index = random(live.length);
        const { start, length } = live[index] as (typeof live)[0];
        live[index] = live.at(-1) as (typeof live)[0];
        live.pop();
        owner.fill(0, (start - base) / PAGE, (start - base + length) / PAGE);
        space.give(start, start + length);
        taken -= length;
      }
    }
    const naive = new Naive(base, base + pages * PAGE, policy);
    for (const { start, length } of live) naive.claim(start, start + length);
    expect(space.ranges).toBeGreaterThan(1000);
    expect(space.free).toBe(pages * PAGE - taken);
    expectSame(space, naive);
  });
});

describe('what is chosen', () => {
  // Free: 3 pages at 0, 1 at 4, 2 at 6, 1 at 9, 4 at 11.
  const make = (policy: Policy): FreeSpace => {
    const space = new FreeSpace(0, 15 * PAGE, policy);
    for (const page of [3, 5, 8, 10]) space.claim(page * PAGE, (page + 1) * PAGE);
    return space;
  };
  const pageOf = (policy: Policy, pages: number, lifetime: Lifetime): number =>
    (make(policy).take(pages * PAGE, PAGE, lifetime) ?? NaN) / PAGE;

  it.each<[Policy, Lifetime, number[]]>([
    ['first-fit', 'short', [0, 0, 0, 11]],
    ['best-fit', 'short', [4, 6, 0, 11]],
    ['top-down', 'long', [14, 13, 12, 11]],
    ['segregated', 'long', [0, 0, 0, 11]],
    ['segregated', 'short', [14, 13, 12, 11]],
  ])('%s, %s', (policy, lifetime, expected) => {
    expect([1, 2, 3, 4].map((pages) => pageOf(policy, pages, lifetime))).toEqual(expected);
    expect(pageOf(policy, 5, lifetime)).toBeNaN();
  });

  it('an aligned place may lie inside a part, and leaves both of its ends free', () => {
    for (const policy of POLICIES) {
      const space = new FreeSpace(PAGE, 16 * PAGE, policy);
      expect(space.take(PAGE, 8 * PAGE, 'long')).toBe(8 * PAGE);
      expect(partsOf(space)).toEqual([
        [PAGE, 8 * PAGE],
        [9 * PAGE, 16 * PAGE],
      ]);
      expect(space.take(PAGE, 8 * PAGE, 'long')).toBeUndefined();
      expect(space.take(PAGE, 2 ** 60, 'long')).toBeUndefined();
    }
  });
});

describe('what is refused', () => {
  const space = (): FreeSpace => {
    const made = new FreeSpace(PAGE, 8 * PAGE, 'best-fit');
    made.claim(2 * PAGE, 5 * PAGE);
    return made;
  };

  it.each([
    ['what is free', 5, 6],
    ['what is free at its start', 1, 3],
    ['what is free at its end', 4, 6],
    ['more than the space', 0, 3],
    ['beyond the space', 4, 9],
    ['nothing', 3, 3],
    ['less than nothing', 4, 3],
    ['what is no number', NaN, NaN],
  ])('giving back %s', (_, start, end) => {
    const made = space();
    const before = partsOf(made);
    expect(() => {
      made.give(start * PAGE, end * PAGE);
    }).toThrow(RangeError);
    expect([partsOf(made), made.free, made.largest]).toEqual([before, 4 * PAGE, 3 * PAGE]);
  });

  it.each([
    ['what is taken', 2, 3],
    ['what is taken in part', 1, 3],
    ['across what is taken', 1, 6],
    ['below the space', 0, 1],
    ['beyond the space', 7, 9],
    ['nothing', 6, 6],
    ['what is no number', NaN, NaN],
  ])('claiming %s', (_, start, end) => {
    const made = space();
    const before = partsOf(made);
    expect(made.claim(start * PAGE, end * PAGE)).toBe(false);
    expect(partsOf(made)).toEqual(before);
  });

  it.each([0, -PAGE, NaN])('taking %d bytes', (length) => {
    const made = space();
    expect(() => made.take(length, PAGE, 'long')).toThrow(RangeError);
    expect(made.free).toBe(4 * PAGE);
  });

  it('a space of no bytes has no parts', () => {
    const none = new FreeSpace(PAGE, PAGE, 'best-fit');
    expect([none.free, none.largest, none.ranges, none.take(PAGE, 1, 'long')]).toEqual([
      0,
      0,
      0,
      undefined,
    ]);
  });
});
