import { addressSpace, mapAnonymous, pageSize } from '../lib/index.js';
import { fragmentationOf } from '../lib/looking/fragmentation.js';
import { surveyOf } from './helpers/surveys.js';
import { kernelRegions } from './helpers/kernel.js';
import { memmapSays, refused } from './helpers/refusals.js';

const bounds = { lowest: 0x10000, limit: 65530, margin: 0x1000 };

describe('of rows', () => {
  it('counts holes between the first address and the end of user space', () => {
    const survey = surveyOf([
      { start: 0x20000, end: 0x30000, mode: 'r-x' },
      { start: 0x30000, end: 0x50000, mode: '---' },
      { start: 0x60000, end: 0x7ff0_0000_0000, mode: 'rw-' },
    ]);
    const end = 2 ** 47 - 0x1000;
    expect(fragmentationOf(survey, bounds)).toEqual({
      holes: 3,
      free: 0x10000 + 0x10000 + (end - 0x7ff0_0000_0000),
      largestFree: { address: 0x7ff0_0000_0000n, length: end - 0x7ff0_0000_0000 },
      fragmentation: 1 - (end - 0x7ff0_0000_0000) / (0x20000 + end - 0x7ff0_0000_0000),
      regions: 3,
      limit: 65530,
      reserved: 0x20000,
      mapped: 0x10000 + (0x7ff0_0000_0000 - 0x60000),
      addressSpaceBits: 47,
      start: 0x10000n,
      end: BigInt(end),
    });
  });

  it('is 0 where all that is free is one piece, and near 1 where it is crumbs', () => {
    const whole = surveyOf([{ start: 0x20000, end: 2 ** 47, mode: 'rw-' }]);
    expect(fragmentationOf(whole, { ...bounds, margin: 0 })).toMatchObject({
      holes: 1,
      fragmentation: 0,
      largestFree: { address: 0x10000n, length: 0x10000 },
    });
    const crumbs = surveyOf(
      Array.from({ length: 1000 }, (_, at) => ({
        start: 0x10000 + at * 0x2000,
        end: at === 999 ? 2 ** 39 : 0x11000 + at * 0x2000,
        mode: 'rw-',
      })),
    );
    const found = fragmentationOf(crumbs, { ...bounds, margin: 0 });
    expect(found).toMatchObject({ holes: 999, free: 999 * 0x1000, addressSpaceBits: 39 });
    expect(found.fragmentation).toBeCloseTo(1 - 1 / 999, 10);
  });

  it('has nothing free where everything is taken, and leaves the half of the kernel out', () => {
    const full = surveyOf([
      { start: 0x10000, end: 2 ** 47, mode: 'rw-' },
      { start: 2 ** 64 - 0xa00000, end: 2 ** 64 - 0x9ff000, mode: '--x' },
    ]);
    expect(fragmentationOf(full, bounds)).toMatchObject({
      holes: 0,
      free: 0,
      fragmentation: 0,
      largestFree: { address: 0x10000n, length: 0 },
      regions: 1,
      addressSpaceBits: 47,
    });
    expect(fragmentationOf(surveyOf([]), { ...bounds, limit: 0 })).toMatchObject({
      regions: 0,
      free: 0,
      addressSpaceBits: 0,
      limit: undefined,
    });
  });

  it('is not confused by what lies below the first address', () => {
    const survey = surveyOf([{ start: 0, end: 0x20000, mode: 'rw-' }]);
    expect(fragmentationOf(survey, { ...bounds, margin: 0 })).toMatchObject({ holes: 0, free: 0 });
  });
});

describe('of this process', () => {
  it('adds up to the whole of the address space', () => {
    const { free, reserved, mapped, start, end } = addressSpace.fragmentation();
    expect(free + reserved + mapped).toBe(Number(end - start));
  });

  it('has its largest free block where the kernel lists nothing', () => {
    const { largestFree } = addressSpace.fragmentation();
    const last = largestFree.address + BigInt(largestFree.length);
    const inside = kernelRegions('maps').filter(
      ({ start, end }) => start < last && end > largestFree.address,
    );
    expect(inside).toEqual([]);
    expect(largestFree.length).toBeGreaterThan(2 ** 32);
  });

  it('counts what is made and what is closed', () => {
    const before = addressSpace.fragmentation();
    const mappings = Array.from({ length: 50 }, () => mapAnonymous(3 * pageSize, { shared: true }));
    mappings[7]!.protect('none');
    const after = addressSpace.fragmentation();
    // The runtime itself may map something meanwhile, but nothing this small is of its own.
    expect(after.regions - before.regions).toBeGreaterThanOrEqual(50);
    expect(after.reserved - before.reserved).toBeGreaterThanOrEqual(3 * pageSize);
    for (const mapping of mappings) mapping.unmap();
  });

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 31, -(2 ** 31)])('pid %p is out of range', (pid) => {
    expect(refused(() => addressSpace.fragmentation({ pid }))).toMatchObject(memmapSays('RANGE'));
    expect(refused(() => addressSpace.regions({ pid }))).toMatchObject({
      ...memmapSays('RANGE'),
      name: 'RangeError',
      argument: 'options.pid',
    });
  });

  it.each(['1', null, 1n, {}, [], true])('pid %p is no number', (pid) => {
    const given = { pid } as unknown as { pid: number };
    expect(refused(() => addressSpace.fragmentation(given))).toMatchObject(memmapSays('ARGUMENT'));
    expect(refused(() => addressSpace.regions(given))).toMatchObject({
      ...memmapSays('ARGUMENT'),
      name: 'TypeError',
    });
  });

  it.each([null, 7, 'x', { process: 1 }])('options %p are none', (options) => {
    const given = options as unknown as { pid: number };
    expect(refused(() => addressSpace.regions(given))).toMatchObject(memmapSays('ARGUMENT'));
  });

  it.each([-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n])('%p is no address', (address) => {
    expect(refused(() => addressSpace.query(address))).toMatchObject(memmapSays('RANGE'));
  });

  it.each(['0x1000', null, undefined, {}])('%p is no address at all', (address) => {
    const given = address as number;
    expect(refused(() => addressSpace.query(given))).toMatchObject(memmapSays('ARGUMENT'));
  });
});
