import { pack, unpack, type PackedData } from '../../lib/cli/pack';
import {
  madeUpTrace,
  manyRegions,
  pageData,
  region,
  smallProcess,
} from '../helpers/address-spaces';

const carried = (data: Parameters<typeof pack>[0]) =>
  unpack(JSON.parse(JSON.stringify(pack(data))) as PackedData);

it('gives back what it was given, what was left out as well', () => {
  const trace = madeUpTrace({ calls: 300 });
  const cases = [
    pageData([]),
    pageData(smallProcess()),
    pageData([region(2 ** 40, 4096, { path: '', label: '', resident: 0, certain: false })]),
    pageData(manyRegions(500), { trace }),
    pageData([], { trace: { ...trace, events: [], snapshots: [] } }),
  ];
  for (const data of cases) {
    expect(carried(data)).toStrictEqual(data);
    expect(JSON.stringify(carried(data).regions[0]?.resident)).toBe(
      JSON.stringify(data.regions[0]?.resident),
    );
  }
});

it('writes a region once that is in many snapshots, and makes one object of it', () => {
  const regions = manyRegions(1000);
  const snapshots = Array.from({ length: 50 }, (_, time) => ({ time, regions }));
  const data = pageData(regions, { trace: { ...madeUpTrace(), snapshots } });
  expect(pack(data).table.count).toBe(1000);
  const packed = JSON.stringify(pack(data)).length;
  expect(packed).toBeLessThan(JSON.stringify(data).length / 20);
  const back = carried(data);
  expect(back.trace?.snapshots[49]?.regions[7]).toBe(back.regions[7]);
});

it('makes calls a third as long', () => {
  const trace = madeUpTrace({ calls: 20_000 });
  const data = pageData([], { trace });
  expect(JSON.stringify(pack(data)).length).toBeLessThan(JSON.stringify(data).length / 2.5);
});
