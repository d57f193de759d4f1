// Cygwin's winsup.api.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Suite } from '../case.js';
import {
  anonymous,
  casesOf,
  constants,
  memmap,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = constants;
const page = BigInt(pageSize);

const cases = casesOf({
  'newlib.tmmap'(tools) {
    const path = tools.file('abcdefgh');
    using file = opened(path);
    const mapping = sys.mmap(0, 20, readWrite, MAP_SHARED, file.fd, 0);
    mapping.write(3, 'j');
    sys.munmap(mapping.address, 20, { replace: mapping });
    assert.equal(readFileSync(path, 'latin1'), 'abcjefgh');
  },

  'cygwin.mmaptest01'(tools) {
    const map = (text: string) => {
      using file = opened(tools.file(text), 'r');
      return sys.mmap(0, 1, PROT_READ, MAP_PRIVATE, file.fd, 0);
    };
    using a = map('A');
    using b = map('B');
    assert.notEqual(a.address, b.address);
    assert.deepEqual([textOf(a), textOf(b)], ['A', 'B']);
  },

  'cygwin.mmaptest02.1'(tools) {
    using mapping = anonymous(2 * pageSize);
    mapping.write(0, 'stays');
    const second = mapping.address + page;
    sys.munmap(second, pageSize, { replace: mapping });
    assert.deepEqual(tools.smaps(second), {});
    assert.equal(textOf(mapping.parts[0] ?? mapping, 0, 5), 'stays');
  },

  'cygwin.mmaptest02.2'(tools) {
    using mapping = anonymous(2 * pageSize);
    mapping.write(pageSize, 'stays');
    sys.munmap(mapping.address, pageSize, { replace: mapping });
    assert.deepEqual(tools.smaps(mapping.address), {});
    const [rest] = mapping.parts;
    assert.equal(rest?.address, mapping.address + page);
    assert.equal(textOf(rest, 0, 5), 'stays');
  },

  'cygwin.mmaptest02.3'(tools) {
    const whole = anonymous(2 * pageSize);
    const { address } = whole;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    sys.mmap(address, pageSize, readWrite, flags, -1, 0, { replace: whole });
    const both = memmap.registry.overlapping(address, 2 * pageSize);
    assert.equal(both.length, 2);
    sys.munmap(address, 2 * pageSize, { replace: both });
    assert.deepEqual([tools.smaps(address), tools.smaps(address + page)], [{}, {}]);
  },
});

export const suite: Suite = { cases, waiting: {}, inexpressible: {} };
