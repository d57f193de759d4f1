// gVisor, test/syscalls/linux/mmap.cc: devices, addresses, flags, protections.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants as fs, readSync } from 'node:fs';
import {
  EXCLUSIVE,
  type Runs,
  SHARINGS,
  alone,
  answer,
  cannotRead,
  freeAddress,
  holds,
  isLocked,
  mmap,
  modes,
  opened,
  prot,
  suiteOf,
} from '../kit.js';
import { mustFault, mustRefuse, pageSize, sys } from '../tools.js';

const HINT = 0x30000000;
const zero = () => opened('/dev/zero', 'r+');

const devices: Runs = {
  'gv.MMapTest.MapPipe'(t) {
    const path = t.scratch('pipe');
    execFileSync('mkfifo', [path]);
    using readEnd = opened(path, fs.O_RDONLY | fs.O_NONBLOCK);
    using writeEnd = opened(path, fs.O_WRONLY | fs.O_NONBLOCK);
    const map = (fd: number) => () => mmap({ prot: 'r', flags: 'PRIVATE', fd });
    mustRefuse(map(readEnd.fd), 'ENODEV', 'mmap');
    mustRefuse(map(writeEnd.fd), 'EACCES', 'mmap');
  },
  'gv.MMapTest.MapDevZeroShared'(t) {
    using file = zero();
    using m = mmap({ flags: 'SHARED', fd: file.fd });
    assert.deepEqual(modes(t, m.address, 1), ['rw-s']);
    holds(m, 0);
  },
  'gv.MMapTest.MapDevZeroPrivate'(t) {
    using file = zero();
    using m = mmap({ flags: 'PRIVATE', fd: file.fd });
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    holds(m, 0);
  },
  'gv.MMapTest.MapDevZeroNoPersistence'() {
    using one = zero();
    using other = zero();
    using first = mmap({ flags: 'SHARED', fd: one.fd });
    using second = mmap({ flags: 'SHARED', fd: other.fd });
    first.write(0, Buffer.alloc(pageSize, 0xff));
    holds(second, 0);
    holds(first, 0xff);
  },
  'gv.MMapTest.MapDevZeroSharedFdNoPersistence'() {
    using file = zero();
    using first = mmap({ flags: 'SHARED', fd: file.fd });
    using second = mmap({ flags: 'SHARED', fd: file.fd });
    first.write(0, Buffer.alloc(pageSize, 0xff));
    holds(second, 0);
    holds(first, 0xff);
  },
  // A store through a pointer is SIGSEGV in C; there is no pointer left to store through.
  'gv.MMapTest.MapDevZeroSegfaultAfterUnmap'(t) {
    using file = zero();
    const m = mmap({ flags: 'SHARED', fd: file.fd });
    const { address } = m;
    m.unmap();
    assert.deepEqual(modes(t, address, 1), ['']);
    using viewed = mmap({ flags: 'SHARED', fd: file.fd });
    const { buffer } = viewed;
    buffer[0] = 1;
    viewed.unmap();
    buffer[0] = 2;
    assert.deepEqual([buffer.length, buffer[0]], [0, undefined]);
  },
  'gv.MMapTest.MapDevZeroUnaligned'(t) {
    using file = zero();
    for (const flags of SHARINGS) {
      using m = mmap({ length: pageSize * 1.5, flags, fd: file.fd });
      assert.equal(m.length, pageSize * 1.5);
      assert.ok(!modes(t, m.address, 2).includes(''));
      holds(m, 0);
    }
  },
  'gv.MMapTest.MapDirectory'(t) {
    using folder = opened(t.scratch('..'), 'r');
    mustRefuse(() => mmap({ prot: 'r', flags: 'PRIVATE', fd: folder.fd }), 'ENODEV', 'mmap');
  },
  'gv.MMapTest.BadFd'() {
    mustRefuse(() => mmap({ prot: 'r', flags: 'PRIVATE', fd: 999 }), 'EBADF', 'mmap');
  },
};

