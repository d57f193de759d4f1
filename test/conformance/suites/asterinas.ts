// Asterinas regression tests.
import assert from 'node:assert/strict';
import type { Suite, Tools } from '../case.js';
import {
  type Mapping,
  anonymous,
  because,
  casesOf,
  constants,
  freeAddress,
  memmap,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
  withHoles,
} from '../tools.js';

const { PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MAP_SYNC } = constants;
const { MAP_FIXED_NOREPLACE, MAP_SHARED_VALIDATE, MADV_NORMAL, MS_SYNC } = constants;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP, MADV_POPULATE_READ } = constants;
const page = BigInt(pageSize);
const privately = MAP_PRIVATE | MAP_ANONYMOUS;

/** ~1 of a size_t: rounded up to pages it is 0. */
const OVERFLOWING = 2n ** 64n - 2n;

const onPage = (call: (address: bigint) => unknown) => (): void => {
  using mapping = anonymous(pageSize);
  call(mapping.address);
  assert.equal(mapping.state, 'mapped');
};

const text = (mapping: Mapping, offset = 0): string => textOf(mapping, offset, 5);

/** How much VmRSS changes by `change`, in bytes. */
function residentBy(change: () => void): number {
  const resident = (): number => process.memoryUsage.rss();
  const before = resident();
  change();
  return resident() - before;
}

/** Pages of a mapping are in VmRSS once they are touched, and no more once it is gone. */
function countsAsResident(mapping: Mapping): void {
  const { length, address } = mapping;
  // Whatever the rest of the process does meanwhile is far below a quarter of it.
  const enough = 0.75 * length;
  assert.ok(residentBy(() => sys.madvise(address, length, MADV_POPULATE_READ)) > enough);
  assert.ok(residentBy(() => sys.munmap(address, length, { replace: mapping })) < -enough);
}

/** Two mappings of a page each, side by side. */
function neighbours(): [Mapping, Mapping] {
  const whole = anonymous(2 * pageSize);
  const flags = privately | MAP_FIXED;
  const { address } = whole;
  const options = { replace: whole };
  const second = sys.mmap(address + page, pageSize, readWrite, flags, -1, 0, options);
  const [first] = whole.parts;
  assert.ok(first !== undefined);
  return [first, second];
}

const sharedFile = (tools: Tools, flags: string, extra = 0) => {
  using file = opened(tools.file(Buffer.alloc(pageSize, 'a')), flags);
  return sys.mmap(0, pageSize, PROT_READ, MAP_SHARED | extra, file.fd, 0);
};

