// CPython, Lib/test/test_mmap.py: sizes, advice, large files, lifetimes.
import assert from 'node:assert/strict';
import { truncateSync, writeSync } from 'node:fs';
import { type Runs, answer, opened, succeeds, suiteOf } from '../kit.js';
import { constants, memmap, mustRefuse, pageSize, sys, textOf } from '../tools.js';

const { mapAnonymous, mapFileSync } = memmap;

const sizes: Runs = {
  'cpython.test_io_methods'() {
    const text = '0123456789';
    using m = mapAnonymous(text.length);
    m.write(0, text);
    mustRefuse(() => m.write(text.length, 'x'), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.write(text.length - 1, 'xy'), 'ERR_MEMMAP_RANGE');
    assert.equal(textOf(m), text);
  },
  'cpython.test_resize_past_pos'(t) {
    using m = mapFileSync(t.file(Buffer.alloc(8192)), { access: 'read-write' });
    const end = m.view(5000);
    m.resize(4096);
    assert.equal(end.length, 0);
    mustRefuse(() => m.view(5000), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.read(5000, 1), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.write(5000, 'x'), 'ERR_MEMMAP_RANGE');
    assert.equal(m.length, 4096);
  },
  'cpython.test_flush_return_value'(t) {
    using m = mapFileSync(t.file('123456'), { access: 'read-write' });
    m.write(0, 'python');
    succeeds(() => m.flushSync());
    mustRefuse(() => sys.msync(m.address + 1n, 6, constants.MS_SYNC), 'EINVAL', 'msync');
    // The method of the same range rounds it outward.
    succeeds(() => m.flushSync({ offset: 1, length: 5 }));
  },
  'cpython.test_madvise'() {
    const size = 2 * pageSize;
    using m = mapAnonymous(size);
    const range = (offset: unknown, length: unknown) => () =>
      m.advise('normal', { offset, length } as { offset: number; length: number });
    mustRefuse(range(size, 1), 'ERR_MEMMAP_RANGE');
    mustRefuse(range(-1, 1), 'ERR_MEMMAP_RANGE');
    mustRefuse(range(0, -1), 'ERR_MEMMAP_RANGE');
    mustRefuse(range(0, 2n ** 64n), 'ERR_MEMMAP_RANGE');
    mustRefuse(range(0, 'string'), 'ERR_MEMMAP_ARGUMENT');
    mustRefuse(() => m.advise('x' as 'normal'), 'ERR_MEMMAP_ARGUMENT');
    succeeds(() => m.advise('normal'));
    succeeds(() => m.advise('normal', { offset: pageSize }));
    succeeds(() => m.advise('normal', { offset: pageSize, length: pageSize }));
  },
};

const large: Runs = {
  'cpython.large.test_large_offset'(t) {
    const path = t.file('');
    const offset = 0x14fffffff;
    using file = opened(path, 'r+');
    writeSync(file.fd, ' ', offset);
    using m = mapFileSync(path, { offset: 0x140000000 });
    assert.equal(m.length, 0x10000000);
    assert.equal(m.view(0xfffffff, 1).toString(), ' ');
    assert.equal(textOf(m, 0xfffffff), ' ');
  },
  'cpython.large.test_around_4GB'(t) {
    const path = t.file('');
    using file = opened(path, 'r+');
    for (const start of [2 ** 32 - 4, 2 ** 31 - 4]) {
      truncateSync(path, 0);
      writeSync(file.fd, ' DEARdear ', start);
      const offset = 2 ** 31 - 65536;
      using m = mapFileSync(path, { offset });
      assert.equal(m.length, start + 10 - offset);
      assert.equal(m.view(start - offset, 10).toString(), ' DEARdear ');
    }
  },
};

const lifetimes: Runs = {
  async 'cpython.test_weakref'(t) {
    const found = await answer(
      t,
      `let m = memmap.mapAnonymous(16, { address: 2n ** 36n });
       const line = m.address.toString(16) + '-';
       const mapped = () =>
         fs.readFileSync('/proc/self/maps', 'latin1').split('\\n').some((each) => each.startsWith(line));
       const before = mapped();
       const reference = new WeakRef(m);
       m = undefined;
       // A WeakRef is held for the turn that made it; what is freed is unmapped in a later one.
       for (let turn = 0; turn < 1000 && mapped(); turn++) {
         await new Promise((resolve) => setImmediate(resolve));
         gc();
       }
       const collected = reference.deref() === undefined;
       console.log(JSON.stringify({ before, collected, after: mapped() }));`,
      { execArgv: ['--expose-gc'] },
    );
    assert.deepEqual(found, { before: true, collected: true, after: false });
  },
};

export const suite = suiteOf({ ...sizes, ...large, ...lifetimes });
