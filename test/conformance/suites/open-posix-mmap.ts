// Open POSIX Test Suite: mmap and munmap.
import assert from 'node:assert/strict';
import { ftruncateSync, readFileSync, statSync, utimesSync } from 'node:fs';
import type { Suite, Tools } from '../case.js';
import {
  anonymous,
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

const { PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC } = constants;
const { MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE, MS_SYNC } = constants;
const page = BigInt(pageSize);
const letters = (letter: string, length = pageSize): Buffer => Buffer.alloc(length, letter);

/** A new object on tmpfs of a length, as shm_open and ftruncate make one. */
function shmObject(tools: Tools, length: number) {
  const path = tools.shm();
  const file = opened(path, 'w+');
  ftruncateSync(file.fd, length);
  return Object.assign(file, { path });
}

/** A page that allows nothing: no view, no read, no write, and the kernel says so itself. */
function nothingIsAllowed(tools: Tools, mapping: ReturnType<typeof anonymous>): void {
  assert.match(tools.smaps(mapping.address)['perms'] ?? '', /^---/);
  mustRefuse(() => mapping.buffer, 'ERR_MEMMAP_UNSUPPORTED');
  mustRefuse(() => mapping.read(0, 1), 'EFAULT', 'process_vm_readv');
  mustRefuse(() => mapping.write(0, 'x'), 'ERR_MEMMAP_READ_ONLY');
}

/** A store that MAP_PRIVATE keeps from the file: what a second map shows after the first is gone. */
function privateStoreIsLost(tools: Tools): void {
  using file = opened(tools.file(letters('a')));
  const first = sys.mmap(0, pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
  first.write(0, 'b');
  assert.equal(textOf(first, 0, 1), 'b');
  sys.msync(first.address, pageSize, MS_SYNC);
  sys.munmap(first.address, pageSize, { replace: first });
  using second = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
  assert.equal(textOf(second), 'a'.repeat(pageSize));
}

/** What another process sees in the first byte of the object once we have stored 'b' there. */
async function seenByAnother(tools: Tools, sharing: number): Promise<string> {
  using object = shmObject(tools, pageSize);
  using mapping = sys.mmap(0, pageSize, readWrite, sharing, object.fd, 0);
  mapping.write(0, 'b');
  const { code, stdout } = await tools.child(`
    const fd = fs.openSync(${JSON.stringify(object.path)}, 'r+');
    const m = sys.mmap(0, page, c.PROT_READ, c.MAP_SHARED, fd, 0);
    process.stdout.write(String(m.read(0, 1)[0]));`);
  assert.equal(code, 0);
  return stdout;
}

const cases = casesOf({
  'optx.mmap.1-1'(tools) {
    using file = opened(tools.file(letters('a', 1024)));
    using mapping = sys.mmap(0, 1024, readWrite, MAP_SHARED, file.fd, 0);
    assert.equal(textOf(mapping), 'a'.repeat(1024));
    assert.match(tools.smaps(mapping.address)['perms'] ?? '', /^rw-s$/);
  },

  'optx.mmap.1-2'(tools) {
    using object = shmObject(tools, 1024);
    using mapping = sys.mmap(0, 1024, readWrite, MAP_SHARED, object.fd, 0);
    mapping.write(1023, 'z');
    assert.equal(tools.smaps(mapping.address)['path'], object.path);
    assert.equal(readFileSync(object.path)[1023], 'z'.charCodeAt(0));
  },

  'optx.mmap.5-1'(tools) {
    using file = opened(tools.file(letters('a')));
    for (const sharing of [MAP_SHARED, MAP_PRIVATE]) {
      for (let bits = 0; bits < 8; bits++) {
        const [r, w, x] = [bits & 1, bits & 2, bits & 4];
        const protection = (r && PROT_READ) | (w && PROT_WRITE) | (x && PROT_EXEC);
        using mapping = sys.mmap(0, pageSize, protection, sharing, file.fd, 0);
        const perms = `${r ? 'r' : '-'}${w ? 'w' : '-'}${x ? 'x' : '-'}`;
        const sign = sharing === MAP_SHARED ? 's' : 'p';
        assert.equal(tools.smaps(mapping.address)['perms'], perms + sign);
      }
    }
  },

  'optx.mmap.6-2'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, PROT_NONE, MAP_SHARED, file.fd, 0);
    nothingIsAllowed(tools, mapping);
  },

  'optx.mmap.6-3'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
    const { buffer } = mapping;
    sys.mprotect(mapping.address, pageSize, PROT_NONE);
    assert.equal(buffer.length, 0);
    nothingIsAllowed(tools, mapping);
    assert.equal(readFileSync(file.fd)[0], 'a'.charCodeAt(0));
  },

  'optx.mmap.7-2': privateStoreIsLost,

  async 'optx.mmap.7-3'(tools) {
    assert.equal(await seenByAnother(tools, MAP_PRIVATE), '0');
  },

  async 'optx.mmap.7-4'(tools) {
    assert.equal(await seenByAnother(tools, MAP_SHARED), String('b'.charCodeAt(0)));
  },

  'optx.mmap.9-1'(tools) {
    using file = opened(tools.file(letters('a')));
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
    const options = { replace: mapping };
    const at = mapping.address + 1n;
    const unaligned = () => sys.mmap(at, pageSize, readWrite, MAP_FIXED, file.fd, 0, options);
    mustRefuse(unaligned, 'EINVAL', 'mmap');
    assert.equal(textOf(mapping, 0, 1), 'a');
  },

  'optx.mmap.10-1'(tools) {
    using file = opened(tools.file(letters('a')));
    for (let round = 0; round < 1000; round++) {
      using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 0);
      assert.notEqual(mapping.address, 0n);
    }
  },

  'optx.mmap.11-4'(tools) {
    const half = pageSize / 2;
    const path = tools.file(letters('b', half));
    using file = opened(path);
    {
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
      assert.equal(textOf(mapping, half), '\0'.repeat(half));
      mapping.write(half, 'x');
      sys.msync(mapping.address, pageSize, MS_SYNC);
    }
    using again = sys.mmap(0, half, PROT_READ, MAP_SHARED, file.fd, 0);
    assert.equal(textOf(again), 'b'.repeat(half));
    assert.deepEqual(readFileSync(path), letters('b', half));
  },

  'optx.mmap.11-5'(tools) {
    const half = pageSize / 2;
    using object = shmObject(tools, half);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
    assert.equal(textOf(mapping, half), '\0'.repeat(half));
    mapping.write(half, 'x');
    assert.deepEqual(readFileSync(object.path), Buffer.alloc(half));
  },

  'optx.mmap.13-1'(tools) {
    const past = new Date('2001-01-01');
    const mapped = tools.file('a');
    const read = tools.file('a');
    for (const path of [mapped, read]) utimesSync(path, past, new Date());
    {
      using mapping = memmap.mapFileSync(mapped);
      assert.equal(mapping.buffer[0], 'a'.charCodeAt(0));
    }
    readFileSync(read);
    // On a mount with noatime, read(2) does not set it either.
    const updated = (path: string): boolean => statSync(path).atime > past;
    assert.equal(updated(mapped), updated(read));
  },

  'optx.mmap.19-1'() {
    const call = () => sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, -1, 0);
    mustRefuse(call, 'EBADF', 'mmap');
  },

  'optx.mmap.21-1'(tools) {
    using file = opened(tools.file(letters('a')));
    for (const flags of [0, MAP_NORESERVE, MAP_ANONYMOUS]) {
      const call = () => sys.mmap(0, pageSize, PROT_READ, flags, file.fd, 0);
      mustRefuse(call, 'EINVAL', 'mmap');
    }
  },

  async 'optx.mmap.24-2'(tools) {
    const source = `
      const flags = c.MAP_PRIVATE | c.MAP_ANONYMOUS | c.MAP_NORESERVE;
      let answer = 'mapped';
      try { sys.mmap(0, 2 ** 36, c.PROT_READ, flags, -1, 0); }
      catch (error) { answer = error.code + ' ' + error.syscall; }
      process.stdout.write(answer);`;
    const limited = await tools.child(source, { shell: `ulimit -v ${2 ** 25}` });
    assert.equal(limited.stdout, 'ENOMEM mmap', limited.stderr);
    assert.equal((await tools.child(source)).stdout, 'mapped');
  },

  'optx.mmap.27-1'(tools) {
    using file = opened(tools.file(Buffer.concat([letters('a'), letters('b')])));
    using whole = sys.mmap(0, 2 * pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    const flags = MAP_PRIVATE | MAP_FIXED;
    using half = sys.mmap(whole.address, pageSize, readWrite, flags, file.fd, pageSize, {
      replace: whole,
    });
    assert.equal(half.address, whole.address);
    assert.equal(textOf(half), 'b'.repeat(pageSize));
    const [rest] = whole.parts;
    assert.equal(rest?.address, whole.address + page);
    assert.equal(textOf(rest), 'b'.repeat(pageSize));
  },

  'optx.mmap.32-1'(tools) {
    using file = opened(tools.file(letters('a')));
    const call = () => sys.mmap(0, 0, PROT_READ, MAP_SHARED, file.fd, 0);
    mustRefuse(call, 'EINVAL', 'mmap');
  },

  'optx.munmap.1-1'(tools) {
    const path = tools.file(letters('a', 2 * pageSize));
    using file = opened(path);
    const mapping = sys.mmap(0, 2 * pageSize, readWrite, MAP_SHARED, file.fd, 0);
    mapping.write(2 * pageSize - 1, 'z');
    sys.munmap(mapping.address, pageSize + 1, { replace: mapping });
    assert.deepEqual(tools.smaps(mapping.address + page), {});
    assert.deepEqual([mapping.state, mapping.parts], ['unmapped', []]);
    assert.equal(readFileSync(path).at(-1), 'z'.charCodeAt(0));
  },

  'optx.munmap.1-2'(tools) {
    const seen = anonymous(pageSize);
    const { buffer } = seen;
    sys.munmap(seen.address, pageSize, { replace: seen });
    assert.equal(buffer.length, 0);
    mustRefuse(() => seen.read(0, 1), 'ERR_MEMMAP_UNMAPPED');
    const unseen = anonymous(pageSize);
    sys.munmap(unseen.address, pageSize, { replace: unseen });
    assert.deepEqual(tools.smaps(unseen.address), {});
  },

  'optx.munmap.3-1'() {
    using mapping = anonymous(2 * pageSize);
    const unaligned = () => sys.munmap(mapping.address + 1n, pageSize, { replace: mapping });
    mustRefuse(unaligned, 'EINVAL', 'munmap');
    assert.equal(mapping.state, 'mapped');
  },

  'optx.munmap.4-1': privateStoreIsLost,

  'optx.munmap.8-1'() {
    mustRefuse(() => sys.munmap(2n ** 64n - page, pageSize), 'EINVAL', 'munmap');
    mustRefuse(() => sys.munmap(2n ** 63n - page, pageSize), 'EINVAL', 'munmap');
  },

  'optx.munmap.9-1'() {
    using mapping = anonymous(pageSize);
    const empty = () => sys.munmap(mapping.address, 0, { replace: mapping });
    mustRefuse(empty, 'EINVAL', 'munmap');
    assert.equal(mapping.state, 'mapped');
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
