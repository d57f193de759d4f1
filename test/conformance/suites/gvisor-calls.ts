// gVisor, test/syscalls/linux: msync.cc, munmap.cc, mincore.cc, mlock.cc, madvise.cc.
import assert from 'node:assert/strict';
import type { Tools } from '../case.js';
import {
  type Runs,
  SHARINGS,
  all,
  answer,
  holds,
  isLocked,
  mmap,
  modes,
  opened,
  pageOf,
  succeeds,
  suiteOf,
} from '../kit.js';
import { type Mapping, constants, mustRefuse, pageSize, sys } from '../tools.js';

const { MS_ASYNC, MS_INVALIDATE, MS_SYNC, MADV_DONTNEED } = constants;

/** Anonymous memory and a file, shared and private, read-only and writable. */
function eachKind(t: Tools, body: (m: Mapping) => void): void {
  using file = opened(t.file(Buffer.alloc(pageSize)), 'r+');
  for (const sharing of SHARINGS) {
    for (const prot of ['r', 'rw']) {
      using memory = mmap({ prot, flags: `${sharing} ANONYMOUS` });
      body(memory);
      using mapped = mmap({ prot, flags: sharing, fd: file.fd });
      body(mapped);
    }
  }
}

const msync: Runs = {
  'gv.All/MsyncNoMappingTest.UnmappedAddressWithZeroLengthSucceeds'() {
    for (const flags of [MS_SYNC, MS_ASYNC, 0]) {
      succeeds(() => sys.msync(0, 0, flags));
    }
  },
  'gv.All/MsyncNoMappingTest.UnmappedAddressWithNonzeroLengthFails'() {
    for (const flags of [MS_SYNC, MS_ASYNC, 0]) {
      mustRefuse(() => sys.msync(0, pageSize, flags), 'ENOMEM', 'msync');
    }
  },
  'gv.All/MsyncNoFlagsTest.BothSyncAndAsyncFails'(t) {
    eachKind(t, ({ address }) => {
      mustRefuse(() => sys.msync(address, pageSize, MS_SYNC | MS_ASYNC), 'EINVAL', 'msync');
    });
  },
  'gv.All/MsyncFullParamTest.UnalignedAddressFails'(t) {
    eachKind(t, ({ address }) => {
      for (const flags of [MS_SYNC, MS_ASYNC, 0]) {
        mustRefuse(() => sys.msync(address + 1n, pageSize - 1, flags), 'EINVAL', 'msync');
      }
    });
  },
};

