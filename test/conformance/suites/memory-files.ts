// Memory without a name: what gVisor, LTP, glibc and Asterinas assert of memfd_create and its seals.
import assert from 'node:assert/strict';
import {
  closeSync,
  constants as fsConstants,
  ftruncateSync,
  openSync,
  readSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { answer } from '../kit.js';
import type { Suite } from '../case.js';
import {
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
} from '../tools.js';

type Seal = memmap.Seal;

const memory = (size = pageSize, ...seals: readonly Seal[]): memmap.SharedMemory => {
  const shm = memmap.SharedMemory.create(null, { size });
  if (seals.length > 0) shm.seal(...seals);
  return shm;
};

const refuses = (call: () => unknown, code: string): void => assert.throws(call, { code });
const linkOf = (shm: memmap.SharedMemory): string => `/proc/self/fd/${String(shm.fd)}`;

/** Growing it fails by every way. */
function cannotGrow(shm: memmap.SharedMemory): void {
  const { size, fd } = shm;
  refuses(() => ftruncateSync(fd, size + 1), 'EPERM');
  refuses(() => writeSync(fd, 'x', size), 'EPERM');
  refuses(() => memmap.mapFileSync(fd, { access: 'read-write', size: 2 * size }), 'EPERM');
  assert.equal(shm.size, size);
}

function cannotShrink(shm: memmap.SharedMemory): void {
  const { size, fd } = shm;
  refuses(() => ftruncateSync(fd, size - 1), 'EPERM');
  refuses(() => openSync(linkOf(shm), 'w+'), 'EPERM');
  assert.equal(shm.size, size);
}

const cases = casesOf({
  'gv.MemfdTest.Name'() {
    using shm = memory();
    assert.match(readlinkSync(linkOf(shm)), /^\/memfd:memmap/);
  },

  'gv.MemfdTest.WriteRead'() {
    using shm = memory();
    writeSync(shm.fd, 'same bytes', 10);
    const read = Buffer.alloc(10);
    readSync(shm.fd, read, 0, 10, 10);
    assert.equal(read.toString(), 'same bytes');
  },

  'gv.MemfdTest.Mmap'() {
    using shm = memory(pageSize);
    using first = shm.map();
    ftruncateSync(shm.fd, 2 * pageSize);
    first.resize(2 * pageSize);
    first.write(pageSize, 'stored');
    using second = shm.map();
    const read = Buffer.alloc(6);
    readSync(shm.fd, read, 0, 6, pageSize);
    assert.deepEqual([textOf(second, pageSize, 6), read.toString()], ['stored', 'stored']);
  },

  'gv.MemfdTest.DuplicateFDsShareContent'() {
    using shm = memory();
    using other = memmap.SharedMemory.fromFd(shm.fd);
    using ours = shm.map();
    using theirs = other.map();
    ours.write(0, 'same');
    assert.equal(textOf(theirs, 0, 4), 'same');
  },

  'gv.MemfdTest.CanOpenFromProcfs'() {
    using shm = memory();
    writeSync(shm.fd, 'same', 0);
    using mapping = memmap.mapFileSync(linkOf(shm));
    assert.equal(textOf(mapping, 0, 4), 'same');
  },

  async 'gv.MemfdTest.OtherProcessCanOpenFromProcfs'(tools) {
    using shm = memory();
    using mapping = shm.map();
    mapping.write(0, 'ours');
    const seen = await answer(
      tools,
      `const m = memmap.SharedMemory.fromProcess(${String(process.pid)}, ${String(shm.fd)}).map();
       const seen = m.read(0, 4).toString();
       m.write(4, 'theirs');
       console.log(JSON.stringify(seen));`,
    );
    assert.deepEqual([seen, textOf(mapping, 4, 6)], ['ours', 'theirs']);
  },

  'gv.MemfdTest.SealGrowWithWrite'() {
    using shm = memory(100, 'grow');
    cannotGrow(shm);
    assert.equal(writeSync(shm.fd, 'x', 99), 1);
  },

  'gv.MemfdTest.SealGrowPartialWriteTruncatedSamePage'() {
    using shm = memory(100, 'grow');
    refuses(() => writeSync(shm.fd, 'xx', 99), 'EPERM');
    assert.equal(writeSync(shm.fd, 'x', 99), 1);
  },

  'gv.MemfdTest.SealShrink'() {
    using shm = memory(100);
    cannotShrink(shm);
  },

  'gv.MemfdTest.SealWriteWithWrite'() {
    using shm = memory(100, 'write');
    refuses(() => writeSync(shm.fd, 'x'), 'EPERM');
    refuses(() => writeSync(shm.fd, 'x', 5), 'EPERM');
    assert.equal(writeSync(shm.fd, Buffer.alloc(0), 0, 0, 0), 0);
  },

  'gv.MemfdTest.NoPartialSealApplicationWhenWriteSealRejected'() {
    using shm = memory();
    using mapping = shm.map();
    mustRefuse(() => shm.seal('write', 'grow'), 'EBUSY', 'fcntl');
    assert.equal(mapping.access, 'read-write');
    assert.deepEqual(
      shm.seals.filter((seal) => seal !== 'exec'),
      ['shrink'],
    );
  },

  'gv.MemfdTest.SealsAreInodeLevelProperties'() {
    using shm = memory();
    using copy = memmap.SharedMemory.fromFd(shm.fd);
    using again = memmap.SharedMemory.fromProcess(process.pid, shm.fd);
    copy.seal('grow', 'write');
    for (const each of [shm, copy, again]) {
      assert.deepEqual(each.seals, copy.seals);
      refuses(() => ftruncateSync(each.fd, 2 * pageSize), 'EPERM');
      refuses(() => writeSync(each.fd, 'x', 0), 'EPERM');
    }
  },

  'gv.MemfdTest.MemfdMustBeWritableToModifySeals'() {
    using shm = memory();
    using reader = memmap.SharedMemory.fromProcess(process.pid, shm.fd, { access: 'read' });
    mustRefuse(() => reader.seal('grow'), 'EPERM', 'fcntl');
  },

  'ltp.memfd01.write'() {
    using shm = memory(100, 'write');
    refuses(() => writeSync(shm.fd, 'x', 0), 'EPERM');
    mustRefuse(() => shm.map(), 'EPERM', 'mmap');
    {
      using copy = shm.map({ access: 'copy-on-write' });
      copy.write(0, 'private');
    }
    using reader = shm.map({ access: 'read' });
    mustRefuse(() => reader.protect('read-write'), 'EACCES', 'mprotect');
    // Longer only: it is always sealed against becoming shorter.
    ftruncateSync(shm.fd, 200);
  },

  'ltp.memfd01.shrink'() {
    using shm = memory(100);
    cannotShrink(shm);
    ftruncateSync(shm.fd, 200);
    assert.equal(shm.size, 200);
  },

  'ltp.memfd01.grow'() {
    using shm = memory(100, 'grow');
    cannotGrow(shm);
  },

  'ltp.memfd01.resize'() {
    using shm = memory(100, 'grow', 'shrink');
    cannotGrow(shm);
    cannotShrink(shm);
  },

  'ltp.memfd01.open'() {
    using shm = memory(pageSize);
    using again = memmap.SharedMemory.fromProcess(process.pid, shm.fd);
    again.seal('grow');
    assert.ok(shm.seals.includes('grow'));
    using reader = memmap.SharedMemory.fromProcess(process.pid, shm.fd, { access: 'read' });
    mustRefuse(() => reader.seal('write'), 'EPERM', 'fcntl');
  },

  'aster.memfd_access_err'() {
    using shm = memory();
    const pathOnly = 0o10000000;
    using path = opened(linkOf(shm), pathOnly);
    const map = (fd: number) => sys.mmap(0, pageSize, readWrite, constants.MAP_SHARED, fd, 0);
    mustRefuse(() => map(path.fd), 'EBADF', 'mmap');
    refuses(() => ftruncateSync(path.fd, 1), 'EBADF');
    using reader = opened(linkOf(shm), 'r');
    mustRefuse(() => map(reader.fd), 'EACCES', 'mmap');
    refuses(() => ftruncateSync(reader.fd, 1), 'EINVAL');
    refuses(() => writeSync(reader.fd, 'x'), 'EBADF');
    const writer = openSync(linkOf(shm), fsConstants.O_WRONLY);
    refuses(() => readSync(writer, Buffer.alloc(1)), 'EBADF');
    mustRefuse(() => memmap.SharedMemory.fromFd(writer), 'ERR_MEMMAP_ARGUMENT');
    mustRefuse(() => map(writer), 'EACCES', 'mmap');
    closeSync(writer);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {
    ...because(
      'create(null) always allows seals, and seals against shrinking',
      'gv.MemfdTest.SealingDisabledByDefault',
      'gv.MemfdTest.SealGrowWithTruncate',
      'ltp.memfd01.noseal',
    ),
    ...because(
      "the name and the flags of a memfd are not the caller's",
      'ltp.memfd02',
      'ltp.memfd04',
      'glibc.tst-memfd_create',
      'aster.memfd_create.name_too_long',
    ),
  },
};
