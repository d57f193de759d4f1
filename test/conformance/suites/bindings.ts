// The wrappers of other languages: mmap-go, rustix, nix, Bun, OpenJDK.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { type Runs, agrees, holds, mmap, modes, opened, prot, succeeds, suiteOf } from '../kit.js';
import { constants, memmap, mustRefuse, sys, textOf } from '../tools.js';

const { mapAnonymous, mapFileSync } = memmap;
const { MADV_DONTNEED, MADV_NORMAL, MREMAP_DONTUNMAP, MREMAP_MAYMOVE, MS_ASYNC, MS_SYNC } =
  constants;

const DIGITS = '0123456789ABCDEF';

const go: Runs = {
  'go.TestProtFlagsAndErr'(t) {
    using file = opened(t.file(DIGITS), 'r');
    mustRefuse(() => mapFileSync(file.fd, { access: 'read-write' }), 'EACCES', 'mmap');
  },
  'go.TestUnmap'(t) {
    const m = mapFileSync(t.file(DIGITS));
    const { address } = m;
    m.unmap();
    assert.deepEqual(modes(t, address, 1), ['']);
  },
  'go.TestReadWrite'(t) {
    const path = t.file(DIGITS);
    using m = mapFileSync(path, { access: 'read-write' });
    assert.equal(m.buffer.toString(), DIGITS);
    m.buffer[9] = 'X'.charCodeAt(0);
    m.flushSync();
    assert.equal(readFileSync(path, 'latin1'), '012345678XABCDEF');
  },
  'go.TestFlags'(t) {
    const path = t.file(DIGITS);
    using m = mapFileSync(path, { access: 'copy-on-write' });
    m.buffer[9] = 'X'.charCodeAt(0);
    m.flushSync();
    assert.equal(textOf(m), '012345678XABCDEF');
    assert.equal(readFileSync(path, 'latin1'), DIGITS);
  },
  'go.TestNonZeroOffset'(t) {
    const half = 65536;
    using file = opened(t.file(Buffer.alloc(2 * half, 3)), 'r');
    const call = { length: half, prot: 'r', flags: 'SHARED', fd: file.fd };
    using first = mmap(call);
    using second = mmap({ ...call, offset: half });
    holds(first, 3);
    holds(second, 3);
    mustRefuse(() => mmap({ ...call, offset: 1 }), 'EINVAL', 'mmap');
  },
  'go.TestAnonymousMapping'() {
    using m = mapAnonymous(4096);
    m.buffer.fill(0x55);
    holds(m, 0x55);
  },
};

