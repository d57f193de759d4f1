// The set of ranges behind a trace against a set of bytes, and what it explains of the kernel's list.

import fc from 'fast-check';
import { RangeSet, unexplained } from '../lib/looking/replay';

const SIZE = 60;

it('adds, removes and measures as a set of bytes does', () => {
  const step = fc.tuple(fc.boolean(), fc.nat(SIZE), fc.nat(SIZE));
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.nat(SIZE),
      fc.nat(SIZE),
      (steps, from, to) => {
        const set = new RangeSet();
        const model = new Set<number>();
        for (const [adding, a, b] of steps) {
          if (adding) set.add(a, b);
          else set.remove(a, b);
          for (let byte = a; byte < b; byte++) {
            if (adding) model.add(byte);
            else model.delete(byte);
          }
        }
        expect(set.size).toBe(model.size);
        expect(set.within(from, to)).toBe(
          [...model].filter((byte) => byte >= from && byte < to).length,
        );
      },
    ),
    { numRuns: 500 },
  );
});

it('says how many regions, and how many of their bytes, nothing explains', () => {
  const set = new RangeSet();
  set.add(0x1000, 0x3000);
  set.add(0x5000, 0x6000);
  const regions = [
    { start: '0x1000', end: '0x2000' },
    { start: '0x2000', end: '0x5800' },
    { start: '0x9000', end: '0xa000' },
  ];
  expect(unexplained(set, regions)).toEqual({ regions: 2, bytes: 0x2000 + 0x1000 });
});
