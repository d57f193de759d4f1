import fc from 'fast-check';
import { inward, outward, roundDown, roundUp } from '../lib/page.js';

const page = 4096 * 4;

describe('rounding', () => {
  it('keeps what is aligned', () => {
    expect([roundDown(0, page), roundUp(0, page)]).toEqual([0, 0]);
    expect([roundDown(page, page), roundUp(page, page)]).toEqual([page, page]);
  });

  it('goes down and up to the next page', () => {
    expect([roundDown(page - 1, page), roundDown(page + 1, page)]).toEqual([0, page]);
    expect([roundUp(1, page), roundUp(page + 1, page)]).toEqual([page, 2 * page]);
  });

  it('is exact beyond 2^32, and up to 2^53', () => {
    expect(roundDown(2 ** 47 + 5, page)).toBe(2 ** 47);
    expect(roundUp(2 ** 52 + 1, page)).toBe(2 ** 52 + page);
  });
});

const addresses = fc.tuple(fc.maxSafeNat(), fc.nat({ max: 2 ** 30 })).map(([start, length]) => {
  const begin = Math.min(start, 2 ** 50);
  return { begin, end: begin + length };
});

it('outward is the smallest span of pages that holds every byte', () => {
  fc.assert(
    fc.property(addresses, ({ begin, end }) => {
      const span = outward(begin, end, page);
      expect([span.start % page, span.end % page]).toEqual([0, 0]);
      expect(span.start <= begin && begin - span.start < page).toBe(true);
      expect(span.end >= end && span.end - end < page).toBe(true);
    }),
  );
});

it('inward is the largest span of pages that holds no byte outside, and never ends before it starts', () => {
  fc.assert(
    fc.property(addresses, ({ begin, end }) => {
      const span = inward(begin, end, page);
      expect(span.start % page).toBe(0);
      expect(span.start >= begin && span.start - begin < page).toBe(true);
      if (span.start === span.end) expect(end - begin).toBeLessThan(2 * page);
      else expect(span.end <= end && end - span.end < page).toBe(true);
    }),
  );
});
