// LTP: msync, mremap, madvise, mincore and mlock.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Suite, Tools } from '../case.js';
import {
  anonymous,
  because,
  casesOf,
  constants,
  freeAddress,
  kibibytes,
  mustRefuse,
  nobody,
  opened,
  pageSize,
  readWrite,
  sys,
  withHoles,
} from '../tools.js';

const { PROT_NONE, PROT_READ, PROT_WRITE, MAP_SHARED, MAP_POPULATE, MS_ASYNC, MS_SYNC } = constants;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MADV_NORMAL, MADV_WILLNEED, MADV_REMOVE } = constants;
const page = BigInt(pageSize);
const MiB = 2 ** 20;

/** mlock in a child, under a limit: its answer, `'EPERM mlock'`. */
async function lockUnder(tools: Tools, shell: string, call: string): Promise<string> {
  const { stdout, stderr } = await tools.child(
    `const m = memmap.mapAnonymous(64 * page);
    try { ${call} } catch (error) { process.stdout.write(error.code + ' ' + error.syscall); }`,
    { shell, ...nobody },
  );
  assert.equal(stderr, '');
  return stdout;
}

/** Two pages of which the second is gone, and a call on both. */
function acrossAHole(call: (address: bigint, length: number) => unknown, syscall: string): void {
  using mapping = withHoles(2, 1);
  mustRefuse(() => call(mapping.address, 2 * pageSize), 'ENOMEM', syscall);
}

const advise = (advice: number) => (address: bigint, length: number) => {
  sys.madvise(address, length, advice);
};

