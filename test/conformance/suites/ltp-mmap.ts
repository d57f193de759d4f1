// LTP: mmap, munmap and mprotect.
import assert from 'node:assert/strict';
import { chmodSync, closeSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import type { Suite, Tools } from '../case.js';
import {
  anonymous,
  casesOf,
  constants,
  mustFault,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_NONE, PROT_READ, PROT_WRITE } = constants;
const { MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_ANONYMOUS } = constants;
const page = BigInt(pageSize);
const letters = (letter: string, length = pageSize): Buffer => Buffer.alloc(length, letter);

/** A descriptor open for writing only cannot be mapped, whatever for. */
const writeOnly = (protection: number, sharing: number) => (tools: Tools) => {
  using file = opened(tools.file(letters('a')), 'a');
  const call = () => sys.mmap(0, pageSize, protection, sharing, file.fd, 0);
  mustRefuse(call, 'EACCES', 'mmap');
};

const cases = casesOf({
  'ltp.mmap02'(tools) {
    const path = tools.file(letters('a'));
    chmodSync(path, 0o444);
    using file = opened(path, 'r');
    using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
    assert.deepEqual(mapping.read(0, pageSize), readFileSync(path));
    assert.deepEqual(Buffer.from(mapping.buffer), readFileSync(path));
  },

  'ltp.mmap05'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, PROT_NONE, MAP_SHARED, file.fd, 0);
    assert.equal(tools.smaps(mapping.address)['perms'], '---s');
    mustRefuse(() => mapping.read(0, 1), 'EFAULT', 'process_vm_readv');
    mustRefuse(() => mapping.buffer, 'ERR_MEMMAP_UNSUPPORTED');
  },

  'ltp.mmap06.1': writeOnly(PROT_WRITE, MAP_PRIVATE),
  'ltp.mmap06.2': writeOnly(PROT_WRITE, MAP_SHARED),
  'ltp.mmap06.3': writeOnly(PROT_READ, MAP_PRIVATE),
  'ltp.mmap06.4': writeOnly(PROT_READ, MAP_SHARED),
  'ltp.mmap06.6': writeOnly(readWrite, MAP_SHARED),

  'ltp.mmap06.7'(tools) {
    using file = opened(tools.file(letters('a')), 'a');
    const call = () => sys.mmap(0, 0, readWrite, MAP_SHARED, file.fd, 0);
    mustRefuse(call, 'EINVAL', 'mmap');
  },

  'ltp.mmap06.8'(tools) {
    using file = opened(tools.file(letters('a')));
    const call = () => sys.mmap(0, pageSize, PROT_READ, constants.MAP_FILE, file.fd, 0);
    mustRefuse(call, 'EINVAL', 'mmap');
  },

  'ltp.mmap08'(tools) {
    const fd = openSync(tools.file(letters('a')), 'r+');
    closeSync(fd);
    const call = () => sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, fd, 0);
    mustRefuse(call, 'EBADF', 'mmap');
  },

  'ltp.mmap09'(tools) {
    const size = 64 * 1024;
    const path = tools.file(letters('a', size));
    using file = opened(path);
    using mapping = sys.mmap(0, size, readWrite, MAP_SHARED, file.fd, 0);
    for (const length of [size - 8192, size + 1024, 0]) {
      ftruncateSync(file.fd, length);
      assert.equal(statSync(path).size, length);
    }
    mustRefuse(() => mapping.read(0, 1), 'EFAULT', 'process_vm_readv');
    ftruncateSync(file.fd, size);
    assert.equal(mapping.read(0, 1)[0], 0);
  },

  // SIGBUS in C.
  'ltp.mmap13'(tools) {
    const contents = letters('a', pageSize / 2);
    const path = tools.file(contents);
    using file = opened(path);
    using mapping = sys.mmap(0, 2 * pageSize, readWrite, MAP_SHARED, file.fd, 0);
    const store = (bytes: Buffer) => (bytes[pageSize + 1] = 0x62);
    mustFault(mapping, store, { kind: 'truncated', signal: 'SIGBUS', offset: pageSize });
    // The byte waits in a page of its own; the file is as it was.
    assert.equal(mapping.buffer[pageSize + 1], 0x62);
    assert.deepEqual(readFileSync(path), contents);
  },

  'ltp.mmap15'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
    const at = 2n ** 64n - page;
    const flags = MAP_SHARED | MAP_FIXED;
    const options = { replace: mapping };
    const call = () => sys.mmap(at, pageSize, PROT_READ, flags, file.fd, 0, options);
    mustRefuse(call, 'ENOMEM', 'mmap');
  },

  'ltp.mmap17'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    mapping.write(0, 'kept');
    const flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
    const call = () => sys.mmap(mapping.address, pageSize, readWrite, flags, file.fd, 0);
    const error = mustRefuse(call, 'EEXIST', 'mmap');
    assert.deepEqual((error as { conflicts?: unknown }).conflicts, [mapping]);
    assert.equal(textOf(mapping, 0, 5), 'kepta');
  },

  'ltp.mmap19'(tools) {
    using one = opened(tools.file(letters('1')), 'r');
    using two = opened(tools.file(letters('2')), 'r');
    const flags = MAP_PRIVATE | MAP_FIXED;
    using a = sys.mmap(0, pageSize, PROT_READ, MAP_PRIVATE, one.fd, 0);
    using b = sys.mmap(0, pageSize, PROT_READ, MAP_PRIVATE, two.fd, 0);
    const { address } = b;
    using onB = sys.mmap(address, pageSize, PROT_READ, flags, one.fd, 0, { replace: b });
    using onA = sys.mmap(a.address, pageSize, PROT_READ, flags, two.fd, 0, { replace: a });
    assert.deepEqual([onA.address, onB.address], [a.address, b.address]);
    assert.deepEqual([textOf(onA, 0, 1), textOf(onB, 0, 1)], ['2', '1']);
    const paths = [onA, onB].map((mapping) => tools.smaps(mapping.address)['inode']);
    assert.deepEqual(
      paths,
      [two, one].map(({ fd }) => String(statSync(`/proc/self/fd/${fd}`).ino)),
    );
  },

  async 'ltp.mmap21'(tools) {
    const size = 1000 * pageSize;
    const path = tools.file('');
    using file = opened(path);
    ftruncateSync(file.fd, size);
    using mapping = sys.mmap(0, size, PROT_WRITE, MAP_SHARED, file.fd, 0);
    const { code, stderr } = await tools.child(`
      const fd = fs.openSync(${JSON.stringify(path)}, 'r+');
      const m = sys.mmap(0, ${size}, c.PROT_READ | c.PROT_WRITE, c.MAP_SHARED, fd, 0);
      const bytes = m.buffer;
      for (let i = 0; i < bytes.length; i++) bytes[i] = i & 255;`);
    assert.equal(code, 0, stderr);
    sys.msync(mapping.address, size, constants.MS_SYNC);
    const pattern = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    assert.ok(readFileSync(path).equals(Buffer.alloc(size, pattern)));
  },

  'ltp.munmap03'() {
    using mapping = anonymous(pageSize);
    const options = { replace: mapping };
    mustRefuse(() => sys.munmap(2n ** 64n - page, pageSize, options), 'EINVAL', 'munmap');
    mustRefuse(() => sys.munmap(mapping.address, 0, options), 'EINVAL', 'munmap');
    mustRefuse(() => sys.munmap(mapping.address + 1n, pageSize, options), 'EINVAL', 'munmap');
    assert.equal(mapping.state, 'mapped');
  },

  // Advice on every second page is what splits: memmap itself never maps up to the limit.
  async 'ltp.munmap04'(tools) {
    const { code, stdout, stderr } = await tools.child(`
      const limit = Number(fs.readFileSync('/proc/sys/vm/max_map_count', 'utf8'));
      const flags = c.MAP_PRIVATE | c.MAP_ANONYMOUS | c.MAP_NORESERVE;
      const many = sys.mmap(0, 2 * limit * page, c.PROT_NONE, flags, -1, 0);
      const three = sys.mmap(0, 3 * page, c.PROT_READ, flags, -1, 0);
      const middle = three.address + BigInt(page);
      let refused;
      try {
        for (let i = 0; i < limit; i++) {
          sys.madvise(many.address + BigInt(2 * i * page), page, c.MADV_DOFORK);
        }
      } catch { /* no room for another region */ }
      try { sys.munmap(middle, page, { replace: three }); } catch (error) { refused = error; }
      sys.munmap(many.address, many.length, { replace: many });
      const { code, syscall } = refused ?? {};
      const owner = memmap.registry.at(middle) === three;
      process.stdout.write([code, syscall, three.state, owner].join(' '));`);
    assert.equal(stdout, 'ENOMEM munmap mapped true', stderr);
    assert.equal(code, 0);
  },

  'ltp.mprotect01.1'() {
    mustRefuse(() => sys.mprotect(0, pageSize + 1, PROT_READ), 'ENOMEM', 'mprotect');
  },

  'ltp.mprotect01.2'() {
    using mapping = anonymous(pageSize);
    const call = () => sys.mprotect(mapping.address + 1n, 1024, PROT_READ);
    mustRefuse(call, 'EINVAL', 'mprotect');
  },

  // SIGSEGV in C. What was stored is thrown away, and the file is as it was.
  'ltp.mprotect02'(tools) {
    const path = tools.file(letters('a'));
    using file = opened(path);
    using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
    const store = (bytes: Buffer) => (bytes[0] = 0x62);
    mustFault(mapping, store, { kind: 'read-only', signal: 'SIGSEGV', offset: 0 });
    assert.equal(mapping.buffer[0], 0x61);
    assert.deepEqual(readFileSync(path), letters('a'));
    sys.mprotect(mapping.address, pageSize, PROT_WRITE);
    mapping.write(0, 'b');
    assert.equal(readFileSync(path)[0], 0x62);
  },

  'ltp.mprotect04.1'(tools) {
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const { buffer } = mapping;
    buffer[0] = 1;
    sys.mprotect(mapping.address, pageSize, PROT_NONE);
    assert.match(tools.smaps(mapping.address)['perms'] ?? '', /^---/);
    // Nothing is left that a store could go through, so no signal comes.
    assert.equal(buffer.length, 0);
    mustRefuse(() => mapping.write(0, 'x'), 'ERR_MEMMAP_READ_ONLY');
    sys.mprotect(mapping.address, pageSize, readWrite);
    assert.equal(mapping.read(0, 1)[0], 1);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
