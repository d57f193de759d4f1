// The mmap packages of other languages, smaller ones: .NET, PyPy, Ruby, Go, mio, region-rs, and the
// older packages for Node.js.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import {
  type Runs,
  agrees,
  alone,
  answer,
  cannotRead,
  holds,
  mmap,
  modes,
  opened,
  pageOf,
  prot,
  succeeds,
  suiteOf,
} from '../kit.js';
import { constants, memmap, mustRefuse, pageSize, sys, textOf } from '../tools.js';

const { mapAnonymous, mapFileSync } = memmap;

const page = (value: string): Buffer => Buffer.alloc(pageSize, value);

const dotnet: Runs = {
  'net.FileAccessAndMapAccess_Valid'(t) {
    const path = t.file('text');
    using both = opened(path, 'r+');
    using readable = opened(path, 'r');
    for (const [fd, access] of [
      [both.fd, 'read'],
      [both.fd, 'read-write'],
      [both.fd, 'copy-on-write'],
      [readable.fd, 'read'],
      [readable.fd, 'copy-on-write'],
    ] as const) {
      using m = mapFileSync(fd, { access });
      assert.deepEqual([m.access, textOf(m)], [access, 'text']);
    }
  },
  'net.FileAccessAndMapAccess_Invalid_Unix'(t) {
    const path = t.file('text');
    using readable = opened(path, 'r');
    using writable = opened(path, 'a');
    mustRefuse(() => mapFileSync(readable.fd, { access: 'read-write' }), 'EACCES', 'mmap');
    for (const access of ['read', 'read-write', 'copy-on-write'] as const) {
      mustRefuse(() => mapFileSync(writable.fd, { access }), 'EACCES', 'mmap');
    }
  },
  'net.DefaultCapacityIsFileLength'(t) {
    using m = mapFileSync(t.file(Buffer.alloc(4098)));
    assert.equal(m.length, 4098);
  },
  'net.FileSizeExpandsToCapacity'(t) {
    const path = t.file(Buffer.alloc(4096, 'a'));
    for (const size of [2 * 4096, 4 * 4096]) {
      using m = mapFileSync(path, { access: 'read-write', size });
      assert.deepEqual([m.length, statSync(path).size], [size, size]);
      holds(m, 'a', { length: 4096 });
      holds(m, 0, { offset: 4096 });
    }
  },
  'net.MultipleMapsForTheSameFileStream'(t) {
    using file = opened(t.file(Buffer.alloc(4096)), 'r+');
    using one = mapFileSync(file.fd, { access: 'read-write' });
    using other = mapFileSync(file.fd, { access: 'read-write' });
    one.buffer[7] = 42;
    assert.equal(other.buffer[7], 42);
  },
  'net.View.FlushSupportedOnBothReadAndWrite'(t) {
    const path = t.file('text');
    for (const access of ['read', 'read-write', 'copy-on-write'] as const) {
      using m = mapFileSync(path, { access });
      succeeds(() => m.flushSync());
    }
  },
  'net.View.ViewsShareData'() {
    using m = mapAnonymous(8192);
    const [one, other] = [m.view(0, 8192), m.view(4096, 4096)];
    one[5000] = 42;
    assert.equal(other[904], 42);
  },
  'net.View.CopyOnWrite'(t) {
    const path = t.file(Buffer.alloc(4096));
    using seen = mapFileSync(path, { access: 'read-write' });
    using own = mapFileSync(path, { access: 'copy-on-write' });
    own.buffer[0] = 42;
    assert.deepEqual([own.buffer[0], seen.buffer[0]], [42, 0]);
  },
};

const languages: Runs = {
  'pypy.test_close'(t) {
    const m = mapFileSync(t.file('foobar'));
    const view = m.buffer;
    m.unmap();
    mustRefuse(() => m.read(0, 1), 'ERR_MEMMAP_UNMAPPED');
    assert.deepEqual([view.length, view[0]], [0, undefined]);
  },
  'pypy.test_write_readonly'(t) {
    using m = mapFileSync(t.file('foobar'));
    mustRefuse(() => m.write(0, 'x'), 'ERR_MEMMAP_READ_ONLY');
  },
  'pypy.test_madvise'(t) {
    using m = mapFileSync(t.file('foobar'));
    succeeds(() => sys.madvise(m.address, m.length, constants.MADV_NORMAL));
  },
  'ruby.test_resize_preserve'() {
    using m = mapAnonymous(1024);
    m.write(0, 'Hello World');
    m.resize(2048);
    assert.deepEqual([m.length, textOf(m, 0, 11)], [2048, 'Hello World']);
  },
  'ruby.test_slice_bounds'() {
    using m = mapAnonymous(128);
    mustRefuse(() => m.view(16, 129), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.view(129), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.view(-1), 'ERR_MEMMAP_RANGE');
  },
  'goexp.TestOpen'() {
    using m = mapFileSync(__filename);
    const [text, target] = [readFileSync(__filename), Buffer.alloc(m.length)];
    assert.ok(m.read(0, target).equals(text));
    assert.ok(m.buffer.equals(text));
  },
  'mio.offsets'(t) {
    const text = Buffer.concat([page('a'), page('b'), page('c'), Buffer.from('end')]);
    const path = t.file(text);
    for (const offset of [0, pageSize - 1, pageSize, pageSize + 3, 2 * pageSize, text.length - 1]) {
      using m = mapFileSync(path, { offset });
      assert.equal(m.length, text.length - offset);
      assert.ok(m.buffer.equals(text.subarray(offset)));
    }
  },
  'mio.errors'(t) {
    mustRefuse(() => mapFileSync(t.scratch('missing')), 'ENOENT', 'open');
    mustRefuse(() => mapFileSync(999), 'EBADF', 'fstat');
    mustRefuse(() => mapFileSync(t.file('text'), { offset: 100 }), 'ERR_MEMMAP_RANGE');
  },
};

