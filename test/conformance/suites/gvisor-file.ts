// gVisor, test/syscalls/linux/mmap.cc, allocate.cc and truncate.cc: what a mapping of a file shows.
import assert from 'node:assert/strict';
import {
  ftruncateSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {
  type Mapping,
  constants,
  memmap,
  mustFault,
  mustRefuse,
  pageSize,
  sys,
  textOf,
} from '../tools.js';
import {
  type Call,
  type Runs,
  SHARINGS,
  cannotRead,
  holds,
  mmap,
  opened,
  suiteOf,
} from '../kit.js';

const TEXT = 'all the pages of this file have been read';
const PROTECTIONS = ['r', 'w', 'rw'] as const;
const half = pageSize / 2;

const page = (value: string | number): Buffer => Buffer.alloc(pageSize, value);

/** Where a program in C gets the signal. */
const truncated = { kind: 'truncated', signal: 'SIGBUS' } as const;

/** A shared mapping of a file opened for both. */
const shared = (fd: number, call: Call = {}): Mapping => mmap({ flags: 'SHARED', fd, ...call });

const offsets: Runs = {
  'gv.MMapFileTest.MapOffset'(t) {
    using file = opened(t.file(Buffer.concat([page(0), Buffer.from(TEXT)])), 'r');
    using m = mmap({ prot: 'r', flags: 'PRIVATE', fd: file.fd, offset: pageSize });
    assert.equal(textOf(m, 0, TEXT.length), TEXT);
  },
  'gv.MMapFileTest.MapOffsetBeyondEnd'(t) {
    using file = opened(t.file(TEXT), 'r+');
    using m = mmap({ flags: 'PRIVATE', fd: file.fd, offset: 10 * pageSize });
    cannotRead(m);
    mustFault(m, (bytes) => bytes[0], { ...truncated, offset: 0 });
  },
  'gv.MMapFileTest.MapSecondToLastPositivePage'(t) {
    const path = t.shm();
    writeFileSync(path, TEXT);
    using file = opened(path, 'r');
    const offset = 2n ** 63n - 2n * BigInt(pageSize);
    using m = mmap({ prot: 'r', flags: 'PRIVATE', fd: file.fd, offset });
    assert.equal(m.fileOffset, offset);
    assert.equal(BigInt(`0x${t.smaps(m.address)['offset'] ?? ''}`), offset);
  },
  'gv.MMapFileTest.MapFirstNegativePage'(t) {
    using file = opened(t.file(TEXT), 'r');
    const call = () => mmap({ prot: 'r', flags: 'PRIVATE', fd: file.fd, offset: 2n ** 63n });
    mustRefuse(call, 'EOVERFLOW', 'mmap');
  },
  'gv.MMapFileTest.MapSecondToLastNegativePage'(t) {
    using file = opened(t.file(TEXT), 'r');
    const offset = 2n ** 64n - 2n * BigInt(pageSize);
    const call = () => mmap({ prot: 'r', flags: 'PRIVATE', fd: file.fd, offset });
    mustRefuse(call, 'EOVERFLOW', 'mmap');
  },
};

const descriptors: Runs = {
  'gv.MMapFileTest.WriteSharedOnReadOnlyFd'(t) {
    using file = opened(t.file(TEXT), 'r');
    mustRefuse(() => shared(file.fd), 'EACCES', 'mmap');
  },
  'gv.ReadWriteSharedPrivate/MMapFileParamTest.WriteOnlyFd'(t) {
    using file = opened(t.file(TEXT), 'a');
    for (const letters of PROTECTIONS) {
      for (const flags of SHARINGS) {
        mustRefuse(() => mmap({ prot: letters, flags, fd: file.fd }), 'EACCES', 'mmap');
      }
    }
  },
  'gv.ReadWriteSharedPrivate/MMapFileParamTest.NoSigBusOnPagesBeforeEOF'(t) {
    using file = opened(t.file(Buffer.alloc(pageSize + 1, 7)), 'r+');
    for (const letters of ['r', 'rw']) {
      for (const flags of SHARINGS) {
        using m = mmap({ length: 2 * pageSize, prot: letters, flags, fd: file.fd });
        assert.deepEqual([m.buffer[pageSize], m.buffer[2 * pageSize - 1]], [7, 0]);
        if (letters === 'rw') m.buffer[pageSize] = 7;
      }
    }
  },
  'gv.MMapFileTest.ReadingWritableSharedFilePageSucceeds'(t) {
    using file = opened(t.file(page(7)), 'r+');
    using m = shared(file.fd);
    assert.equal(m.buffer[0], 7);
  },
};

const contents: Runs = {
  'gv.MMapFileTest.ReadSharedConsistentWithOverwrite'(t) {
    using file = opened(t.file(Buffer.concat([page('a'), page('b')])), 'r+');
    using m = shared(file.fd, { length: 2 * pageSize, prot: 'r' });
    const [first, second] = [m.read(0, pageSize), m.read(pageSize, pageSize)];
    writeSync(file.fd, Buffer.concat([second, first]), 0, 2 * pageSize, 0);
    holds(m, 'b', { length: pageSize });
    holds(m, 'a', { offset: pageSize });
  },
  'gv.MMapFileTest.ReadSharedConsistentWithWriteAndFile'(t) {
    const path = t.file(Buffer.alloc(2 * pageSize, 'x'));
    using file = opened(path, 'r+');
    using m = shared(file.fd, { prot: 'r' });
    holds(m, 'x');
    writeSync(file.fd, Buffer.concat([page('a'), page('b')]), 0, 2 * pageSize, 0);
    holds(m, 'a');
    assert.ok(readFileSync(path).equals(Buffer.concat([page('a'), page('b')])));
  },
  'gv.MMapFileTest.WriteShared'(t) {
    const path = t.file(page(0));
    using file = opened(path, 'r+');
    const m = shared(file.fd);
    m.write(0, TEXT);
    m.unmap();
    assert.equal(readFileSync(path, 'latin1').slice(0, TEXT.length), TEXT);
  },
  'gv.MMapFileTest.WritePrivate'(t) {
    const path = t.file(page('a'));
    using file = opened(path, 'r+');
    const m = mmap({ flags: 'PRIVATE', fd: file.fd });
    m.write(0, TEXT);
    assert.equal(textOf(m, 0, TEXT.length), TEXT);
    m.unmap();
    assert.ok(readFileSync(path).equals(page('a')));
  },
  'gv.MMapFileTest.Bug38498194'(t) {
    const length = 4 * 2 ** 20;
    const path = t.file('');
    truncateSync(path, length);
    using file = opened(path, 'r+');
    const m = shared(file.fd, { length });
    m.buffer.fill('a');
    m.unmap();
    assert.ok(readFileSync(path).equals(Buffer.alloc(length, 'a')));
  },
  'gv.MMapFileTest.SelfWrite'(t) {
    const path = t.file(page('a'));
    using file = opened(path, 'r+');
    using m = shared(file.fd);
    assert.equal(writeSync(file.fd, m.buffer, 0, pageSize, 0), pageSize);
    assert.ok(readFileSync(path).equals(page('a')));
  },
};

/** The file loses the second half of its page; the mapping shows zeros there at once. */
function truncatesPartOfPage(path: string, store: boolean): void {
  using file = opened(path, 'r+');
  using m = shared(file.fd, store ? {} : { prot: 'r' });
  if (store) m.buffer.fill('b');
  holds(m, store ? 'b' : 'a');
  ftruncateSync(file.fd, half);
  holds(m, store ? 'b' : 'a', { length: half });
  holds(m, 0, { offset: half });
}

const truncation: Runs = {
  'gv.MMapFileTest.WriteSharedTruncateDownThenUp'(t) {
    const path = t.file(page('a'));
    using file = opened(path, 'r+');
    using m = shared(file.fd);
    m.buffer.fill('b');
    ftruncateSync(file.fd, 0);
    ftruncateSync(file.fd, pageSize);
    holds(m, 0);
    assert.ok(readFileSync(path).equals(page(0)));
  },
  'gv.MMapFileTest.ReadSharedTruncateSIGBUS'(t) {
    using file = opened(t.file(page('a')), 'r+');
    using m = shared(file.fd, { prot: 'r' });
    holds(m, 'a');
    const view = m.buffer;
    ftruncateSync(file.fd, 0);
    cannotRead(m);
    // The same touch by a system call that is given the Buffer.
    using other = opened(t.scratch(), 'w');
    mustRefuse(() => writeSync(other.fd, view, 0, 1), 'EFAULT', 'write');
    mustFault(m, (bytes) => bytes[0], { ...truncated, offset: 0 });
  },
  'gv.MMapFileTest.ReadSharedTruncatePartialPage'(t) {
    truncatesPartOfPage(t.file(page('a')), false);
  },
  'gv.MMapFileTest.WriteSharedTruncatePartialPage'(t) {
    truncatesPartOfPage(t.file(page('a')), true);
  },
  'gv.FixtureTruncateTest.FtruncateShrinkGrow'(t) {
    using file = opened(t.file(page('a')), 'r+');
    using m = shared(file.fd);
    ftruncateSync(file.fd, half);
    ftruncateSync(file.fd, pageSize);
    holds(m, 'a', { length: half });
    holds(m, 0, { offset: half });
  },
  'gv.AllocateTest.Fallocate'(t) {
    const path = t.file('');
    for (const size of [1, 2 * pageSize, pageSize]) {
      memmap.mapFileSync(path, { access: 'read-write', size }).unmap();
      const { size: now, blocks } = statSync(path);
      assert.equal(now, Math.max(size, size === pageSize ? 2 * pageSize : 0));
      assert.ok(blocks * 512 >= now, 'the blocks are really there');
    }
  },
};

const advice: Runs = {
  'gv.MadviseDontneedTest.DoesNotModifySharedFilePage'(t) {
    using file = opened(t.file(page(7)), 'r+');
    using m = shared(file.fd);
    holds(m, 7);
    sys.madvise(m.address, pageSize, constants.MADV_DONTNEED);
    holds(m, 7);
  },
};

export const suite = suiteOf({
  ...offsets,
  ...descriptors,
  ...contents,
  ...truncation,
  ...advice,
});
