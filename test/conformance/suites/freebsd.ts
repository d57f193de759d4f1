// FreeBSD tests/sys: mmap and POSIX shared memory.
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import type { Suite } from '../case.js';
import {
  casesOf,
  constants,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_READ, MAP_SHARED, MAP_PRIVATE } = constants;

/** Three maps of /dev/zero, stores in two: each shows its own, and zeros besides. */
function zerosAreIndependent(sharing: number): void {
  using zero = opened('/dev/zero');
  const map = () => sys.mmap(0, pageSize, readWrite, sharing, zero.fd, 0);
  using first = map();
  using second = map();
  using third = map();
  first.write(0, '1');
  second.write(1, '2');
  const rest = '\0'.repeat(pageSize - 2);
  assert.equal(textOf(first), `1\0${rest}`);
  assert.equal(textOf(second), `\x002${rest}`);
  assert.equal(textOf(third), `\0\0${rest}`);
}

const cases = casesOf({
  'fbsd.mmap.bad_arguments.none'(tools) {
    using file = opened(tools.file('a'));
    mustRefuse(() => sys.mmap(0, pageSize, PROT_READ, 0, file.fd, 0), 'EINVAL', 'mmap');
  },

  'fbsd.mmap.bad_arguments.rozero'() {
    using zero = opened('/dev/zero', 'r');
    const call = () => sys.mmap(0, pageSize, readWrite, MAP_SHARED, zero.fd, 0);
    mustRefuse(call, 'EACCES', 'mmap');
  },

  'fbsd.mmap.dev_zero_private'() {
    zerosAreIndependent(MAP_PRIVATE);
  },

  'fbsd.mmap.dev_zero_shared'() {
    zerosAreIndependent(MAP_SHARED);
  },

  'fbsd.shm.remap_object'(tools) {
    using object = opened(tools.shm(), 'w+');
    ftruncateSync(object.fd, pageSize);
    {
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
      mapping.write(0, '1');
    }
    using again = sys.mmap(0, pageSize, readWrite, MAP_SHARED, object.fd, 0);
    assert.equal(textOf(again, 0, 2), '1\0');
  },

  'fbsd.shm.readonly_mmap_write'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, pageSize);
    using readOnly = opened(path, 'r');
    const call = () => sys.mmap(0, pageSize, readWrite, MAP_SHARED, readOnly.fd, 0);
    mustRefuse(call, 'EACCES', 'mmap');
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
