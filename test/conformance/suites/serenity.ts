// SerenityOS Tests/Kernel.
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import type { Suite } from '../case.js';
import {
  type Mapping,
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

const { PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MS_SYNC } = constants;
const page = BigInt(pageSize);

/** Of the second page, where the file has one: SIGBUS in C. */
const touch = (bytes: Buffer) => bytes.at(-1);
const beyond = { kind: 'truncated', signal: 'SIGBUS', offset: pageSize } as const;

/** Three mappings of a page each, side by side. */
function threeInARow() {
  const whole = anonymous(3 * pageSize);
  const middle = whole.address + page;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  sys.mmap(middle, pageSize, readWrite, flags, -1, 0, { replace: whole });
  const mappings = memmap.registry.overlapping(whole.address, 3 * pageSize) as Mapping[];
  assert.equal(mappings.length, 3);
  return { address: whole.address, mappings };
}

const cases = casesOf({
  'serenity.mprotect_multi'(tools) {
    const { address, mappings } = threeInARow();
    const perms = () =>
      [0n, 1n, 2n].map((index) => tools.smaps(address + index * page)['perms'] ?? 'none');
    sys.mprotect(address, 3 * pageSize, PROT_READ);
    assert.deepEqual(perms(), ['r--p', 'r--p', 'r--p']);
    assert.deepEqual(
      mappings.map(({ protection }) => protection),
      ['read', 'read', 'read'],
    );
    const [first, middle, last] = mappings;
    middle?.unmap();
    mustRefuse(() => sys.mprotect(address, 3 * pageSize, readWrite), 'ENOMEM', 'mprotect');
    // Linux has gone as far as the hole.
    assert.deepEqual(perms().slice(0, 2), ['rw-p', 'none']);
    first?.unmap();
    last?.unmap();
  },

  'serenity.munmap_multi'(tools) {
    const { address, mappings } = threeInARow();
    sys.munmap(address, 2 * pageSize, { replace: mappings.slice(0, 2) });
    assert.deepEqual([tools.smaps(address), tools.smaps(address + page)], [{}, {}]);
    assert.equal(mappings[2]?.state, 'mapped');
    mappings[2].unmap();
  },

  'serenity.munmap_zero_page'() {
    sys.munmap(0, 15);
  },

  'serenity.private_inode'(tools) {
    const path = tools.file(Buffer.alloc(pageSize, 'a'));
    using file = opened(path);
    using mapping = sys.mmap(0, 2 * pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    mapping.write(0, 'private');
    sys.msync(mapping.address, pageSize, MS_SYNC);
    assert.equal(readFileSync(path, 'latin1'), 'a'.repeat(pageSize));
    mustRefuse(() => mapping.read(pageSize, 1), 'EFAULT', 'process_vm_readv');
    mustRefuse(() => mapping.write(pageSize, 'x'), 'EFAULT', 'process_vm_writev');
    mustFault(mapping, touch, beyond);
  },

  'serenity.empty_private'(tools) {
    using file = opened(tools.file(''));
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_PRIVATE, file.fd, 0);
    assert.equal(mustFault(mapping, touch, { ...beyond, offset: 0 }), 0);
  },

  'serenity.shared_inode'(tools) {
    const path = tools.scratch();
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, pageSize);
    using first = sys.mmap(0, 2 * pageSize, readWrite, MAP_SHARED, fd, 0);
    using second = sys.mmap(0, 2 * pageSize, readWrite, MAP_SHARED, fd, 0);
    closeSync(fd);
    first.write(0, 'one');
    second.write(3, 'two');
    assert.deepEqual([textOf(first, 0, 6), textOf(second, 0, 6)], ['onetwo', 'onetwo']);
    sys.msync(first.address, 2 * pageSize, MS_SYNC);
    assert.equal(readFileSync(path, 'latin1').slice(0, 6), 'onetwo');
    sys.msync(first.address + page, pageSize, MS_SYNC);
    mustRefuse(() => first.read(pageSize, 1), 'EFAULT', 'process_vm_readv');
    mustFault(first, touch, beyond);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
