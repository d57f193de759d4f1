import fc from 'fast-check';
import { foldedScale, linearScale, type Scale } from '../../page/scale';
import { PAGE, manyRegions, smallProcess } from '../helpers/address-spaces';

const TOP = 2 ** 47;
const rangesOf = (regions: { start: string; end: string }[]) =>
  regions.map(({ start, end }) => ({ start: Number(start), end: Number(end) }));
const fold = (regions: { start: string; end: string }[]): Scale =>
  foldedScale(rangesOf(regions), { pageSize: PAGE, top: TOP });

const scales: [string, Scale][] = [
  ['true', linearScale(TOP)],
  ['folded', fold(smallProcess())],
  ['folded over many regions', fold(manyRegions(5000))],
  ['folded over nothing', fold([])],
];

describe.each(scales)('the %s scale', (_, scale) => {
  const page = fc.integer({ min: 0, max: 2 ** 35 - 1 }).map((number) => number * PAGE);

  it('keeps the order of addresses', () => {
    fc.assert(
      fc.property(page, page, (a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        expect(scale.toUnit(low)).toBeLessThanOrEqual(scale.toUnit(high));
      }),
    );
  });

  it('finds the address again, to a thousandth of the distance', () => {
    fc.assert(
      fc.property(page, (address) => {
        const unit = scale.toUnit(address);
        expect(unit).toBeGreaterThanOrEqual(0);
        expect(unit).toBeLessThanOrEqual(1);
        const back = scale.toAddress(unit);
        expect(Math.abs(scale.toUnit(back) - unit)).toBeLessThan(1e-12);
      }),
    );
  });

  it('begins at the lowest address', () => {
    expect(scale.toUnit(0)).toBe(0);
    expect(scale.toAddress(0)).toBe(0);
  });
});

it('shows every region of a process, and gaps as little', () => {
  const scale = fold(smallProcess());
  const width = ({ start, end }: { start: number; end: number }) =>
    scale.toUnit(end) - scale.toUnit(start);
  const widths = rangesOf(smallProcess()).map(width);
  // On a screen of a thousand pixels each has at least one.
  expect(Math.min(...widths)).toBeGreaterThan(0.001);
  const regions = widths.reduce((sum, one) => sum + one, 0);
  expect(regions).toBeGreaterThan(0.6);
  // The largest hole has room for its name.
  expect(width({ start: 0x1234_567c_0000, end: 0x7f10_0000_0000 })).toBeGreaterThan(0.06);
});

it('gives larger regions more room, but not a thousand times as much', () => {
  const scale = foldedScale(
    [
      { start: PAGE, end: 2 * PAGE },
      { start: 2 ** 40, end: 2 ** 40 + 1000 * PAGE },
    ],
    { pageSize: PAGE, top: TOP },
  );
  const small = scale.toUnit(2 * PAGE) - scale.toUnit(PAGE);
  const large = scale.toUnit(2 ** 40 + 1000 * PAGE) - scale.toUnit(2 ** 40);
  expect(large / small).toBeGreaterThan(5);
  expect(large / small).toBeLessThan(20);
});