const munmap: Runs = {
  'gv.MunmapTest.HappyCase'(t) {
    const m = mmap();
    const { address } = m;
    sys.munmap(address, pageSize, { replace: m });
    assert.deepEqual(modes(t, address, 1), ['']);
    assert.equal(m.state, 'unmapped');
  },
  'gv.MunmapTest.ZeroLength'(t) {
    using m = mmap();
    mustRefuse(() => sys.munmap(m.address, 0, { replace: m }), 'EINVAL', 'munmap');
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
  'gv.MunmapTest.LastPageRoundUp'(t) {
    using m = mmap();
    const length = 2n ** 64n - BigInt(pageSize) + 1n;
    mustRefuse(() => sys.munmap(m.address, length, { replace: m }), 'EINVAL', 'munmap');
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
};

const mincore: Runs = {
  'gv.MincoreTest.DirtyAnonPagesAreResident'() {
    using m = mmap({ length: 10 * pageSize });
    m.write(0, Buffer.alloc(m.length, 1));
    const states = sys.mincore(m.address, m.length);
    assert.deepEqual(
      [...states].map((state) => state & 1),
      Array<number>(10).fill(1),
    );
  },
  'gv.MincoreTest.UnalignedAddressFails'() {
    using m = mmap();
    mustRefuse(() => sys.mincore(m.address + 1n, pageSize - 1), 'EINVAL', 'mincore');
  },
  'gv.MincoreTest.ZeroLengthSucceedsAndAllowsAnyVecBelowTaskSize'() {
    assert.equal(sys.mincore(0, 0).length, 0);
  },
  'gv.MincoreTest.InvalidLengthFails'() {
    using m = mmap();
    mustRefuse(() => sys.mincore(m.address, 2n ** 64n - 1n), 'ENOMEM', 'mincore');
  },
};

/** As the suite itself asks whether a page is locked: only then must it not be invalidated. */
function assertLocked(t: Tools, address: bigint, locked: boolean): void {
  const probe = () => sys.msync(address, pageSize, MS_ASYNC | MS_INVALIDATE);
  if (locked) mustRefuse(probe, 'EBUSY', 'msync');
  else succeeds(probe);
  assert.equal(isLocked(t, address), locked);
}

/** Root may lock what it likes; anybody else has no privilege to give up. */
const ordinary = process.getuid?.() === 0 ? { uid: 65534 } : {};
const kibibytes = pageSize / 1024;

/** In a child without privileges and with a limit: which of the calls are refused, and how. */
const inLimit = (t: Tools, limit: number, source: string): Promise<unknown> =>
  answer(
    t,
    `const anonymous = c.MAP_PRIVATE | c.MAP_ANONYMOUS;
     const map = (flags, length = page) => sys.mmap(0, length, c.PROT_READ | c.PROT_WRITE, anonymous | flags, -1, 0);
     const end = (call) => { try { call(); return 'done'; } catch ({ code, syscall }) { return code + ' ' + syscall; } };
     ${source}`,
    { ...ordinary, shell: `ulimit -l ${limit}` },
  );

const mlock: Runs = {
  'gv.MlockTest.Basic'(t) {
    using m = mmap();
    assertLocked(t, m.address, false);
    sys.mlock(m.address, pageSize);
    assertLocked(t, m.address, true);
  },
  'gv.MlockTest.MadviseDontneed'() {
    using m = mmap();
    sys.mlock(m.address, pageSize);
    mustRefuse(() => sys.madvise(m.address, pageSize, MADV_DONTNEED), 'EINVAL', 'madvise');
  },
  'gv.MlockTest.MsyncInvalidate'() {
    using m = mmap();
    sys.mlock(m.address, pageSize);
    for (const flags of [MS_ASYNC, MS_SYNC]) {
      mustRefuse(() => sys.msync(m.address, pageSize, flags | MS_INVALIDATE), 'EBUSY', 'msync');
    }
  },
  async 'gv.MlockTest.RlimitMemlockInsufficient'(t) {
    const found = await inLimit(
      t,
      kibibytes,
      `const m = map(0, 2 * page);
       const both = end(() => sys.mlock(m.address, 2 * page));
       console.log(JSON.stringify([both, end(() => sys.mlock(m.address, page))]));`,
    );
    assert.deepEqual(found, ['ENOMEM mlock', 'done']);
  },
  'gv.MunlockTest.Basic'(t) {
    using m = mmap();
    sys.mlock(m.address, pageSize);
    assertLocked(t, m.address, true);
    sys.munlock(m.address, pageSize);
    assertLocked(t, m.address, false);
  },
  'gv.MunlockTest.NotLocked'(t) {
    using m = mmap();
    sys.munlock(m.address, pageSize);
    assertLocked(t, m.address, false);
  },
  'gv.MapLockedTest.Basic'(t) {
    using m = mmap({ flags: 'PRIVATE ANONYMOUS LOCKED' });
    assertLocked(t, m.address, true);
    sys.munlock(m.address, pageSize);
    assertLocked(t, m.address, false);
  },
  async 'gv.MapLockedTest.RlimitMemlockZero'(t) {
    const source =
      'console.log(JSON.stringify([end(() => map(c.MAP_LOCKED)), end(() => map(0))]));';
    assert.deepEqual(await inLimit(t, 0, source), ['EPERM mmap', 'done']);
  },
  'gv.MremapLockedTest.Basic'(t) {
    using m = mmap({ flags: 'PRIVATE ANONYMOUS LOCKED' });
    using grown = sys.mremap(m.address, pageSize, 2 * pageSize, constants.MREMAP_MAYMOVE);
    assertLocked(t, grown.address, true);
    assertLocked(t, pageOf(grown, 1), true);
  },
  async 'gv.MremapLockedTest.RlimitMemlockInsufficient'(t) {
    const found = await inLimit(
      t,
      kibibytes,
      `const m = map(c.MAP_LOCKED);
       console.log(JSON.stringify([
         end(() => sys.mremap(m.address, page, 2 * page, c.MREMAP_MAYMOVE)),
         end(() => sys.mremap(m.address, page, page, c.MREMAP_MAYMOVE)),
       ]));`,
    );
    assert.deepEqual(found, ['EAGAIN mremap', 'done']);
  },
};

const HUGE = 2 * 2 ** 20;

/** `pages` huge pages of ones on a huge-page boundary. */
function huge(pages: number): { readonly whole: Mapping; readonly start: number } {
  const whole = mmap({ length: (pages + 1) * HUGE });
  const start = Number((BigInt(HUGE) - (whole.address % BigInt(HUGE))) % BigInt(HUGE));
  sys.madvise(whole.address, whole.length, constants.MADV_HUGEPAGE);
  whole.write(start, Buffer.alloc(pages * HUGE, 1));
  return { whole, start };
}

/** What goes, as [from, to) in bytes of so many huge pages. */
const SUBRANGES: readonly (readonly [pages: number, from: number, to: number])[] = [
  [1, 0, HUGE],
  [1, 0, HUGE / 2],
  [1, HUGE / 2, HUGE],
  [1, HUGE / 4, (3 * HUGE) / 4],
  [2, HUGE / 2, (3 * HUGE) / 2],
  [3, HUGE, 2 * HUGE],
  [3, HUGE / 2, (5 * HUGE) / 2],
  [3, 0, 3 * HUGE],
];

const madvise: Runs = {
  'gv.MadviseDontneedTest.ZerosPrivateAnonPage'() {
    using m = mmap();
    m.write(0, Buffer.alloc(pageSize, 1));
    sys.madvise(m.address, pageSize, MADV_DONTNEED);
    holds(m, 0);
  },
  'gv.MadviseDontneedTest.IgnoresPermissions'() {
    using m = mmap({ prot: '' });
    succeeds(() => sys.madvise(m.address, pageSize, MADV_DONTNEED));
  },
  'gv.MadviseDontneedHugePageSubrangeTest'() {
    for (const [pages, from, to] of SUBRANGES) {
      const { whole, start } = huge(pages);
      using m = whole;
      sys.madvise(m.address + BigInt(start + from), to - from, MADV_DONTNEED);
      holds(m, 1, { offset: start, length: from });
      holds(m, 0, { offset: start + from, length: to - from });
      holds(m, 1, { offset: start + to, length: pages * HUGE - to });
    }
  },
};

export const suite = suiteOf(
  { ...msync, ...munmap, ...mincore, ...mlock, ...madvise },
  {
    inexpressible: {
      ...all('mlockall and munlockall are not among the calls', [
        'gv.MlockallTest.Future',
        'gv.MunlockallTest.Basic',
      ]),
      ...all('mlock2 is not among the calls', [
        'gv.Mlock2Test.MlockOnfault',
        'gv.Mlock2Test.UnknownFlags',
      ]),
    },
  },
);
