// Linux kselftest mm: populating, locking and guarding pages, and what mincore says of them.
import assert from 'node:assert/strict';
import type { Suite, Tools } from '../case.js';
import {
  type Mapping,
  anonymous,
  because,
  casesOf,
  constants,
  memmap,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
  withHoles,
} from '../tools.js';

const { PROT_READ, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE } = constants;
const { MADV_DONTNEED, MADV_NOHUGEPAGE } = constants;
const { MADV_POPULATE_READ, MADV_POPULATE_WRITE } = constants;
const { MADV_GUARD_INSTALL, MADV_GUARD_REMOVE } = constants;
const MiB = 2 ** 20;

const isPresent = (mapping: Mapping): number[] =>
  [...sys.mincore(mapping.address, mapping.length)].map((state) => state & 1);

const flagsAt = (tools: Tools, address: bigint): string[] =>
  (tools.smaps(address)['VmFlags'] ?? '').split(' ');

const filled = (pages: number, letter = 'x'): Mapping => {
  const mapping = anonymous(pages * pageSize);
  mapping.write(0, Buffer.alloc(pages * pageSize, letter));
  return mapping;
};

const advise = (mapping: Mapping, advice: number, pages: [first: number, count: number]): void =>
  sys.madvise(mapping.address + BigInt(pages[0] * pageSize), pages[1] * pageSize, advice);

/** A guarded page refuses the kernel's own copy, which is how it would refuse a load or a store. */
function isGuarded(mapping: Mapping, index: number): boolean {
  try {
    mapping.read(index * pageSize, 1);
    return false;
  } catch (error) {
    const { code, syscall } = error as { code?: string; syscall?: string };
    assert.deepEqual([code, syscall], ['EFAULT', 'process_vm_readv']);
    return true;
  }
}

const guarded = (mapping: Mapping, pages: number): number[] =>
  Array.from({ length: pages }, (_, index) => index).filter((index) => isGuarded(mapping, index));

