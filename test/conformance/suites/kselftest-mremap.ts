// Linux kselftest mm: MAP_FIXED_NOREPLACE, mremap and MREMAP_DONTUNMAP.
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import type { Suite } from '../case.js';
import {
  type Mapping,
  anonymous,
  casesOf,
  constants,
  freeAddress,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_NONE, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE } = constants;
const { MAP_FIXED_NOREPLACE, MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = constants;
const page = BigInt(pageSize);
const MiB = 2 ** 20;
const moveTo = MREMAP_MAYMOVE | MREMAP_FIXED;

/** `pages` pages exactly at an address. */
const exclusively = (address: bigint, pages: number): Mapping => {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  return sys.mmap(address, pages * pageSize, PROT_NONE, flags, -1, 0);
};

const filled = (pages: number, letter: string): Mapping => {
  const mapping = anonymous(pages * pageSize);
  mapping.write(0, Buffer.alloc(pages * pageSize, letter));
  return mapping;
};

const isAll = (mapping: Mapping, letter: string, offset = 0, length?: number): boolean =>
  /^(.)\1*$/s.exec(textOf(mapping, offset, length))?.[1] === letter;

/** Owned memory at a multiple of `alignment`, of which every page is named by its Mapping. */
function aligned(length: number, alignment: number): { address: bigint; mapping: Mapping } {
  const mapping = anonymous(length + alignment, PROT_NONE, MAP_NORESERVE);
  const step = BigInt(alignment);
  return { mapping, address: ((mapping.address + step - 1n) / step) * step };
}

/** Moves `length` bytes from one aligned place to another, and looks at some of them. */
function movesTo(length: number, alignment: number): void {
  const from = aligned(length, alignment);
  const to = aligned(length, alignment);
  using source = from.mapping;
  using target = to.mapping;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  const options = { replace: source };
  using moving = sys.mmap(from.address, length, readWrite, flags, -1, 0, options);
  const offsets = [0, 4097, length / 2 - 1, length / 2, length - pageSize, length - 1];
  const mark = (offset: number): string => String.fromCharCode(65 + (offset % 53));
  for (const offset of offsets) moving.write(offset, mark(offset));
  sys.mremap(from.address, length, length, moveTo, to.address, { replace: target });
  assert.equal(moving.address, to.address);
  for (const offset of offsets) assert.equal(textOf(moving, offset, 1), mark(offset));
  assert.equal(textOf(moving, 1, 1), '\0');
}

const cases = casesOf({
  'ks.noreplace.free'() {
    const free = freeAddress(5 * pageSize);
    {
      using five = exclusively(free, 5);
      assert.equal(five.address, free);
    }
    using three = exclusively(free + page, 3);
    assert.equal(three.address, free + page);
  },

  'ks.noreplace.conflicts'(tools) {
    const free = freeAddress(5 * pageSize);
    using three = exclusively(free + page, 3);
    const places: [first: bigint, pages: number][] = [
      [0n, 5],
      [2n, 1],
      [3n, 2],
      [0n, 2],
    ];
    for (const [first, pages] of places) {
      mustRefuse(() => exclusively(free + first * page, pages), 'EEXIST', 'mmap');
    }
    assert.equal(three.state, 'mapped');
    assert.equal(tools.smaps(free + page)['perms'], '---p');
  },

  'ks.mremap.bad'() {
    using from = filled(3, 'a');
    using to = anonymous(3 * pageSize);
    const two = 2 * pageSize;
    const { address } = from;
    const named = { replace: [from, to] };
    const moves = [
      () => sys.mremap(address, two, two, moveTo, address + page, named),
      () => sys.mremap(address, two, two, moveTo, to.address + 1024n, named),
      () => sys.mremap(address + 1024n, two, two, moveTo, to.address, named),
    ];
    for (const move of moves) mustRefuse(move, 'EINVAL', 'mremap');
    assert.ok(isAll(from, 'a'));
    assert.equal(to.state, 'mapped');
  },

  'ks.mremap.move_sizes'() {
    movesTo(2 * pageSize, pageSize);
    movesTo(256 * 1024, pageSize);
    movesTo(MiB, MiB);
    movesTo(5 * MiB, MiB);
    movesTo(4 * MiB, 2 * MiB);
    movesTo(64 * MiB, pageSize);
    movesTo(1024 * MiB, 2 * MiB);
    movesTo(2048 * MiB, 1024 * MiB);
    movesTo(2048 * MiB, pageSize);
  },

  'ks.mremap.move_1mb_from_start'() {
    using source = anonymous(8 * MiB);
    using target = anonymous(MiB);
    const { address } = target;
    sys.munmap(source.address + BigInt(2 * MiB), MiB, { replace: source });
    const [before, after] = source.parts;
    assert.ok(before !== undefined && after !== undefined);
    before.write(0, Buffer.alloc(2 * MiB, 'a'));
    after.write(0, Buffer.alloc(after.length, 'b'));
    const from = source.address + BigInt(MiB);
    using moved = sys.mremap(from, MiB, MiB, moveTo, address, { replace: target });
    assert.ok(isAll(moved, 'a') && isAll(after, 'b'));
    const [left] = before.parts;
    assert.ok(left !== undefined);
    assert.equal(left.length, MiB);
    assert.ok(isAll(left, 'a'));
  },

  'ks.mremap.expand_merge'(tools) {
    const isOneRegion = (first: bigint): void => {
      const { start, end } = tools.smaps(first);
      assert.equal(tools.smaps(first + 2n * page)['start'], start);
      assert.ok(BigInt(`0x${end ?? '0'}`) >= first + 3n * page);
    };
    using between = anonymous(3 * pageSize);
    const middle = between.address + page;
    sys.munmap(middle, pageSize, { replace: between });
    const [first] = between.parts;
    assert.ok(first !== undefined);
    assert.equal(sys.mremap(first.address, pageSize, 2 * pageSize, 0).address, first.address);
    isOneRegion(between.address);

    using beside = anonymous(3 * pageSize);
    const { address } = beside;
    sys.munmap(address + 2n * page, pageSize, { replace: beside });
    const [two] = beside.parts;
    assert.ok(two !== undefined);
    using grown = sys.mremap(address + page, pageSize, 2 * pageSize, 0);
    assert.deepEqual([grown.address, grown.length], [address + page, 2 * pageSize]);
    isOneRegion(address);
  },

  // A file on tmpfs is what a memfd is.
  'ks.dontunmap.shmem'(tools) {
    using object = opened(tools.shm(), 'w+');
    ftruncateSync(object.fd, 5 * pageSize);
    using source = sys.mmap(0, 5 * pageSize, readWrite, MAP_SHARED, object.fd, 0);
    source.write(0, Buffer.alloc(5 * pageSize, 'a'));
    const flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    using moved = sys.mremap(source.address, 5 * pageSize, 5 * pageSize, flags);
    assert.notEqual(moved.address, source.address);
    assert.ok(isAll(source, 'a') && isAll(moved, 'a'));
  },

  'ks.dontunmap.fixed'() {
    using target = filled(5, 'X');
    using source = filled(5, 'a');
    const { address } = target;
    const flags = moveTo | MREMAP_DONTUNMAP;
    const options = { replace: target };
    using moved = sys.mremap(source.address, 5 * pageSize, 5 * pageSize, flags, address, options);
    assert.deepEqual([moved.address, target.state], [address, 'replaced']);
    assert.ok(isAll(moved, 'a') && isAll(source, '\0'));
  },

  'ks.dontunmap.partial'() {
    using source = filled(10, 'a');
    const last = source.address + 5n * page;
    const flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    using moved = sys.mremap(last, 5 * pageSize, 5 * pageSize, flags);
    assert.ok(isAll(moved, 'a'));
    assert.ok(isAll(source, 'a', 0, 5 * pageSize));
    assert.ok(isAll(source, '\0', 5 * pageSize));
  },

  'ks.dontunmap.partial_overwrite'() {
    using target = filled(10, 'X');
    using source = filled(5, 'a');
    const { address } = target;
    const flags = moveTo | MREMAP_DONTUNMAP;
    const options = { replace: target };
    using moved = sys.mremap(source.address, 5 * pageSize, 5 * pageSize, flags, address, options);
    assert.ok(isAll(moved, 'a') && isAll(source, '\0'));
    const [rest] = target.parts;
    assert.ok(rest !== undefined);
    assert.equal(rest.address, address + 5n * page);
    assert.ok(isAll(rest, 'X'));
  },
});

export const suite: Suite = { cases, waiting: {}, inexpressible: {} };
