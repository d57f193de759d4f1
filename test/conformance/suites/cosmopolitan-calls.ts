// Cosmopolitan, test/libc: munmap, mprotect, mremap.
import assert from 'node:assert/strict';
import { readSync } from 'node:fs';
import type { Tools } from '../case.js';
import {
  EXCLUSIVE,
  type Runs,
  agrees,
  alone,
  cannotRead,
  freeAddress,
  mmap,
  modes,
  opened,
  pageOf,
  prot,
  succeeds,
  suiteOf,
} from '../kit.js';
import { type Mapping, constants, mustRefuse, pageSize, sys, textOf } from '../tools.js';

const { MREMAP_MAYMOVE } = constants;

const mapped = (t: Tools, address: bigint, pages: number): boolean[] =>
  modes(t, address, pages).map((mode) => mode !== '');

/** Unmaps pages of what is left of a mapping: every live part is named. */
function unmapPages(whole: readonly Mapping[], address: bigint, pages: number): void {
  const live = (m: Mapping): Mapping[] => (m.state === 'mapped' ? [m] : m.parts.flatMap(live));
  sys.munmap(address, pages * pageSize, { replace: whole.flatMap(live) });
}

const nothing: Runs = {
  'cosmo.munmap.doesntExist_doesntCare'() {
    succeeds(() => sys.munmap(0, 8 * pageSize));
    succeeds(() => sys.munmap(freeAddress(8), 8 * pageSize));
  },
  'cosmo.munmap.invalidParams'() {
    using m = mmap();
    mustRefuse(() => sys.munmap(m.address, 0, { replace: m }), 'EINVAL', 'munmap');
    mustRefuse(() => sys.munmap(m.address + 1n, pageSize, { replace: m }), 'EINVAL', 'munmap');
  },
  'cosmo.munmap.test'(t) {
    using m = mmap();
    sys.munmap(m.address, pageSize, { replace: m });
    assert.deepEqual(modes(t, m.address, 1), ['']);
    agrees();
  },
};

const parts: Runs = {
  'cosmo.munmap.carveMemory'(t) {
    using m = alone(3);
    const { address } = m;
    unmapPages([m], address, 1);
    assert.deepEqual(mapped(t, address, 3), [false, true, true]);
    unmapPages([m], pageOf(m, 2), 1);
    assert.deepEqual(mapped(t, address, 3), [false, true, false]);
    agrees();
    unmapPages([m], pageOf(m, 1), 1);
    assert.deepEqual(mapped(t, address, 3), [false, false, false]);
  },
  'cosmo.munmap.fillHoleInMemory'(t) {
    using m = alone(3);
    const { address } = m;
    unmapPages([m], pageOf(m, 1), 1);
    assert.deepEqual(mapped(t, address, 3), [true, false, true]);
    // A hole is nobody's: the exclusive map fills it, MAP_FIXED goes over what then is owned.
    using filled = mmap({ at: pageOf(m, 1), prot: '', flags: EXCLUSIVE });
    using again = mmap({ at: pageOf(m, 1), flags: 'PRIVATE ANONYMOUS FIXED', replace: filled });
    assert.deepEqual(mapped(t, address, 3), [true, true, true]);
    unmapPages([m, again], address, 3);
    assert.deepEqual(mapped(t, address, 3), [false, false, false]);
  },
  'cosmo.munmap.memoryHasHole'(t) {
    using m = alone(3);
    const { address } = m;
    unmapPages([m], pageOf(m, 1), 1);
    unmapPages([m], address, 3);
    assert.deepEqual(mapped(t, address, 3), [false, false, false]);
  },
  'cosmo.munmap.blanketFree'(t) {
    using m = alone(3);
    const { address } = m;
    unmapPages([m], address, 1);
    unmapPages([m], pageOf(m, 2), 1);
    assert.deepEqual(mapped(t, address, 3), [false, true, false]);
    unmapPages([m], address, 3);
    assert.deepEqual(mapped(t, address, 3), [false, false, false]);
  },
  'cosmo.munmap.trimLeft'(t) {
    using m = alone(2);
    const { address } = m;
    unmapPages([m], address, 1);
    assert.deepEqual(mapped(t, address, 2), [false, true]);
    unmapPages([m], address, 2);
    assert.deepEqual(mapped(t, address, 2), [false, false]);
  },
  'cosmo.munmap.trimRight'(t) {
    using m = alone(2);
    const { address } = m;
    unmapPages([m], pageOf(m, 1), 1);
    assert.deepEqual(mapped(t, address, 2), [true, false]);
    unmapPages([m], address, 2);
    assert.deepEqual(mapped(t, address, 2), [false, false]);
  },
};