const rust: Runs = {
  'rustix.test_mmap'(t) {
    using file = opened(t.file('a'.repeat(8192)), 'r');
    const call = { length: 8192, prot: 'r', flags: 'PRIVATE', fd: file.fd };
    using m = mmap(call);
    holds(m, 'a');
    mustRefuse(() => mmap({ ...call, offset: 2n ** 64n - 1n }), 'EINVAL', 'mmap');
  },
  'rustix.test_mmap_anonymous'() {
    using m = mmap({ length: 8192, prot: 'r' });
    holds(m, 0);
  },
  'rustix.test_mprotect'(t) {
    using m = mmap({ length: 8192, prot: 'r' });
    sys.mprotect(m.address, 8192, prot(''));
    assert.deepEqual(modes(t, m.address, 1), ['---p']);
    sys.mprotect(m.address, 8192, prot('r'));
    assert.deepEqual(modes(t, m.address, 1), ['r--p']);
  },
  'rustix.test_madvise'() {
    using m = mmap({ length: 8192, prot: 'r' });
    succeeds(() => sys.madvise(m.address, 8192, MADV_NORMAL));
    succeeds(() => sys.madvise(m.address, 8192, MADV_DONTNEED));
  },
  'rustix.test_msync'() {
    using m = mmap({ length: 8192, prot: 'r' });
    succeeds(() => sys.msync(m.address, 8192, MS_SYNC));
    succeeds(() => sys.msync(m.address, 8192, MS_ASYNC));
  },
  'nix.test_mmap_anonymous'() {
    using m = mmap({ length: 1 });
    assert.equal(m.buffer[0], 0);
    m.buffer[0] = 0xff;
    assert.equal(m.buffer[0], 0xff);
  },
  'nix.test_mremap_shrink'() {
    using m = mmap({ length: 10 * 1024 });
    const { address } = m;
    m.write(0, Uint8Array.of(42));
    using shorter = sys.mremap(address, 10 * 1024, 1024, 0);
    assert.deepEqual([shorter.address, shorter.length], [address, 1024]);
    assert.equal(shorter.read(0, 1)[0], 42);
    agrees();
  },
  'nix.test_mremap_dontunmap'(t) {
    using m = mmap({ length: 1024 });
    m.write(0, Uint8Array.of(42));
    using moved = sys.mremap(m.address, 1024, 1024, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    assert.notEqual(moved.address, m.address);
    assert.deepEqual([moved.read(0, 1)[0], m.read(0, 1)[0]], [42, 0]);
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    agrees();
  },
};

const scripts: Runs = {
  'bun.private'(t) {
    const path = t.file('hello');
    using seen = mapFileSync(path, { access: 'read-write' });
    using own = mapFileSync(path, { access: 'copy-on-write' });
    own.buffer[0] = 0;
    assert.equal(own.buffer[0], 0);
    assert.equal(textOf(seen), 'hello');
  },
  'bun.sync'(t) {
    const path = t.file('hello');
    using one = mapFileSync(path, { access: 'read-write' });
    using other = mapFileSync(path, { access: 'read-write' });
    one.buffer[0] = 0x6a;
    assert.equal(other.buffer.toString(), 'jello');
    other.buffer[4] = 0x79;
    assert.equal(one.buffer.toString(), 'jelly');
    // Into the same file: the default would truncate it below the mappings first.
    writeFileSync(path, 'olleh', { flag: 'r+' });
    assert.equal(one.buffer.toString(), 'olleh');
  },
  'bun.passed_to_other_syscalls'(t) {
    using m = mapFileSync(t.file('hello, other file'));
    const path = t.scratch();
    writeFileSync(path, m.buffer);
    assert.equal(readFileSync(path, 'latin1'), 'hello, other file');
  },
  'bun.negative_offset'(t) {
    mustRefuse(() => mapFileSync(t.file('hello'), { offset: -1 }), 'ERR_MEMMAP_RANGE');
  },
  'bun.negative_size'(t) {
    mustRefuse(() => mapFileSync(t.file('hello'), { length: -1 }), 'ERR_MEMMAP_RANGE');
  },
};

/** 20 kB of numbered lines of twenty bytes. */
const line = (number: number): string => `${String(number).padStart(19)}\n`;
const lines = Array.from({ length: 1000 }, (_, number) => line(number)).join('');

const java: Runs = {
  'jdk.MapTest.testZero'(t) {
    using m = mapFileSync(t.file(DIGITS), { length: 0 });
    assert.deepEqual([m.length, m.buffer.length], [0, 0]);
  },
  'jdk.MapTest.testRead'(t) {
    const path = t.file(lines);
    for (let number = 0; number < 1000; number += 7) {
      using m = mapFileSync(path, { offset: number * 20, length: 20 });
      assert.equal(textOf(m), line(number));
    }
  },
  'jdk.MapTest.testWrite'(t) {
    const path = t.file(lines);
    for (let number = 0; number < 1000; number += 7) {
      using m = mapFileSync(path, { access: 'read-write', offset: number * 20 + 3, length: 8 });
      m.write(0, 'new text');
      assert.equal(m.buffer.toString(), 'new text');
    }
    const text = readFileSync(path, 'latin1');
    assert.deepEqual([text.length, text.slice(3, 11)], [20_000, 'new text']);
  },
  'jdk.MapTest.testHighOffset'(t) {
    const path = t.file(lines);
    using m = mapFileSync(path, { access: 'read-write', offset: 66_000, size: 66_016 });
    assert.deepEqual([m.length, statSync(path).size], [16, 66_016]);
    holds(m, 0);
  },
  'jdk.MapTest.testForce'(t) {
    using m = mapFileSync(t.file(Buffer.alloc(20_000)), { access: 'read-write' });
    for (let offset = 0; offset + 64 <= m.length; offset += 64) {
      m.view(offset, 64).fill(1);
      m.flushSync({ offset, length: 64 });
    }
    mustRefuse(() => m.flushSync({ offset: m.length, length: 1 }), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.flushSync({ offset: -1, length: 1 }), 'ERR_MEMMAP_RANGE');
  },
};

export const suite = suiteOf({ ...go, ...rust, ...scripts, ...java });
