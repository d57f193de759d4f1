// Open POSIX Test Suite: mlock and munlock, and what shm_open's objects do while they are mapped.
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  unlinkSync,
} from 'node:fs';
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
  textOf,
} from '../tools.js';

const { MAP_SHARED, MS_SYNC, MS_INVALIDATE } = constants;

/** The answer of mlock to somebody who may lock nothing at all. */
async function mayLockNothing(tools: Tools): Promise<void> {
  const { code, stdout, stderr } = await tools.child(
    `const m = memmap.mapAnonymous(page);
    try { sys.mlock(m.address, page); }
    catch (error) { process.stdout.write(error.code + ' ' + error.syscall); }`,
    { shell: 'ulimit -l 0', ...nobody },
  );
  assert.equal(stdout, 'EPERM mlock', stderr);
  assert.equal(code, 0);
}

/** Locked pages cannot be invalidated. mlock() where the original says mlockall(). */
function lockedIsBusy(path: string): void {
  using file = opened(path, 'a+');
  ftruncateSync(file.fd, pageSize);
  using again = opened(path);
  using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, again.fd, 0);
  const invalidate = (): void => sys.msync(mapping.address, pageSize, MS_SYNC | MS_INVALIDATE);
  invalidate();
  sys.mlock(mapping.address, pageSize);
  mustRefuse(invalidate, 'EBUSY', 'msync');
  sys.munlock(mapping.address, pageSize);
  invalidate();
}

const cases = casesOf({
  'optx.mlock.5-1'(tools) {
    using mapping = anonymous(pageSize);
    sys.mlock(mapping.address, pageSize);
    assert.match(tools.smaps(mapping.address)['VmFlags'] ?? '', /\blo\b/);
  },

  'optx.mlock.10-1'(tools) {
    using mapping = anonymous(pageSize);
    sys.mlock(mapping.address + 1n, 1);
    assert.match(tools.smaps(mapping.address)['VmFlags'] ?? '', /\blo\b/);
  },

  'optx.mlock.12-1': mayLockNothing,
  'optx.mlock.spec.12-1': mayLockNothing,

  'optx.munlock.7-1'(tools) {
    using mapping = anonymous(pageSize);
    sys.mlock(mapping.address, pageSize);
    assert.equal(kibibytes(tools.smaps(mapping.address)['Locked']), pageSize);
    sys.munlock(mapping.address, pageSize);
    assert.doesNotMatch(tools.smaps(mapping.address)['VmFlags'] ?? '', /\blo\b/);
  },

  'optx.munlock.10-1'() {
    mustRefuse(() => sys.munlock(2n ** 63n - BigInt(pageSize), pageSize), 'ENOMEM', 'munlock');
    mustRefuse(() => sys.munlock(freeAddress(), pageSize), 'ENOMEM', 'munlock');
  },

  'optx.mlockall.3-6'(tools) {
    lockedIsBusy(tools.shm());
  },

  'optx.mlockall.3-7'(tools) {
    lockedIsBusy(tools.scratch());
  },

  'optx.shm_open.1-1'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, pageSize);
    {
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
      mapping.write(0, 'written through the map');
    }
    using again = opened(path, 'r');
    using mapping = sys.mmap(0, pageSize, constants.PROT_READ, MAP_SHARED, again.fd, 0);
    assert.equal(textOf(mapping, 0, 23), 'written through the map');
    assert.equal(readFileSync(path, 'latin1').slice(0, 23), 'written through the map');
  },

  async 'optx.shm_open.5-1'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, pageSize);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
    mapping.write(0, 'ours');
    const { stdout, stderr } = await tools.child(`
      const m = memmap.mapFileSync(${JSON.stringify(path)}, { access: 'read-write' });
      process.stdout.write(m.read(0, 4).toString());
      m.write(4, 'theirs');`);
    assert.equal(stdout, 'ours', stderr);
    assert.equal(textOf(mapping, 4, 6), 'theirs');
  },

  'optx.shm_open.28-1'(tools) {
    const path = tools.shm();
    {
      using object = opened(path, 'w+');
      ftruncateSync(object.fd, pageSize);
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
      mapping.write(100, 'persists');
    }
    using object = opened(path, 'r');
    using mapping = sys.mmap(0, pageSize, constants.PROT_READ, MAP_SHARED, object.fd, 0);
    assert.equal(textOf(mapping, 100, 8), 'persists');
  },

  'optx.shm_open.28-2'(tools) {
    const path = tools.shm();
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, pageSize);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, fd, 0);
    mapping.write(0, 'persists');
    closeSync(fd);
    unlinkSync(path);
    assert.equal(textOf(mapping, 0, 8), 'persists');
    assert.equal(tools.smaps(mapping.address)['path'], `${path} (deleted)`);
  },

  'optx.shm_unlink.2-1'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, pageSize);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
    unlinkSync(path);
    assert.equal(existsSync(path), false);
    mapping.write(0, 'x');
  },

  'optx.shm_unlink.3-1'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, pageSize);
    unlinkSync(path);
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
    mapping.write(0, 'usable');
    const read = Buffer.alloc(6);
    readSync(object.fd, read, 0, 6, 0);
    assert.equal(read.toString(), 'usable');
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: because(
    'mlockall and munlockall are not among the calls',
    'optx.mlockall.8-1',
    'optx.mlockall.13-1',
    'optx.mlockall.13-2',
    'optx.mlockall.spec.15-1',
    'optx.munlockall.5-1',
  ),
};
