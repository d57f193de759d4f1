// Cosmopolitan, test/libc: mmap and MAP_FIXED_NOREPLACE.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import {
  EXCLUSIVE,
  type Runs,
  agrees,
  alone,
  answer,
  freeAddress,
  holds,
  mmap,
  modes,
  opened,
  prot,
  suiteOf,
} from '../kit.js';
import { constants, memmap, mustFault, mustRefuse, pageSize, sys, textOf } from '../tools.js';

const FIXED = 'PRIVATE ANONYMOUS FIXED';
const page = BigInt(pageSize);

/** The first address, or the one behind the last, of what the kernel's list of this process calls so. */
function listed(name: string, which: 'start' | 'end'): bigint {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const line = lines.find((each) => each.endsWith(name));
  assert.ok(line !== undefined, `${name} is not in the list`);
  const [start = '', end = ''] = line.split(' ', 1)[0]?.split('-') ?? [];
  return BigInt(`0x${which === 'start' ? start : end}`);
}

/** Just below the stack's highest place, far above where the kernel maps. User space ends at a power of 2. */
function highest(): bigint {
  const bits = listed('[stack]', 'end').toString(2).length;
  return 2n ** BigInt(bits) - 16n * page;
}

const lengths: Runs = {
  'cosmo.mmap.zeroSize'() {
    mustRefuse(() => mmap({ length: 0 }), 'EINVAL', 'mmap');
  },
  'cosmo.mmap.overflow'() {
    for (const length of [2n ** 47n, 2n ** 47n - 1n]) {
      mustRefuse(() => mmap({ length }), 'ENOMEM', 'mmap');
    }
  },
};

const places: Runs = {
  'cosmo.mmap.noreplaceImage'(t) {
    const at = listed(process.execPath, 'start');
    const before = modes(t, at, 1);
    mustRefuse(() => mmap({ at, flags: EXCLUSIVE }), 'EEXIST', 'mmap');
    assert.deepEqual(modes(t, at, 1), before);
  },
  'cosmo.mmap.pageBeyondGone'(t) {
    const both = alone(2);
    const at = both.address;
    both.unmap();
    assert.deepEqual(modes(t, at, 2), ['', '']);
    using reserved = mmap({ at, length: 1, prot: '', flags: EXCLUSIVE });
    using m = mmap({ at, length: 1, flags: FIXED, replace: reserved });
    assert.equal(m.address, at);
    assert.deepEqual(modes(t, at, 2), ['rw-p', '']);
  },
  'cosmo.mmap.fixedTaken'() {
    using old = mmap();
    old.write(0, 'old');
    using m = mmap({ at: old.address, flags: FIXED, replace: old });
    assert.equal(m.address, old.address);
    assert.equal(old.state, 'replaced');
    holds(m, 0);
    agrees();
  },
  'cosmo.mmap.hint'() {
    const at = freeAddress(1);
    using m = mmap({ at });
    assert.equal(m.address, at);
  },
  'cosmo.mmap.misalignedAddr_justIgnoresIt'(t) {
    using m = mmap({ at: 1 });
    assert.equal(m.address % page, 0n);
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
  },
  'cosmo.mmap.pml5t'() {
    const at = highest();
    using reserved = mmap({ at, prot: '', flags: EXCLUSIVE });
    using m = mmap({ at, flags: FIXED, replace: reserved });
    assert.equal(m.address, at);
    m.buffer[0] = 42;
    assert.equal(m.buffer[0], 42);
  },
  'cosmo.mmap.addrSecretlyExists_choosesAnotherAddress'() {
    using taken = mmap();
    taken.write(0, 'taken');
    using m = mmap({ at: taken.address });
    assert.notEqual(m.address, taken.address);
    assert.equal(textOf(taken, 0, 5), 'taken');
  },
  'cosmo.MAP_FIXED_NOREPLACE.alreadyExists_raisesEexist'() {
    using taken = mmap();
    taken.write(0, 'taken');
    const error = mustRefuse(() => mmap({ at: taken.address, flags: EXCLUSIVE }), 'EEXIST', 'mmap');
    assert.deepEqual((error as { conflicts?: unknown }).conflicts, [taken]);
    assert.equal(textOf(taken, 0, 5), 'taken');
  },
  'cosmo.MAP_FIXED_NOREPLACE.doesntExist_getsCreated'(t) {
    const at = freeAddress(1);
    using m = mmap({ at, flags: EXCLUSIVE });
    assert.equal(m.address, at);
    assert.deepEqual(modes(t, at, 1), ['rw-p']);
  },
};

