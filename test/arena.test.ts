import {
  Arena,
  type ArenaOptions,
  addressSpace,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  registry,
} from '../lib/index.js';
import { Scratch, patterned } from './helpers/files.js';
import { modesOf, regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused, refusedLater } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(2 * pageSize);
const held: Arena[] = [];

function arena(pages: number, options: Omit<ArenaOptions, 'size'> = {}): Arena {
  const made = addressSpace.arena({ size: pages * pageSize, ...options });
  held.push(made);
  return made;
}

afterAll(() => {
  scratch.remove();
});
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const each of held.splice(0)) each.release();
  expect(registry.mappings()).toEqual([]);
});

/** In which page of its arena a mapping begins. */
const pageOf = (inside: Arena, m: { address: bigint }): number =>
  Number(m.address - inside.address) / pageSize;

it('places files and memory, by path and later, side by side', async () => {
  const a = arena(16);
  const path = scratch.file(bytes);
  const memory = mapAnonymous(10, { arena: a });
  const file = mapFileSync(path, { arena: a, offset: 5, access: 'read-write' });
  const later = await mapFile(path, { arena: a });
  const copy = mapFileSync(path, { arena: a, access: 'snapshot' });
  expect([memory, file, later, copy].map((m) => pageOf(a, m))).toEqual([0, 1 + 5 / pageSize, 3, 5]);
  expect(file.buffer.equals(bytes.subarray(5))).toBe(true);
  expect(copy.buffer.equals(bytes)).toBe(true);
  expect(modesOf(a.address, 8, pageSize)).toEqual([
    ...['rw-p', 'rw-s', 'rw-s', 'r--s', 'r--s', 'rw-p', 'rw-p', '---p'],
  ]);
  expect(a.stats()).toEqual({
    size: 16 * pageSize,
    used: 7 * pageSize,
    free: 9 * pageSize,
    cooling: 0,
    largestFree: 9 * pageSize,
    fragmentation: 0,
    mappings: 4,
    freeRanges: 1,
  });
  expect(registry.at(a.address + BigInt(12 * pageSize))).toBe(a);
});

it.each<[NonNullable<ArenaOptions['policy']>, number[]]>([
  ['first-fit', [0, 8]],
  ['best-fit', [4, 8]],
  ['top-down', [6, 14]],
  ['segregated', [0, 14]],
])('places by %s', (policy, expected) => {
  const a = arena(16, { policy });
  const filler = Array.from({ length: 16 }, () => mapAnonymous(pageSize, { arena: a }));
  const inOrder = filler.sort((x, y) => Number(x.address - y.address));
  // Free: [0, 3), [4, 5), [6, 7) and [8, 16), or from the top as wide.
  inOrder.forEach((m, page) => {
    if (page < 3 || page === 4 || page === 6 || page >= 8) m.unmap();
  });
  const one = mapAnonymous(pageSize, { arena: a });
  if (policy === 'top-down') {
    expect(pageOf(a, one)).toBe(15);
    return;
  }
  expect(pageOf(a, one)).toBe(expected[0]);
  const short = mapAnonymous(2 * pageSize, { arena: a, lifetime: 'short' });
  expect(pageOf(a, short)).toBe(policy === 'segregated' ? 14 : policy === 'best-fit' ? 0 : 1);
});

it('never gives a freed range to anybody else', () => {
  const a = arena(8);
  const maps = Array.from({ length: 8 }, () => mapAnonymous(pageSize, { arena: a }));
  for (const m of maps.filter((_, i) => i % 2 === 0)) m.unmap();
  // The kernel would put these into the lowest hole that fits.
  const others = Array.from({ length: 50 }, () => mapAnonymous(pageSize));
  const inside = others.filter(
    ({ address }) =>
      registry.at(address) !== undefined &&
      address >= a.address &&
      address < a.address + BigInt(a.size),
  );
  expect(inside).toEqual([]);
  expect(modesOf(a.address, 4, pageSize)).toEqual(['---p', 'rw-p', '---p', 'rw-p']);
  expect(a.stats()).toMatchObject({ freeRanges: 4, mappings: 4, fragmentation: 0.75 });
  for (const m of others) m.unmap();
});

it('aligns what it places', () => {
  const alignment = 2 ** 21;
  const a = addressSpace.arena({ size: 2 ** 24, alignment });
  held.push(a);
  const maps = [1, 2, 3].map(() => mapAnonymous(1, { arena: a }));
  expect(maps.map(({ address }) => address % BigInt(alignment))).toEqual([0n, 0n, 0n]);
  expect(maps.map((m) => Number(m.address - a.address) / alignment)).toEqual([0, 1, 2]);
});

