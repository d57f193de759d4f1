// What autoconf's AC_FUNC_MMAP asks of a system before it says that mmap works.
import assert from 'node:assert/strict';
import type { Suite } from '../case.js';
import { casesOf, constants, opened, pageSize, readWrite, sys, textOf } from '../tools.js';

const { MAP_SHARED, MAP_PRIVATE, MAP_FIXED } = constants;

const cases = casesOf({
  'autoconf.tail_zero'(tools) {
    using file = opened(tools.file('\0'));
    using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
    assert.equal(textOf(mapping), '\0'.repeat(pageSize));
  },

  'autoconf.private_fixed_over'(tools) {
    using one = opened(tools.file('\0'));
    using first = sys.mmap(0, pageSize, readWrite, MAP_SHARED, one.fd, 0);
    const contents = Buffer.from(Array.from({ length: pageSize }, (_, i) => (i * 7) & 255));
    using two = opened(tools.file(contents));
    const flags = MAP_PRIVATE | MAP_FIXED;
    const { address } = first;
    using over = sys.mmap(address, pageSize, readWrite, flags, two.fd, 0, { replace: first });
    assert.deepEqual([over.address, first.state], [address, 'replaced']);
    assert.ok(over.read(0, pageSize).equals(contents));
  },
});

export const suite: Suite = { cases, waiting: {}, inexpressible: {} };