const cases = casesOf({
  'aster.mmap_err.overflow_len.mmap'() {
    const call = () => sys.mmap(0, OVERFLOWING, readWrite, privately, -1, 0);
    mustRefuse(call, 'ENOMEM', 'mmap');
  },

  'aster.mmap_err.overflow_len.munmap': onPage((address) =>
    mustRefuse(() => sys.munmap(address, OVERFLOWING), 'EINVAL', 'munmap'),
  ),

  'aster.mmap_err.overflow_len.mprotect': onPage((address) =>
    mustRefuse(() => sys.mprotect(address, OVERFLOWING, PROT_READ), 'ENOMEM', 'mprotect'),
  ),

  'aster.mmap_err.overflow_len.madvise': onPage((address) =>
    mustRefuse(() => sys.madvise(address, OVERFLOWING, MADV_NORMAL), 'EINVAL', 'madvise'),
  ),

  'aster.mmap_err.overflow_len.msync': onPage((address) => {
    sys.msync(address, OVERFLOWING, MS_SYNC);
  }),

  'aster.mmap_err.zero_len': onPage((address) => {
    mustRefuse(() => sys.mmap(0, 0, readWrite, privately, -1, 0), 'EINVAL', 'mmap');
    mustRefuse(() => sys.mremap(address, pageSize, 0, MREMAP_MAYMOVE), 'EINVAL', 'mremap');
    mustRefuse(() => sys.munmap(address, 0), 'EINVAL', 'munmap');
    sys.mprotect(address, 0, PROT_READ);
    sys.madvise(address, 0, MADV_NORMAL);
    sys.msync(address, 0, MS_SYNC);
  }),

  'aster.mmap_err.unaligned_addr'(tools) {
    using mapping = anonymous(2 * pageSize);
    const at = mapping.address + 1n;
    const options = { replace: mapping };
    const flags = privately | MAP_FIXED;
    mustRefuse(() => sys.mmap(at, pageSize, PROT_READ, flags, -1, 0, options), 'EINVAL', 'mmap');
    mustRefuse(() => sys.mremap(at, pageSize, pageSize, MREMAP_MAYMOVE), 'EINVAL', 'mremap');
    mustRefuse(() => sys.munmap(at, pageSize, options), 'EINVAL', 'munmap');
    mustRefuse(() => sys.mprotect(at, pageSize, PROT_READ), 'EINVAL', 'mprotect');
    mustRefuse(() => sys.madvise(at, pageSize, MADV_NORMAL), 'EINVAL', 'madvise');
    mustRefuse(() => sys.msync(at, pageSize, MS_SYNC), 'EINVAL', 'msync');
    assert.match(tools.smaps(mapping.address)['perms'] ?? '', /^rw-/);
    const free = freeAddress();
    using hinted = sys.mmap(free + 1n, pageSize, readWrite, privately, -1, 0);
    assert.equal(hinted.address, free);
  },

  'aster.mmap_err.kernel_addr'() {
    const kernel = 2n ** 64n - 2n ** 47n;
    const flags = privately | MAP_FIXED;
    const call = () => sys.mmap(kernel + 1n, pageSize, readWrite, flags, -1, 0);
    mustRefuse(call, 'ENOMEM', 'mmap');
  },

  'aster.mmap_err.mmap_flags.sync_only'(tools) {
    using file = opened(tools.file(Buffer.alloc(pageSize)));
    const call = () => sys.mmap(0, pageSize, readWrite, MAP_SYNC, file.fd, 0);
    mustRefuse(call, 'EINVAL', 'mmap');
  },

  // ENOTSUP is Node's name for the number that Linux calls EOPNOTSUPP.
  'aster.mmap_err.mmap_flags.validate_sync'(tools) {
    using file = opened(tools.file(Buffer.alloc(pageSize)));
    const flags = MAP_SHARED_VALIDATE | MAP_SYNC;
    const call = () => sys.mmap(0, pageSize, readWrite, flags, file.fd, 0);
    mustRefuse(call, 'ENOTSUP', 'mmap');
  },

  'aster.mmap_err.mmap_flags.validate_noreplace'(tools) {
    using file = opened(tools.file(Buffer.alloc(pageSize)));
    const flags = MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE;
    const call = () => sys.mmap(freeAddress(), pageSize, readWrite, flags, file.fd, 0);
    mustRefuse(call, 'ENOTSUP', 'mmap');
  },

  'aster.mremap.mmap_and_mremap'() {
    const [first, second] = neighbours();
    using moved = first;
    using stays = second;
    const { address } = first;
    first.write(0, 'text!');
    assert.equal(sys.mremap(address, pageSize, 2 * pageSize, MREMAP_MAYMOVE), moved);
    assert.notEqual(moved.address, address);
    assert.deepEqual([text(moved), moved.length], ['text!', 2 * pageSize]);
    const again = () => sys.mremap(address, pageSize, 2 * pageSize, MREMAP_MAYMOVE);
    mustRefuse(again, 'EFAULT', 'mremap');
    assert.equal(stays.address, address + page);
  },

  'aster.mremap.mmap_and_mremap_fixed'() {
    const [first, second] = neighbours();
    using moving = first;
    const { address } = first;
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    first.write(0, 'text!');
    sys.mremap(address, pageSize, pageSize, flags, address + page, { replace: second });
    assert.deepEqual([moving.address, text(moving)], [address + page, 'text!']);
    // What is to be overwritten must be owned: the hole that the page left is filled first.
    const exclusive = privately | MAP_FIXED_NOREPLACE;
    const filler = sys.mmap(address, pageSize, readWrite, exclusive, -1, 0);
    sys.mremap(address + page, pageSize, pageSize, flags, address, { replace: filler });
    assert.deepEqual([moving.address, text(moving)], [address, 'text!']);
  },

  'aster.mremap.mremap_dontunmap_trim'() {
    using mapping = anonymous(3 * pageSize);
    for (const index of [0, 1, 2]) mapping.write(index * pageSize, `text${index}`);
    const middle = mapping.address + page;
    const flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    using moved = sys.mremap(middle, pageSize, pageSize, flags);
    assert.equal(text(moved), 'text1');
    const left = [0, 1, 2].map((index) => text(mapping, index * pageSize));
    assert.deepEqual(left, ['text0', '\0'.repeat(5), 'text2']);
  },

  'aster.mprotect.shared_writable_on_read_only_file'(tools) {
    using mapping = sharedFile(tools, 'r');
    const call = () => sys.mprotect(mapping.address, pageSize, readWrite);
    mustRefuse(call, 'EACCES', 'mprotect');
    assert.equal(tools.smaps(mapping.address)['perms'], 'r--s');
    assert.equal(mapping.protection, 'read');
  },

  'aster.mprotect.merge_after_split'(tools) {
    using mapping = anonymous(2 * pageSize);
    sys.mprotect(mapping.address, pageSize, PROT_READ);
    const perms = (offset: bigint) => tools.smaps(mapping.address + offset)['perms'];
    assert.deepEqual([perms(0n), perms(page)], ['r--p', 'rw-p']);
    sys.mprotect(mapping.address, 2 * pageSize, readWrite);
    assert.deepEqual([perms(0n), perms(page)], ['rw-p', 'rw-p']);
    assert.equal(mapping.write(0, 'x'), 1);
  },

  'aster.mmap_beyond_the_file'(tools) {
    using file = opened(tools.file(Buffer.alloc(2 * pageSize)));
    using mapping = sys.mmap(0, 4 * pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
    assert.equal(mapping.read(pageSize, 1)[0], 0);
    mustRefuse(() => mapping.read(2 * pageSize, 1), 'EFAULT', 'process_vm_readv');
  },

  'aster.holes.msync'() {
    using mapping = withHoles(3, 1);
    mustRefuse(() => sys.msync(mapping.address, 3 * pageSize, MS_SYNC), 'ENOMEM', 'msync');
  },

  'aster.mmap_32bit'() {
    const flags = privately | constants.MAP_32BIT;
    const top = 2n ** 31n;
    const elsewhere = freeAddress();
    for (const hint of [0n, page, top - page, top, 2n ** 32n, elsewhere]) {
      using mapping = sys.mmap(hint, pageSize, readWrite, flags, -1, 0);
      assert.ok(mapping.address + page <= top, `0x${mapping.address.toString(16)}`);
    }
    using high = anonymous(pageSize);
    const options = { replace: high };
    using fixed = sys.mmap(high.address, pageSize, readWrite, flags | MAP_FIXED, -1, 0, options);
    assert.equal(fixed.address, high.address);
  },

  'aster.vmrss'(tools) {
    const size = 64 * 2 ** 20;
    // Shared: reading a private page that was never written shows the one zero page.
    countsAsResident(sys.mmap(0, size, readWrite, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    countsAsResident(
      memmap.mapFileSync(tools.scratch(), { access: 'read-write', create: true, size }),
    );
  },
});

const inexpressible = {
  ...because(
    'mremap moves pages of one Mapping: these are three, though one region to the kernel',
    'aster.mremap.mmap_and_mremap_auto_merge_anon',
    'aster.mremap.mmap_and_mremap_auto_merge_file',
  ),
  ...(process.arch === 'x64' ? {} : because('only x86-64 has MAP_32BIT', 'aster.mmap_32bit')),
};

export const suite: Suite = {
  cases: cases.filter(({ id }) => !(id in inexpressible)),
  waiting: {},
  inexpressible,
};