it('is full at some time, and says what the longest free range is', () => {
  const a = arena(8);
  const m = mapAnonymous(3 * pageSize, { arena: a });
  const rest = mapAnonymous(2 * pageSize, { arena: a });
  m.unmap();
  const error = refused(() => mapAnonymous(4 * pageSize, { arena: a }));
  expect(error).toMatchObject({
    ...memmapSays('NO_ROOM'),
    largestFree: 3 * pageSize,
    length: 4 * pageSize,
  });
  expect([error instanceof RangeError, rest.state]).toEqual([true, 'mapped']);
  expect(mapAnonymous(3 * pageSize, { arena: a }).address).toBe(a.address);
});

it('collects what nobody can reach before it says that it is full', () => {
  const a = arena(16);
  for (let i = 0; i < 2000; i++) mapAnonymous(pageSize, { arena: a });
  expect(a.stats().mappings).toBeLessThanOrEqual(16);
});

it('waits with pages that native code may still be reading', () => {
  const a = arena(4);
  const m = mapAnonymous(pageSize, { arena: a });
  m.buffer.fill(1);
  m.unmap();
  expect(a.stats()).toMatchObject({ cooling: pageSize, free: 3 * pageSize, used: 0 });
  expect(pageOf(a, mapAnonymous(pageSize, { arena: a }))).toBe(1);
});

it('has its pages back when a mapping could not be made', async () => {
  const a = arena(4);
  const path = '/sys/kernel/mm/transparent_hugepage/enabled';
  const options = { arena: a, length: 1 };
  expect(refused(() => mapFileSync(path, options))).toMatchObject(kernelSays('ENODEV', 'mmap'));
  expect(await refusedLater(mapFile(path, options))).toMatchObject(kernelSays('ENODEV', 'mmap'));
  expect(a.stats()).toMatchObject({ free: 4 * pageSize, cooling: 0, mappings: 0 });
});

it('has its pages back from a mapping that shrinks, is cut or replaced', () => {
  const a = arena(8);
  const m = mapAnonymous(4 * pageSize, { arena: a });
  m.resize(2 * pageSize);
  expect(a.stats()).toMatchObject({ free: 6 * pageSize, freeRanges: 1 });
  m.replace({ anonymous: 2 * pageSize });
  expect(a.stats().free).toBe(6 * pageSize);
  expect(refused(() => m.resize(3 * pageSize))).toMatchObject(memmapSays('UNSUPPORTED'));
  m.unmap();
  expect(a.stats()).toMatchObject({ free: 8 * pageSize, freeRanges: 1 });
});

it('gives everything back when it is released', () => {
  const a = arena(8);
  const { address } = a;
  const m = mapAnonymous(pageSize, { arena: a });
  const view = m.buffer;
  a.release();
  a[Symbol.dispose]();
  expect([a.state, m.state, view.length]).toEqual(['released', 'unmapped', 0]);
  expect(a.stats()).toMatchObject({ size: 8 * pageSize, free: 0, mappings: 0 });
  expect(modesOf(address, 8, pageSize)).not.toContain('---p');
  expect(refused(() => mapAnonymous(1, { arena: a }))).toMatchObject(memmapSays('UNMAPPED'));
});

it.each<[string, () => unknown, string]>([
  ['no options', () => addressSpace.arena(undefined as never), 'ARGUMENT'],
  ['no size', () => addressSpace.arena({} as never), 'ARGUMENT'],
  ['size 0', () => addressSpace.arena({ size: 0 }), 'RANGE'],
  ['a fraction', () => addressSpace.arena({ size: 1.5 }), 'RANGE'],
  ['an unknown policy', () => addressSpace.arena({ size: 1, policy: 'x' as never }), 'ARGUMENT'],
  ['alignment 0', () => addressSpace.arena({ size: 1, alignment: 0 }), 'RANGE'],
  ['alignment 3', () => addressSpace.arena({ size: 1, alignment: 3 }), 'RANGE'],
  ['an unknown option', () => addressSpace.arena({ size: 1, sise: 1 } as never), 'ARGUMENT'],
  ['another object', () => mapAnonymous(1, { arena: {} as never }), 'ARGUMENT'],
  ['an address too', () => mapAnonymous(1, { arena: arena(1), address: 2 ** 40 }), 'ARGUMENT'],
  ['an unknown lifetime', () => mapAnonymous(1, { lifetime: 'x' as never }), 'ARGUMENT'],
  ['another receiver', () => Arena.prototype.stats.call({} as never), 'ARGUMENT'],
  ['new', () => new (Arena as unknown as new () => unknown)(), 'ARGUMENT'],
])('refuses %s', (_, call, kind) => {
  expect(refused(call)).toMatchObject(memmapSays(kind));
});

it('reserves as reserve() does', () => {
  const a = arena(4, { guardPages: 1 });
  expect(regionAt(a.address - 1n).mode).toBe('---p');
  const exactly = { size: pageSize, address: a.address, placement: 'exclusive' } as const;
  expect(refused(() => addressSpace.arena(exactly))).toMatchObject({
    ...kernelSays('EEXIST', 'mmap'),
    conflicts: [a],
  });
});