const cases = casesOf({
  'ks.populate.holes'() {
    for (const advice of [MADV_POPULATE_READ, MADV_POPULATE_WRITE]) {
      for (const hole of [5, 9, 0]) {
        using mapping = withHoles(10, hole);
        const call = () => sys.madvise(mapping.address, 10 * pageSize, advice);
        mustRefuse(call, 'ENOMEM', 'madvise');
      }
    }
  },

  'ks.populate.resident'() {
    using mapping = anonymous(2 * MiB);
    const pages = (2 * MiB) / pageSize;
    assert.deepEqual(isPresent(mapping), new Array(pages).fill(0));
    sys.madvise(mapping.address, 2 * MiB, MADV_POPULATE_WRITE);
    assert.deepEqual(isPresent(mapping), new Array(pages).fill(1));
  },

  // mlock2 without flags is mlock.
  'ks.mlock2.lock'(tools) {
    using mapping = anonymous(2 * pageSize);
    sys.mlock(mapping.address, 2 * pageSize);
    const { Rss, Size } = tools.smaps(mapping.address);
    assert.ok(flagsAt(tools, mapping.address).includes('lo'));
    assert.equal(Rss, Size);
    sys.munlock(mapping.address, 2 * pageSize);
    assert.ok(!flagsAt(tools, mapping.address).includes('lo'));
  },

  'ks.mlock2.vma_management'(tools) {
    using mapping = anonymous(3 * pageSize);
    const { address } = mapping;
    const page = BigInt(pageSize);
    const starts = () => [0n, 1n, 2n].map((index) => tools.smaps(address + index * page)['start']);
    sys.mlock(address, 3 * pageSize);
    assert.equal(new Set(starts()).size, 1);
    sys.munlock(address + page, pageSize);
    assert.equal(new Set(starts()).size, 3);
    sys.munlock(address, 3 * pageSize);
    assert.equal(new Set(starts()).size, 1);
  },

  'ks.guard.basic'() {
    using mapping = filled(10);
    const { buffer } = mapping;
    advise(mapping, MADV_GUARD_INSTALL, [0, 1]);
    advise(mapping, MADV_GUARD_INSTALL, [4, 2]);
    assert.deepEqual(guarded(mapping, 10), [0, 4, 5]);
    // No load or store can meet a guard through a Buffer: it was detached.
    assert.equal(buffer.length, 0);
    mustRefuse(() => mapping.write(4 * pageSize, 'x'), 'EFAULT', 'process_vm_writev');
    assert.equal(mapping.write(pageSize, 'fine'), 4);
    advise(mapping, MADV_GUARD_REMOVE, [0, 10]);
    assert.deepEqual(guarded(mapping, 10), []);
    assert.equal(textOf(mapping, 4 * pageSize, pageSize), '\0'.repeat(pageSize));
    assert.equal(textOf(mapping, pageSize, 5), 'finex');
  },

  'ks.guard.multi_vma'() {
    using mapping = withHoles(10, 3, 7);
    const install = () => advise(mapping, MADV_GUARD_INSTALL, [0, 10]);
    mustRefuse(install, 'ENOMEM', 'madvise');
    const parts = memmap.registry.overlapping(mapping.address, 10 * pageSize) as Mapping[];
    const pages = parts.map((part) => guarded(part, part.length / pageSize).length);
    assert.deepEqual(pages, [3, 3, 2]);
  },

  'ks.guard.mprotect'(tools) {
    using mapping = filled(10);
    advise(mapping, MADV_GUARD_INSTALL, [5, 3]);
    sys.mprotect(mapping.address, 10 * pageSize, PROT_READ);
    assert.match(tools.smaps(mapping.address)['perms'] ?? '', /^r--/);
    assert.deepEqual(guarded(mapping, 10), [5, 6, 7]);
  },

  'ks.guard.dontneed'(tools) {
    using memory = filled(10);
    advise(memory, MADV_GUARD_INSTALL, [0, 2]);
    advise(memory, MADV_DONTNEED, [0, 10]);
    assert.deepEqual(guarded(memory, 10), [0, 1]);
    assert.equal(textOf(memory, 2 * pageSize), '\0'.repeat(8 * pageSize));

    using file = opened(tools.file(Buffer.alloc(10 * pageSize, 'f')));
    using shown = sys.mmap(0, 10 * pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    shown.write(9 * pageSize, 'private');
    advise(shown, MADV_GUARD_INSTALL, [4, 1]);
    advise(shown, MADV_DONTNEED, [0, 10]);
    assert.deepEqual(guarded(shown, 10), [4]);
    assert.equal(textOf(shown, 9 * pageSize, 7), 'fffffff');
  },

  'ks.guard.munmap'() {
    const mapping = filled(1);
    const { address } = mapping;
    advise(mapping, MADV_GUARD_INSTALL, [0, 1]);
    sys.munmap(address, pageSize, { replace: mapping });
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    using again = sys.mmap(address, pageSize, readWrite, flags, -1, 0);
    assert.deepEqual(guarded(again, 1), []);
  },

  'ks.guard.split_merge'(tools) {
    using mapping = filled(10);
    const middle = mapping.address + BigInt(4 * pageSize);
    advise(mapping, MADV_GUARD_INSTALL, [3, 2]);
    sys.mprotect(middle, 2 * pageSize, PROT_READ);
    assert.equal(tools.smaps(middle)['start'], middle.toString(16));
    assert.deepEqual(guarded(mapping, 10), [3, 4]);
    sys.mprotect(middle, 2 * pageSize, readWrite);
    assert.notEqual(tools.smaps(middle)['start'], middle.toString(16));
    assert.deepEqual(guarded(mapping, 10), [3, 4]);
  },

  'ks.guard.mlock'() {
    using mapping = filled(10);
    sys.mlock(mapping.address, 10 * pageSize);
    const install = () => advise(mapping, MADV_GUARD_INSTALL, [0, 10]);
    mustRefuse(install, 'EINVAL', 'madvise');
    sys.munlock(mapping.address, 10 * pageSize);
    install();
    assert.equal(guarded(mapping, 10).length, 10);
  },

  'ks.mincore.anon'() {
    using mapping = anonymous(2 * pageSize);
    sys.madvise(mapping.address, 2 * pageSize, MADV_NOHUGEPAGE);
    assert.deepEqual(isPresent(mapping), [0, 0]);
    mapping.write(0, 'x');
    assert.deepEqual(isPresent(mapping), [1, 0]);
    sys.madvise(mapping.address, 2 * pageSize, MADV_DONTNEED);
    assert.deepEqual(isPresent(mapping), [0, 0]);
  },

  // For writing: the private copies are made before the file changes.
  async 'ks.map_populate'(tools) {
    const path = tools.file(Buffer.alloc(pageSize, 'o'));
    const { stdout, stderr } = await tools.child(`
      const fd = fs.openSync(${JSON.stringify(path)}, 'r+');
      const rw = c.PROT_READ | c.PROT_WRITE;
      const mine = sys.mmap(0, page, rw, c.MAP_PRIVATE | c.MAP_POPULATE, fd, 0);
      const all = sys.mmap(0, page, rw, c.MAP_SHARED, fd, 0);
      all.write(0, 'n');
      process.stdout.write(mine.read(0, 1).toString() + all.read(0, 1).toString());`);
    assert.equal(stdout, 'on', stderr);
  },
});

function hasGuards(): boolean {
  using mapping = anonymous(pageSize);
  try {
    advise(mapping, MADV_GUARD_INSTALL, [0, 1]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false;
    throw error;
  }
}

const ofGuards = cases.map(({ id }) => id).filter((id) => id.startsWith('ks.guard.'));
const waiting = hasGuards() ? {} : because('a kernel with MADV_GUARD_INSTALL: 6.13', ...ofGuards);

export const suite: Suite = {
  cases: cases.filter(({ id }) => !(id in waiting)),
  waiting,
  inexpressible: {},
};