const protections: Runs = {
  // SIGSEGV in C.
  'cosmo.mmap_protection'() {
    using m = mmap({ prot: 'r' });
    const fault = { kind: 'read-only', signal: 'SIGSEGV', offset: 0 } as const;
    mustFault(m, (bytes) => (bytes[0] = 1), fault);
    holds(m, 0);
  },
  'cosmo.mmap.anon_rw_to_rx'(t) {
    using m = mmap({ length: 1 });
    sys.mprotect(m.address, 1, prot('rx'));
    assert.deepEqual(modes(t, m.address, 1), ['r-xp']);
  },
  'cosmo.mmap.anon_r_to_rw'(t) {
    using m = mmap({ prot: 'r' });
    sys.mprotect(m.address, pageSize, prot('rw'));
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    m.write(0, 'now');
    assert.equal(textOf(m, 0, 3), 'now');
  },
};

const files: Runs = {
  'cosmo.mmap.testMapFile'(t) {
    using file = opened(t.file('hello'), 'r');
    using m = mmap({ length: 5, prot: 'r', flags: 'PRIVATE', fd: file.fd });
    assert.equal(textOf(m), 'hello');
  },
  'cosmo.mmap.cow'(t) {
    using file = opened(t.file('hello'), 'r');
    using m = mmap({ length: 5, prot: 'r', flags: 'PRIVATE', fd: file.fd });
    assert.equal(m.buffer.toString(), 'hello');
  },
  'cosmo.mmap.testMapFile_fdGetsClosed_makesNoDifference'(t) {
    const path = t.file('hello');
    const fd = openSync(path, 'r+');
    using m = mmap({ length: 5, flags: 'SHARED', fd });
    closeSync(fd);
    assert.equal(textOf(m), 'hello');
    m.write(1, 'a');
    sys.msync(m.address, pageSize, constants.MS_SYNC);
    assert.equal(readFileSync(path, 'latin1'), 'hallo');
  },
  'cosmo.mmap.fileOffset'(t) {
    const pages = [Buffer.alloc(pageSize, 'a'), Buffer.alloc(pageSize, 'b')];
    using file = opened(t.file(Buffer.concat(pages)), 'r');
    const call = { prot: 'r', flags: 'PRIVATE', fd: file.fd };
    mustRefuse(() => mmap({ ...call, offset: pageSize - 1 }), 'EINVAL', 'mmap');
    using m = mmap({ ...call, offset: pageSize });
    holds(m, 'b');
  },
  'cosmo.mmap.mapPrivate_writesDontChangeFile'(t) {
    const path = t.file('hello');
    using file = opened(path, 'r+');
    const m = mmap({ length: 5, flags: 'PRIVATE', fd: file.fd });
    m.write(1, 'a');
    sys.msync(m.address, 5, constants.MS_SYNC);
    assert.equal(textOf(m), 'hallo');
    m.unmap();
    assert.equal(readFileSync(path, 'latin1'), 'hello');
  },
  // A process of its own maps the file, where C forks.
  async 'cosmo.mmap.sharedFileMapFork'(t) {
    const path = t.file('parnt');
    using m = memmap.mapFileSync(path, { access: 'read-write' });
    await answer(
      t,
      `const fd = fs.openSync(${JSON.stringify(path)}, 'r+');
         const m = sys.mmap(0, 5, c.PROT_READ | c.PROT_WRITE, c.MAP_SHARED, fd, 0);
         m.write(0, 'child');
         sys.msync(m.address, 5, c.MS_SYNC | c.MS_INVALIDATE);
         console.log('true');`,
    );
    assert.equal(textOf(m), 'child');
    assert.equal(readFileSync(path, 'latin1'), 'child');
  },
};

export const suite = suiteOf({ ...lengths, ...places, ...protections, ...files });
