import fc from 'fast-check';
import { Intervals, type Interval } from '../lib/intervals.js';

const of = (start: number, end: number): Interval => ({ start, end });

function filled(...items: Interval[]): Intervals<Interval> {
  const intervals = new Intervals<Interval>();
  for (const item of items) intervals.insert(item);
  return intervals;
}

it('is empty at first', () => {
  const none = filled();
  expect([none.size, none.at(0), none.overlapping(0, Infinity), [...none]]).toEqual([
    0,
    undefined,
    [],
    [],
  ]);
  expect(none.remove(of(0, 1))).toBe(false);
});

it('keeps its items in order of address', () => {
  const [a, b, c] = [of(0, 10), of(10, 20), of(30, 40)];
  expect([...filled(c, a, b)]).toEqual([a, b, c]);
});

it('finds an item by each of its points, and by no other', () => {
  const [a, b] = [of(10, 20), of(20, 30)];
  const intervals = filled(b, a);
  expect([9, 10, 19, 20, 29, 30].map((point) => intervals.at(point))).toEqual([
    undefined,
    a,
    a,
    b,
    b,
    undefined,
  ]);
});

it('overlapping is half-open at both ends', () => {
  const [a, b] = [of(10, 20), of(30, 40)];
  const intervals = filled(a, b);
  expect(intervals.overlapping(0, 10)).toEqual([]);
  expect(intervals.overlapping(20, 30)).toEqual([]);
  expect(intervals.overlapping(19, 31)).toEqual([a, b]);
  expect(intervals.overlapping(0, Infinity)).toEqual([a, b]);
});

it('removes this very item, not one that looks like it', () => {
  const item = of(10, 20);
  const intervals = filled(item);
  expect(intervals.remove(of(10, 20))).toBe(false);
  expect(intervals.remove(item)).toBe(true);
  expect(intervals.remove(item)).toBe(false);
  expect(intervals.size).toBe(0);
});

it('keeps order over thousands of insertions in any order', () => {
  const items = Array.from({ length: 5000 }, (_, i) => of(i * 10, i * 10 + 10));
  const shuffled = [...items].sort(
    (x, y) => ((x.start * 7919) % 50021) - ((y.start * 7919) % 50021),
  );
  const intervals = filled(...shuffled);
  expect([...intervals]).toEqual(items);
  for (const item of shuffled.filter((_, i) => i % 3 > 0)) {
    expect(intervals.remove(item)).toBe(true);
  }
  expect([...intervals]).toEqual([...intervals].sort((x, y) => x.start - y.start));
  expect(intervals.size).toBe(shuffled.filter((_, i) => i % 3 === 0).length);
});

// The same list kept the simplest way there is.
class Naive {
  items: Interval[] = [];
  touching(start: number, end: number): Interval[] {
    return this.items
      .filter((item) => item.start < end && item.end > start)
      .sort((a, b) => a.start - b.start);
  }
}

interface Step {
  kind: 'insert' | 'remove' | 'query';
  start: number;
  length: number;
}

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('insert', 'insert', 'remove', 'query'),
    start: fc.nat({ max: 3000 }),
    length: fc.integer({ min: 1, max: 12 }),
  }),
  { maxLength: 1500, size: 'max' },
);

it('agrees with a plain list after any sequence of steps', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const intervals = new Intervals<Interval>();
      const naive = new Naive();
      for (const { kind, start, length } of sequence) {
        const end = start + length;
        const touching = naive.touching(start, end);
        expect(intervals.overlapping(start, end)).toEqual(touching);
        expect(intervals.at(start)).toBe(touching.find((item) => item.start <= start));
        if (kind === 'insert' && touching.length === 0) {
          const item = of(start, end);
          intervals.insert(item);
          naive.items.push(item);
        } else if (kind === 'remove') {
          for (const item of touching) expect(intervals.remove(item)).toBe(true);
          naive.items = naive.items.filter((item) => !touching.includes(item));
        }
        expect(intervals.size).toBe(naive.items.length);
      }
      expect([...intervals]).toEqual(naive.touching(0, Infinity));
    }),
    { numRuns: 30 },
  );
});
