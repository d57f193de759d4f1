// glibc: posix/tst-mmap, misc/tst-mremap*, rt/tst-shm.
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Suite } from '../case.js';
import {
  type Mapping,
  anonymous,
  casesOf,
  constants,
  freeAddress,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_READ, MAP_SHARED, MAP_PRIVATE } = constants;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = constants;

function bothEndsAreWritable(mapping: Mapping): void {
  const last = mapping.length - 1;
  mapping.write(0, 'a');
  mapping.write(last, 'z');
  assert.deepEqual([textOf(mapping, 0, 1), textOf(mapping, last)], ['a', 'z']);
}

const cases = casesOf({
  'glibc.tst-mmap.offset'(tools) {
    using file = opened(tools.file(Buffer.alloc(2 * pageSize)));
    for (const sharing of [MAP_SHARED, MAP_PRIVATE]) {
      for (const offset of [pageSize - 1, BigInt(pageSize - 1)]) {
        const call = () => sys.mmap(0, 1000, PROT_READ, sharing, file.fd, offset);
        mustRefuse(call, 'EINVAL', 'mmap');
      }
    }
  },

  'glibc.tst-mmap.data'(tools) {
    const pattern = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
    using file = opened(tools.file(Buffer.concat([Buffer.alloc(pageSize, 'x'), pattern])));
    for (const sharing of [MAP_SHARED, MAP_PRIVATE]) {
      using mapping = sys.mmap(0, 1000, PROT_READ, sharing, file.fd, pageSize);
      assert.ok(mapping.read(0, 1000).equals(pattern));
      assert.ok(mapping.buffer.equals(pattern));
    }
  },

  'glibc.tst-mremap1'() {
    using mapping = anonymous(pageSize);
    mapping.write(0, 'kept');
    const { address } = mapping;
    assert.equal(sys.mremap(address, pageSize, 2 * pageSize, MREMAP_MAYMOVE), mapping);
    assert.deepEqual([mapping.length, textOf(mapping, 0, 4)], [2 * pageSize, 'kept']);
    bothEndsAreWritable(mapping);
  },

  'glibc.tst-mremap2'() {
    using mapping = anonymous(pageSize);
    const target = anonymous(2 * pageSize);
    const { address } = target;
    const flags = MREMAP_FIXED | MREMAP_MAYMOVE;
    const options = { replace: target };
    sys.mremap(mapping.address, pageSize, 2 * pageSize, flags, address, options);
    assert.deepEqual([mapping.address, mapping.length], [address, 2 * pageSize]);
    bothEndsAreWritable(mapping);
  },

  'glibc.tst-linux-mremap1'() {
    using mapping = anonymous(pageSize);
    mapping.write(0, 'text');
    const hint = freeAddress();
    const flags = MREMAP_DONTUNMAP | MREMAP_MAYMOVE;
    using moved = sys.mremap(mapping.address, pageSize, pageSize, flags, hint);
    assert.equal(moved.address, hint);
    assert.deepEqual([textOf(moved, 0, 4), textOf(mapping, 0, 4)], ['text', '\0\0\0\0']);
    bothEndsAreWritable(mapping);
    bothEndsAreWritable(moved);
  },

  // Two processes take turns: each adds one to the last value of the other.
  async 'glibc.tst-shm.workers'(tools) {
    const path = tools.shm();
    using object = opened(path, 'w+');
    ftruncateSync(object.fd, 4000);
    using mapping = sys.mmap(0, 4000, readWrite, MAP_SHARED, object.fd, 0);
    const rounds = 100;
    const state = { ended: false };
    const other = tools
      .child(
        `const turn = require('node:timers/promises').setImmediate;
        const m = memmap.mapFileSync(${JSON.stringify(path)}, { access: 'read-write' });
        for (let value = 1; value < ${rounds}; value += 2) {
          while (m.buffer[0] !== value) await turn();
          m.buffer[3999] = value;
          m.buffer[0] = value + 1;
        }`,
      )
      .finally(() => (state.ended = true));
    for (let value = 0; value < rounds; value += 2) {
      while (mapping.buffer[0] !== value && !state.ended) await turn();
      mapping.buffer[0] = value + 1;
    }
    const { code, stderr } = await other;
    assert.equal(code, 0, stderr);
    assert.deepEqual([mapping.buffer[0], mapping.buffer[3999]], [rounds, rounds - 1]);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {},
};