const addresses: Runs = {
  'gv.MMapTest.MapAnything'(t) {
    using m = mmap({ prot: '' });
    assert.deepEqual(modes(t, m.address, 1), ['---p']);
  },
  'gv.MMapTest.HintAddress'(t) {
    using m = mmap({ at: HINT });
    assert.notDeepEqual(modes(t, m.address, 1), ['']);
  },
  'gv.MMapTest.MapFixed'() {
    // Reserved first, for MAP_FIXED goes only over what one owns and names.
    using reserved = alone(1, { prot: '' });
    const { address } = reserved;
    using m = mmap({ at: address, flags: 'PRIVATE ANONYMOUS FIXED', replace: reserved });
    assert.equal(m.address, address);
    assert.equal(reserved.state, 'replaced');
    holds(m, 0);
  },
  'gv.MMapTest.MapFixedNoReplaceEmpty'(t) {
    const at = freeAddress(1);
    using m = mmap({ at, flags: EXCLUSIVE });
    assert.equal(m.address, at);
    assert.deepEqual(modes(t, at, 1), ['rw-p']);
  },
  'gv.MMapTest.MapFixedNoReplaceExisting'() {
    using m = mmap();
    m.write(0, Buffer.alloc(pageSize, 42));
    mustRefuse(() => mmap({ at: m.address, flags: EXCLUSIVE }), 'EEXIST', 'mmap');
    holds(m, 42);
  },
  'gv.MMapTest.MapFixedNoReplaceWithMapFixed'() {
    using m = mmap();
    m.write(0, Buffer.alloc(pageSize, 42));
    const both = { at: m.address, flags: `${EXCLUSIVE} FIXED`, replace: m };
    mustRefuse(() => mmap(both), 'EEXIST', 'mmap');
    holds(m, 42);
  },
  'gv.MMapTest.FixedAlignment'() {
    const fixed = { at: HINT + 1, flags: 'PRIVATE ANONYMOUS FIXED' };
    mustRefuse(() => mmap(fixed), 'EINVAL', 'mmap');
    mustRefuse(() => mmap({ at: HINT + 1, flags: EXCLUSIVE }), 'EINVAL', 'mmap');
  },
  'gv.MMapTest.NonFixedAlignment'(t) {
    using m = mmap({ at: HINT + 1 });
    assert.equal(m.address % BigInt(pageSize), 0n);
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
};

const flags: Runs = {
  'gv.MMapTest.MapStack'(t) {
    using m = mmap({ flags: 'PRIVATE ANONYMOUS STACK' });
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
  'gv.MMapTest.MapLocked'(t) {
    using m = mmap({ prot: '', flags: 'PRIVATE ANONYMOUS LOCKED' });
    assert.ok(isLocked(t, m.address));
  },
  'gv.MMapTest.NotPrivateOrShared'() {
    mustRefuse(() => mmap({ flags: 'ANONYMOUS' }), 'EINVAL', 'mmap');
  },
  'gv.MMapTest.NoReserve'(t) {
    const length = 10 * 2 ** 20;
    using m = mmap({ length, flags: 'PRIVATE ANONYMOUS NORESERVE' });
    assert.match(t.smaps(m.address)['VmFlags'] ?? '', /\bnr\b/);
    for (let at = 0; at < length; at += pageSize) {
      holds(m, 0, { offset: at, length: pageSize });
      m.write(at, Uint8Array.of(1));
    }
  },
  async 'gv.MMapTest.NoExceedLimitAS'(t) {
    // The limit is set from inside: how much Node has reserved is not known before it runs.
    const found = await answer(
      t,
      `const { execFileSync } = require('node:child_process');
       const MiB = 2 ** 20;
       const map = (length) => sys.mmap(0, length, c.PROT_READ, c.MAP_PRIVATE | c.MAP_ANONYMOUS, -1, 0);
       const self = ['--pid', String(process.pid)];
       const size = () =>
         Number(/VmSize:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
       const limit = () => execFileSync('prlimit', [...self, '--as=' + (size() + 220 * MiB) + ':']);
       // Again: what the first call itself needed is not to count.
       limit();
       limit();
       const m = map(200 * MiB);
       const { length } = m;
       let refused;
       try { map(200 * MiB); } catch ({ code, syscall }) { refused = { code, syscall }; }
       console.log(JSON.stringify({ length, refused }));
       m.unmap();`,
    );
    const refused = { code: 'ENOMEM', syscall: 'mmap' };
    assert.deepEqual(found, { length: 200 * 2 ** 20, refused });
  },
};

const protections: Runs = {
  'gv.MMapTest.ProtWrite'() {
    using m = mmap();
    m.write(0, Buffer.alloc(pageSize, 42));
    holds(m, 42);
  },
  'gv.MMapTest.ProtectProtWrite'(t) {
    using m = mmap({ prot: '' });
    sys.mprotect(m.address, pageSize, prot('rw'));
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    m.write(0, Buffer.alloc(pageSize, 42));
    holds(m, 42);
  },
  // What is SIGSEGV to the processor is EFAULT to the kernel's own copy.
  'gv.MMapTest.ProtNoneDeath'() {
    using m = mmap({ prot: '' });
    cannotRead(m);
  },
  'gv.MMapTest.MprotectReadOnlyDeath'(t) {
    using m = mmap();
    const { buffer } = m;
    buffer[0] = 42;
    sys.mprotect(m.address, pageSize, prot('r'));
    // read(2) stores into the page on our behalf.
    using file = opened(t.file('x'), 'r');
    mustRefuse(() => readSync(file.fd, buffer, 0, 1, 0), 'EFAULT', 'read');
    assert.equal(buffer[0], 42);
    mustRefuse(() => m.write(0, 'x'), 'ERR_MEMMAP_READ_ONLY');
    // SIGSEGV in C; here what was stored is thrown away.
    const store = (bytes: Buffer) => (bytes[0] = 43);
    mustFault(m, store, { kind: 'read-only', signal: 'SIGSEGV', offset: 0 });
    assert.equal(buffer[0], 42);
  },
  'gv.MMapTest.MprotectNotPageAligned'() {
    using m = mmap();
    const call = () => sys.mprotect(m.address + 1n, pageSize - 1, prot('r'));
    mustRefuse(call, 'EINVAL', 'mprotect');
  },
  'gv.MMapTest.MprotectHugeLength'(t) {
    using m = mmap();
    const call = () => sys.mprotect(m.address, 2n ** 64n - 1n, prot('r'));
    mustRefuse(call, 'ENOMEM', 'mprotect');
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
  'gv.ReadWriteSharedPrivate/MMapFileParamTest.MapPopulate'(t) {
    using file = opened(t.file(Buffer.alloc(pageSize, 7)), 'r+');
    for (const letters of ['r', 'w', 'rw']) {
      for (const sharing of SHARINGS) {
        using m = mmap({ prot: letters, flags: `${sharing} POPULATE`, fd: file.fd });
        assert.equal(t.smaps(m.address)['Rss'], `${pageSize / 1024} kB`, `${letters} ${sharing}`);
      }
    }
  },
};

export const suite = suiteOf(
  { ...devices, ...addresses, ...flags, ...protections },
  {
    inexpressible: {
      'gv.MMapTest.ProtWriteOnlyReadable':
        'that the processor reads what PROT_WRITE alone allows: memmap gives no view of such pages',
    },
  },
);
