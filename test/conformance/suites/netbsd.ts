// NetBSD's tests of libc and sys, in the tree of FreeBSD 2020.
import assert from 'node:assert/strict';
import { ftruncateSync, statSync, writeSync } from 'node:fs';
import type { Suite, Tools } from '../case.js';
import {
  anonymous,
  casesOf,
  constants,
  memmap,
  mustFault,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_NONE, PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = constants;
const { MAP_LOCKED, MS_SYNC, MS_INVALIDATE } = constants;

const isLocked = (tools: Tools, address: bigint): boolean =>
  (tools.smaps(address)['VmFlags'] ?? '').split(' ').includes('lo');

/** What write(2) puts into the file is in the map after msync, as it was before. */
const showsNewBytes = (flags: number) => (tools: Tools) => {
  using file = opened(tools.file(Buffer.alloc(pageSize, 'a')));
  using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
  assert.equal(textOf(mapping, 0, 4), 'aaaa');
  writeSync(file.fd, 'new bytes', 0);
  sys.msync(mapping.address, pageSize, flags);
  assert.equal(textOf(mapping, 0, 10), 'new bytesa');
};

const cases = casesOf({
  'netbsd.t_mmap.mmap_err.badf'() {
    mustRefuse(() => sys.mmap(0, 3, PROT_READ, MAP_SHARED, -1, 0), 'EBADF', 'mmap');
  },

  'netbsd.t_mmap.mmap_prot_2'(tools) {
    using mapping = anonymous(pageSize, PROT_NONE);
    assert.equal(tools.smaps(mapping.address)['perms'], '---p');
    mustRefuse(() => mapping.read(0, 1), 'EFAULT', 'process_vm_readv');
    mustRefuse(() => mapping.buffer, 'ERR_MEMMAP_UNSUPPORTED');
  },

  'netbsd.t_mmap.mmap_truncate'(tools) {
    const path = tools.file(Buffer.alloc(pageSize, 'x'));
    using file = opened(path);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    mapping.write(0, Buffer.alloc(pageSize, 'y'));
    for (const divisor of [Infinity, 8, 4, 2, 12, 64]) {
      const length = Math.floor(pageSize / divisor);
      ftruncateSync(file.fd, length);
      assert.equal(statSync(path).size, length);
    }
  },

  // SIGBUS, not SIGSEGV, in C.
  'netbsd.t_mmap.mmap_truncate_signal'(tools) {
    using file = opened(tools.file(Buffer.alloc(pageSize, 'x')));
    using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_PRIVATE, file.fd, 0);
    ftruncateSync(file.fd, 0);
    const fault = { kind: 'truncated', signal: 'SIGBUS', offset: 0 } as const;
    assert.equal(
      mustFault(mapping, (bytes) => bytes[0], fault),
      0,
    );
  },

  'netbsd.t_msync.invalidate': showsNewBytes(MS_INVALIDATE),
  'netbsd.t_msync.sync': showsNewBytes(MS_SYNC),

  // The vector is memmap's own, so no call can give a bad one.
  'netbsd.t_mincore.err'() {
    mustRefuse(() => sys.mincore(0, pageSize), 'ENOMEM', 'mincore');
  },

  'netbsd.t_mprotect.err'() {
    mustRefuse(() => sys.mprotect(2n ** 64n - 1n, 1, PROT_READ), 'EINVAL', 'mprotect');
  },

  // SIGSEGV in C.
  'netbsd.t_mprotect.write'() {
    using mapping = anonymous(pageSize);
    mapping.buffer[0] = 1;
    sys.mprotect(mapping.address, pageSize, PROT_READ);
    const fault = { kind: 'read-only', signal: 'SIGSEGV', offset: 0 } as const;
    mustFault(mapping, (bytes) => (bytes[0] = 2), fault);
    assert.equal(mapping.buffer[0], 1);
  },

  'netbsd.t_mlock.clip'(tools) {
    const pages = 8;
    using mapping = anonymous(pages * pageSize);
    for (let left = pages; left > 0; left--) {
      sys.mlock(mapping.address, left * pageSize);
      sys.munlock(mapping.address, left * pageSize);
      assert.equal(isLocked(tools, mapping.address), false);
    }
  },

  'netbsd.t_mlock.mmap'(tools) {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    using wired = sys.mmap(0, pageSize, readWrite, flags | MAP_LOCKED, -1, 0);
    assert.equal(isLocked(tools, wired.address), true);
    sys.mlock(wired.address, pageSize);
    using none = anonymous(pageSize, PROT_NONE);
    const { address } = none;
    const fixed = flags | MAP_FIXED;
    using usable = sys.mmap(address, pageSize, readWrite, fixed, -1, 0, { replace: none });
    assert.equal(usable.address, address);
    sys.mlock(address, pageSize);
    assert.equal(isLocked(tools, address), true);
  },

  'netbsd.t_mlock.nested'(tools) {
    using mapping = anonymous(pageSize);
    for (let round = 0; round < 100; round++) sys.mlock(mapping.address, pageSize);
    sys.munlock(mapping.address, pageSize);
    assert.equal(isLocked(tools, mapping.address), false);
  },

  'netbsd.t_mlock.unaligned'(tools) {
    using mapping = anonymous(pageSize);
    sys.mlock(mapping.address + 1n, 1);
    assert.equal(isLocked(tools, mapping.address), true);
    assert.equal(memmap.registry.at(mapping.address), mapping);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
