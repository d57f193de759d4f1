// OpenBSD regress/sys/kern.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Suite } from '../case.js';
import { casesOf, constants, opened, pageSize, readWrite, sys, textOf } from '../tools.js';

const { MAP_SHARED, MAP_FIXED, MS_SYNC } = constants;

const cases = casesOf({
  'openbsd.mmap'(tools) {
    const path = tools.file(Buffer.alloc(pageSize));
    {
      using file = opened(path);
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, 0);
      mapping.write(0, 'a value');
      sys.msync(mapping.address, pageSize, MS_SYNC);
    }
    assert.equal(readFileSync(path, 'latin1').slice(0, 7), 'a value');
  },

  'openbsd.mmap2'(tools) {
    using file = opened(tools.file(Buffer.alloc(2 * pageSize)));
    using both = sys.mmap(0, 2 * pageSize, readWrite, MAP_SHARED, file.fd, 0);
    const second = both.address + BigInt(pageSize);
    const flags = MAP_SHARED | MAP_FIXED;
    const options = { replace: both };
    using alias = sys.mmap(second, pageSize, readWrite, flags, file.fd, 0, options);
    const [first] = both.parts;
    assert.ok(first !== undefined);
    assert.deepEqual([first.address, alias.address], [both.address, second]);
    first.write(0, 'seen twice');
    assert.equal(textOf(alias, 0, 10), 'seen twice');
  },
});

export const suite: Suite = { cases, waiting: {}, inexpressible: {} };
