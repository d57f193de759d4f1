import { inspect } from 'node:util';
import { type Region, addressSpace, mapAnonymous, mapFileSync, pageSize } from '../lib/index.js';
import { Scratch } from './helpers/files.js';
import { refused } from './helpers/refusals.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const hex = (address: bigint): string => `0x${address.toString(16)}`;

describe('a region', () => {
  const path = scratch.file(Buffer.alloc(3 * pageSize, 'a'));
  const mapping = mapFileSync(path, { offset: pageSize, access: 'copy-on-write', populate: true });
  const region = addressSpace.query(mapping.address) as Region;
  const name = path.slice(path.lastIndexOf('/') + 1);

  it('is read as bigints, bytes and words', () => {
    const { start, end, length, protection, shared, offset } = region;
    expect({ start, end, length, protection, shared, offset }).toEqual({
      start: mapping.address,
      end: mapping.address + BigInt(2 * pageSize),
      length: 2 * pageSize,
      protection: 'read-write',
      shared: false,
      offset: pageSize,
    });
    expect(region.path).toBe(path);
    expect(region.device).toMatch(/^\d+:\d+$/);
    expect(region.inode).toBeGreaterThan(0);
  });

  it('knows its owner, and the same object each time', () => {
    const { owner } = region;
    expect([owner.kind, owner.label, owner.certain]).toEqual(['mapping', name, true]);
    expect(owner.mapping).toBe(mapping);
    expect(region.owner).toBe(owner);
    const library = addressSpace.regions().find(({ owner: each }) => each.kind === 'library');
    expect(library?.owner).toBe(library?.owner);
    expect(library?.owner.mapping).toBeUndefined();
  });

  it('is data for JSON', () => {
    const resident = 2 * pageSize;
    expect(JSON.parse(JSON.stringify(region))).toEqual({
      start: hex(mapping.address),
      end: hex(mapping.address + BigInt(2 * pageSize)),
      length: 2 * pageSize,
      protection: 'rw-',
      shared: false,
      path,
      offset: pageSize,
      inode: region.inode,
      device: region.device,
      owner: { kind: 'mapping', label: name, certain: true },
      resident,
      dirty: resident,
      swapped: 0,
      hugePages: 0,
    });
    const anonymous = mapAnonymous(pageSize, { shared: true });
    const plain = addressSpace.regions().find(({ owner }) => owner.kind === 'anonymous');
    expect('path' in (plain as Region).toJSON()).toBe(false);
    anonymous.unmap();
  });

  it('is shown in one line', () => {
    const shown = `Region ${hex(region.start)}-${hex(region.end)} read-write, mapping '${name}'`;
    expect(inspect(region)).toBe(shown);
    const guess = addressSpace.regions().find(({ owner }) => !owner.certain);
    expect(inspect(guess)).toContain(`${(guess as Region).owner.kind}? '`);
    expect(inspect(Object.create(region.constructor.prototype as object))).toBe('Region {}');
  });

  it('is made by nobody else', () => {
    const Class = region.constructor as new (...given: unknown[]) => unknown;
    expect(refused(() => new Class())).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT' });
    expect(refused(() => new Class(Symbol('memmap'), {}, 0))).toMatchObject({
      code: 'ERR_MEMMAP_ARGUMENT',
    });
  });
});

it('regions are listed by address, and none lies in another', () => {
  const regions = addressSpace.regions();
  expect(regions.length).toBeGreaterThan(50);
  for (const [at, region] of regions.entries()) {
    expect(region.end - region.start).toBe(BigInt(region.length));
    expect(region.length % pageSize).toBe(0);
    const next = regions[at + 1];
    if (next !== undefined) expect(next.start >= region.end).toBe(true);
  }
});

it('a listing says of each of its regions who it belongs to', () => {
  const kinds = new Set(addressSpace.regions().map(({ owner }) => owner.kind));
  for (const kind of [
    'executable',
    'library',
    'stack',
    'thread-stack',
    'kernel',
    'v8-heap',
  ] as const) {
    expect(kinds.has(kind)).toBe(true);
  }
});