const small: Runs = {
  'cosmo.munmap.tinyFile_roundupUnmapSize'(t) {
    using file = opened(t.file('hello'), 'r');
    using m = mmap({ length: 5, prot: 'r', flags: 'PRIVATE', fd: file.fd });
    sys.munmap(m.address, pageSize, { replace: m });
    assert.deepEqual(modes(t, m.address, 1), ['']);
  },
  'cosmo.munmap.tinyFile_preciseUnmapSize'(t) {
    using file = opened(t.file('hello'), 'r');
    const call = { length: 5, prot: 'r', flags: 'PRIVATE', fd: file.fd };
    using first = mmap(call);
    using second = mmap(call);
    sys.munmap(first.address, 5, { replace: first });
    assert.deepEqual(modes(t, first.address, 1), ['']);
    assert.equal(textOf(second), 'hello');
  },
  'cosmo.munmap.tinyFile_mapThriceUnmapOnce'(t) {
    using file = opened(t.file('hello'), 'r');
    const at = freeAddress(5);
    const place = (page: number) =>
      mmap({
        at: at + BigInt(page * pageSize),
        length: 5,
        prot: 'r',
        flags: 'PRIVATE FIXED_NOREPLACE',
        fd: file.fd,
      });
    const replace = [place(0), place(1), place(3)];
    assert.deepEqual(mapped(t, at, 4), [true, true, false, true]);
    sys.munmap(at, 3 * pageSize + 5, { replace });
    assert.deepEqual(mapped(t, at, 4), [false, false, false, false]);
  },
};

const mprotect: Runs = {
  'cosmo.mprotect.testOkMemory'(t) {
    using m = mmap();
    m.write(0, 'a');
    sys.mprotect(m.address, pageSize, prot('rw'));
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    m.write(1, 'b');
    assert.equal(textOf(m, 0, 2), 'ab');
  },
  // The store by read(2), whose EFAULT is the kernel's word for the same fault.
  'cosmo.mprotect.testSegfault_writeToReadOnlyAnonymous'(t) {
    using file = opened(t.file('x'), 'r');
    using m = mmap();
    const { buffer } = m;
    buffer[0] = 1;
    sys.mprotect(m.address, pageSize, prot('r'));
    mustRefuse(() => readSync(file.fd, buffer, 0, 1, 0), 'EFAULT', 'read');
    assert.equal(buffer[0], 1);
    sys.mprotect(m.address, pageSize, prot('rw'));
    buffer[0] = 2;
    assert.equal(buffer[0], 2);
  },
  'cosmo.mprotect.testFileMap_canChangeToExecWhileOpenInRdwrMode'(t) {
    using file = opened(t.file('hello'), 'r+');
    using m = mmap({ flags: 'PRIVATE', fd: file.fd });
    sys.mprotect(m.address, pageSize, prot('rx'));
    assert.deepEqual(modes(t, m.address, 1), ['r-xp']);
  },
  'cosmo.mprotect.weirdSize'(t) {
    using m = mmap({ length: 1 });
    sys.mprotect(m.address, 2, prot(''));
    assert.deepEqual(modes(t, m.address, 1), ['---p']);
    cannotRead(m);
  },
};

/** One page with a neighbour right behind it. */
function crowded(): { readonly first: Mapping; readonly second: Mapping } {
  const both = alone(2, { spare: 2 });
  const at = both.address;
  both.unmap();
  const first = mmap({ at, flags: EXCLUSIVE });
  const second = mmap({ at: pageOf(first, 1), flags: EXCLUSIVE, prot: 'r' });
  first.write(0, 'first');
  return { first, second };
}

const mremap: Runs = {
  'cosmo.cosmo_mremap.dontMove_hasRoom_itMoves'(t) {
    using m = alone(1, { spare: 3 });
    m.write(0, 'kept');
    using grown = sys.mremap(m.address, pageSize, 3 * pageSize, 0);
    assert.equal(grown.address, m.address);
    assert.deepEqual(mapped(t, m.address, 4), [true, true, true, false]);
    assert.equal(textOf(grown, 0, 4), 'kept');
    agrees();
  },
  'cosmo.cosmo_mremap.dontMove_noRoom_itFailsWithEnomem'(t) {
    const { first, second } = crowded();
    using m = first;
    using neighbour = second;
    mustRefuse(() => sys.mremap(m.address, pageSize, 3 * pageSize, 0), 'ENOMEM', 'mremap');
    assert.deepEqual(modes(t, m.address, 2), ['rw-p', 'r--p']);
    assert.equal(textOf(m, 0, 5), 'first');
    assert.equal(neighbour.state, 'mapped');
  },
  'cosmo.cosmo_mremap.mayMove_noRoom_itRelocates'(t) {
    const { first, second } = crowded();
    using m = first;
    using neighbour = second;
    const from = m.address;
    using moved = sys.mremap(from, pageSize, 3 * pageSize, MREMAP_MAYMOVE);
    assert.notEqual(moved.address, from);
    assert.deepEqual(modes(t, from, 2), ['', 'r--p']);
    assert.equal(textOf(moved, 0, 5), 'first');
    assert.equal(neighbour.state, 'mapped');
    agrees();
  },
};

export const suite = suiteOf({ ...nothing, ...parts, ...small, ...mprotect, ...mremap });