const rust: Runs = {
  'region.alloc_size_is_aligned_to_page_size'(t) {
    using m = alone(1, { length: 1 });
    assert.deepEqual(modes(t, m.address, 2), ['rw-p', '']);
  },
  'region.alloc_rejects_empty_allocation'() {
    mustRefuse(() => mmap({ length: 0 }), 'EINVAL', 'mmap');
    mustRefuse(() => mapAnonymous(0), 'ERR_MEMMAP_RANGE');
  },
  'region.alloc_frees_memory_when_dropped'(t) {
    const m = mmap();
    const { address } = m;
    m[Symbol.dispose]();
    assert.deepEqual(modes(t, address, 1), ['']);
  },
  'region.lock_mapped_pages_succeeds'(t) {
    using m = mmap();
    m.lock();
    assert.match(t.smaps(m.address)['VmFlags'] ?? '', /\blo\b/);
  },
  'region.protect_null_fails'() {
    mustRefuse(() => sys.mprotect(0, pageSize, prot('')), 'ENOMEM', 'mprotect');
  },
  'region.protect_updates_both_pages_for_straddling_range'(t) {
    using m = mmap({ length: 3 * pageSize });
    m.protect('read', { offset: pageSize - 1, length: 2 });
    assert.deepEqual(modes(t, m.address, 3), ['r--p', 'r--p', 'rw-p']);
    assert.equal(m.protection, 'mixed');
    agrees();
  },
  'region.protect_inclusive_lower_exclusive_upper'(t) {
    using m = mmap({ length: 3 * pageSize });
    m.protect('read', { offset: pageSize - 1, length: 1 });
    assert.deepEqual(modes(t, m.address, 3), ['r--p', 'rw-p', 'rw-p']);
    sys.mprotect(pageOf(m, 1), pageSize + 1, prot(''));
    assert.deepEqual(modes(t, m.address, 3), ['r--p', '---p', '---p']);
    agrees();
  },
  'gnulib.zerosize_ptr'(t) {
    using m = mmap({ length: 2 * pageSize });
    sys.mprotect(pageOf(m, 1), pageSize, prot(''));
    assert.deepEqual(modes(t, m.address, 2), ['rw-p', '---p']);
    assert.equal(m.view(pageSize, 0).length, 0);
    cannotRead(m, pageSize);
  },
};

const javascript: Runs = {
  'mmapio.advise'() {
    using m = mapAnonymous(2 * pageSize);
    succeeds(() => m.advise('normal'));
    succeeds(() => m.advise('normal', { offset: 0, length: pageSize }));
  },
  'mmapio.incore'(t) {
    using m = mapFileSync(t.file(Buffer.alloc(2 * pageSize, 'a')));
    holds(m, 'a');
    const { pages, resident, map } = m.residency();
    assert.deepEqual([pages, resident, [...map]], [2, 2, [1, 1]]);
  },
  'mmapio.out_of_bounds'() {
    using m = mapAnonymous(pageSize);
    assert.equal(m.buffer[pageSize + 47], undefined);
  },
  'nodemmap.zero_size'(t) {
    using file = opened(t.file('text'), 'r');
    const call = { prot: 'r', flags: 'SHARED', fd: file.fd };
    mustRefuse(() => mmap({ ...call, length: 0 }), 'EINVAL', 'mmap');
  },
  'nodemmap.bad_offset'(t) {
    using file = opened(t.file('text'), 'r');
    const call = { prot: 'r', flags: 'SHARED', fd: file.fd };
    mustRefuse(() => mmap({ ...call, offset: 1 }), 'EINVAL', 'mmap');
  },
  'nodemmap.offset_past_eof'(t) {
    using file = opened(t.file(page('a')), 'r');
    using m = mmap({ prot: 'r', flags: 'SHARED', fd: file.fd, offset: pageSize });
    assert.equal(m.length, pageSize);
  },
  async 'shmta.posix_two_processes'(t) {
    const path = t.shm();
    using m = mapFileSync(path, { access: 'read-write', create: true, size: 64 });
    const floats = new Float32Array(m.buffer.buffer, 0, 16);
    floats.fill(1.5);
    const seen = await answer(
      t,
      `const m = memmap.mapFileSync(${JSON.stringify(path)}, { access: 'read-write' });
       const floats = new Float32Array(m.buffer.buffer, 0, 16);
       console.log(JSON.stringify([...floats]));
       floats.fill(2.5);`,
    );
    assert.deepEqual(seen, Array<number>(16).fill(1.5));
    assert.deepEqual([...floats], Array<number>(16).fill(2.5));
  },
};

export const suite = suiteOf(
  { ...dotnet, ...languages, ...rust, ...javascript },
  {
    inexpressible: {
      'pypy.test_resize': 'resize makes a file longer, never shorter: bytes would be lost',
    },
  },
);