const cases = casesOf({
  'ltp.msync01'(tools) {
    const path = tools.file(Buffer.alloc(pageSize, 'a'));
    using file = opened(path);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
    mapping.write(100, Buffer.alloc(256, 'b'));
    sys.msync(mapping.address, pageSize, MS_ASYNC);
    const bytes = readFileSync(path, 'latin1');
    assert.equal(bytes.slice(99, 357), `a${'b'.repeat(256)}a`);
  },

  'ltp.msync03.3'() {
    using mapping = anonymous(pageSize);
    mustRefuse(() => sys.msync(mapping.address, pageSize, -1), 'EINVAL', 'msync');
  },

  'ltp.msync03.4'() {
    using mapping = anonymous(pageSize);
    mustRefuse(() => sys.msync(mapping.address + 1n, pageSize, MS_SYNC), 'EINVAL', 'msync');
  },

  'ltp.msync03.5'() {
    mustRefuse(() => sys.msync(2n ** 64n - 1n, pageSize, MS_SYNC), 'EINVAL', 'msync');
  },

  'ltp.mremap02'() {
    using mapping = anonymous(2 * pageSize);
    const call = () => sys.mremap(mapping.address + 1n, pageSize, 2 * pageSize, MREMAP_MAYMOVE);
    mustRefuse(call, 'EINVAL', 'mremap');
  },

  'ltp.mremap03'() {
    const call = () => sys.mremap(freeAddress(), pageSize, 2 * pageSize, MREMAP_MAYMOVE);
    mustRefuse(call, 'EFAULT', 'mremap');
  },

  'ltp.mremap05.1'() {
    using from = anonymous(pageSize);
    using to = anonymous(pageSize);
    const options = { replace: to };
    const { address } = from;
    const call = () => sys.mremap(address, pageSize, pageSize, MREMAP_FIXED, to.address, options);
    mustRefuse(call, 'EINVAL', 'mremap');
    assert.deepEqual([from.state, to.state], ['mapped', 'mapped']);
  },

  'ltp.mremap05.2'() {
    using from = anonymous(pageSize);
    using to = anonymous(2 * pageSize);
    const options = { replace: to };
    const at = to.address + 1n;
    const flags = MREMAP_FIXED | MREMAP_MAYMOVE;
    const call = () => sys.mremap(from.address, pageSize, pageSize, flags, at, options);
    mustRefuse(call, 'EINVAL', 'mremap');
    assert.deepEqual([from.state, to.state], ['mapped', 'mapped']);
  },

  'ltp.mremap05.3'() {
    using mapping = anonymous(3 * pageSize);
    const { address } = mapping;
    const options = { replace: mapping };
    const flags = MREMAP_FIXED | MREMAP_MAYMOVE;
    const two = 2 * pageSize;
    mustRefuse(
      () => sys.mremap(address, two, two, flags, address + page, options),
      'EINVAL',
      'mremap',
    );
    assert.equal(mapping.state, 'mapped');
  },

  'ltp.madvise02.1'() {
    using mapping = anonymous(2 * pageSize);
    const call = () => sys.madvise(mapping.address + 1n, pageSize, MADV_NORMAL);
    mustRefuse(call, 'EINVAL', 'madvise');
  },

  'ltp.madvise02.2'() {
    using mapping = anonymous(pageSize);
    mustRefuse(() => sys.madvise(mapping.address, pageSize, 1212), 'EINVAL', 'madvise');
  },

  'ltp.madvise02.3'(tools) {
    using file = opened(tools.file(Buffer.alloc(pageSize, 'a')), 'r');
    using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
    sys.mlock(mapping.address, pageSize);
    mustRefuse(() => sys.madvise(mapping.address, pageSize, MADV_REMOVE), 'EINVAL', 'madvise');
    assert.equal(mapping.read(0, 1)[0], 'a'.charCodeAt(0));
  },

  'ltp.madvise02.5'() {
    acrossAHole(advise(MADV_NORMAL), 'madvise');
  },

  'ltp.madvise02.6'() {
    acrossAHole(advise(MADV_WILLNEED), 'madvise');
  },

  'ltp.madvise05'(tools) {
    using mapping = anonymous(16 * pageSize, readWrite, MAP_POPULATE);
    sys.mprotect(mapping.address, 16 * pageSize, PROT_NONE);
    // EBADF is the kernel's word for anonymous memory where there is no swap.
    try {
      sys.madvise(mapping.address, 16 * pageSize, MADV_WILLNEED);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'EBADF');
    }
    assert.equal(kibibytes(tools.smaps(mapping.address)['Rss']), 16 * pageSize);
  },

  'ltp.mincore01.1'() {
    using mapping = anonymous(2 * pageSize);
    mustRefuse(() => sys.mincore(mapping.address + 1n, pageSize), 'EINVAL', 'mincore');
  },

  'ltp.mincore01.3'() {
    acrossAHole((address, length) => sys.mincore(address, length), 'mincore');
  },

  'ltp.mincore01.4'() {
    using mapping = anonymous(pageSize);
    mustRefuse(() => sys.mincore(mapping.address, 2n ** 63n), 'ENOMEM', 'mincore');
  },

  'ltp.mincore02'(tools) {
    using file = opened(tools.file(Buffer.alloc(4 * pageSize, 'a')));
    using mapping = sys.mmap(0, 4 * pageSize, readWrite, MAP_SHARED, file.fd, 0);
    sys.mlock(mapping.address, 4 * pageSize);
    const pages = [...sys.mincore(mapping.address, 4 * pageSize)];
    assert.deepEqual(
      pages.map((state) => state & 1),
      [1, 1, 1, 1],
    );
  },

  'ltp.mlock02.1'() {
    mustRefuse(() => sys.mlock(freeAddress(), pageSize), 'ENOMEM', 'mlock');
  },

  async 'ltp.mlock02.3'(tools) {
    const answer = await lockUnder(tools, 'ulimit -l 0', 'sys.mlock(m.address, page);');
    assert.equal(answer, 'EPERM mlock');
  },

  'ltp.mlock05'(tools) {
    using mapping = anonymous(MiB, PROT_WRITE);
    sys.mlock(mapping.address, MiB);
    const { Rss, Locked } = tools.smaps(mapping.address);
    assert.deepEqual([kibibytes(Rss), kibibytes(Locked)], [MiB, MiB]);
  },

  async 'ltp.mlock202.2'(tools) {
    const some = 'ulimit -l 64';
    const whole = 'sys.mlock(m.address, m.length);';
    assert.equal(await lockUnder(tools, some, whole), 'ENOMEM mlock');
    assert.equal(await lockUnder(tools, 'ulimit -l 0', whole), 'EPERM mlock');
    const gone = 'const { address } = m; m.unmap(); sys.mlock(address, page);';
    assert.equal(await lockUnder(tools, some, gone), 'ENOMEM mlock');
  },

  'ltp.munlock01'(tools) {
    for (const length of [1, 1024, MiB, 10 * MiB]) {
      using mapping = anonymous(length);
      // What anybody may lock by default; the rest was never locked.
      sys.mlock(mapping.address, Math.min(length, MiB));
      sys.munlock(mapping.address, length);
      assert.equal(kibibytes(tools.smaps(mapping.address)['Locked']), 0);
    }
  },

  'ltp.munlock02'() {
    using mapping = withHoles(3, 1);
    mustRefuse(() => sys.munlock(mapping.address, 3 * pageSize), 'ENOMEM', 'munlock');
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {
    ...because(
      'mlockall and munlockall are not among the calls',
      'ltp.mlockall02',
      'ltp.mlockall03',
      'ltp.munlockall01',
    ),
    ...because('mlock2 is not among the calls', 'ltp.mlock202.1'),
    ...because('mseal is not among the calls', 'ltp.mseal01', 'ltp.mseal02'),
    ...because('asserts ftruncate alone, which is of node:fs', 'ltp.ftruncate03'),
  },
};
