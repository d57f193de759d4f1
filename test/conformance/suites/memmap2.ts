// memmap2-rs, src/lib.rs.
import assert from 'node:assert/strict';
import { readFileSync, truncateSync } from 'node:fs';
import { type Runs, agrees, all, answer, holds, modes, opened, succeeds, suiteOf } from '../kit.js';
import { type Mapping, memmap, mustRefuse, pageSize, textOf } from '../tools.js';

const { mapAnonymous, mapFileSync } = memmap;

const COUNT = 128;
const counting = Buffer.from(Array.from({ length: COUNT }, (_, value) => value));

/** The mapping is zero, takes stores and shows them. */
function takesStores(m: Mapping): void {
  assert.equal(m.length, COUNT);
  holds(m, 0);
  for (let at = 0; at < COUNT; at++) m.buffer[at] = at;
  assert.ok(m.buffer.equals(counting));
  assert.ok(m.read(0, COUNT).equals(counting));
}

const made: Runs = {
  'memmap2.map_file'(t) {
    const path = t.file(Buffer.alloc(COUNT));
    using m = mapFileSync(path, { access: 'read-write' });
    takesStores(m);
    assert.ok(readFileSync(path).equals(counting));
  },
  'memmap2.map_fd'(t) {
    const path = t.file(Buffer.alloc(COUNT));
    using file = opened(path, 'r+');
    using m = mapFileSync(file.fd, { access: 'read-write' });
    takesStores(m);
    assert.ok(readFileSync(path).equals(counting));
  },
  'memmap2.map_empty_file'(t) {
    const path = t.file('');
    for (const access of ['read', 'read-write', 'copy-on-write'] as const) {
      using m = mapFileSync(path, { access });
      assert.deepEqual([m.length, m.buffer.length, m.read(0, 0).length], [0, 0, 0]);
    }
  },
  'memmap2.map_anon'() {
    using m = mapAnonymous(COUNT);
    takesStores(m);
  },
  'memmap2.index'() {
    using m = mapAnonymous(COUNT);
    m.buffer[0] = 42;
    assert.equal(m.buffer[0], 42);
  },
  'memmap2.map_offset'(t) {
    const path = t.file('');
    const [offset, length] = [2 ** 32 + 1, 5432];
    truncateSync(path, offset + length);
    using m = mapFileSync(path, { access: 'read-write', offset, length });
    using rest = mapFileSync(path, { access: 'read-write', offset });
    assert.deepEqual([m.length, rest.length, m.fileOffset], [length, length, BigInt(offset)]);
    holds(m, 0);
    m.buffer.fill(7);
    holds(rest, 7);
  },
  'memmap2.raw'(t) {
    using m = mapFileSync(t.file('abc123'), { access: 'read-write' });
    assert.deepEqual([m.length, m.buffer[0]], [6, 0x61]);
  },
  'memmap2.raw_read_only'(t) {
    using file = opened(t.file('abc123'), 'r');
    using m = mapFileSync(file.fd);
    assert.deepEqual([m.length, m.buffer[0]], [6, 0x61]);
  },
};

const files: Runs = {
  async 'memmap2.flush_range'(t) {
    const path = t.file(Buffer.alloc(8));
    using m = mapFileSync(path, { access: 'read-write', offset: 2, length: 6 });
    m.write(0, 'abcdef');
    await m.flush({ offset: 0, length: 3 });
    m.flushSync({ offset: 0, length: 3 });
    await m.flush({ offset: 3, length: 3 });
    m.flushSync({ offset: 3, length: 3 });
    mustRefuse(() => m.flushSync({ offset: 3, length: 4 }), 'ERR_MEMMAP_RANGE');
    assert.equal(readFileSync(path, 'latin1'), '\0\0abcdef');
  },
  'memmap2.map_copy'(t) {
    const path = t.file(Buffer.alloc(COUNT));
    using m = mapFileSync(path, { access: 'copy-on-write' });
    m.buffer.set(counting);
    succeeds(() => m.flushSync());
    assert.ok(m.read(0, COUNT).equals(counting));
    assert.ok(readFileSync(path).equals(Buffer.alloc(COUNT)));
    using second = mapFileSync(path);
    holds(second, 0);
  },
  'memmap2.map_copy_read_only'(t) {
    using file = opened(t.file(Buffer.alloc(COUNT)), 'r');
    using m = mapFileSync(file.fd, { access: 'copy-on-write' });
    m.protect('read');
    assert.deepEqual(modes(t, m.address, 1), ['r--p']);
    holds(m, 0);
  },
  'memmap2.mprotect_copy'(t) {
    const path = t.file(Buffer.alloc(COUNT));
    using m = mapFileSync(path, { access: 'copy-on-write' });
    m.protect('read');
    assert.deepEqual(modes(t, m.address, 1), ['r--p']);
    m.protect('read-write');
    assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
    m.write(0, counting);
    assert.ok(m.read(0, COUNT).equals(counting));
    assert.ok(readFileSync(path).equals(Buffer.alloc(COUNT)));
    m.protect('read-execute');
    assert.deepEqual(modes(t, m.address, 1), ['r-xp']);
  },
};

const memory: Runs = {
  'memmap2.mprotect_anon'(t) {
    using m = mapAnonymous(COUNT);
    for (const [word, mode] of [
      ['read-write', 'rw-p'],
      ['read', 'r--p'],
      ['read-write', 'rw-p'],
      ['read-execute', 'r-xp'],
    ] as const) {
      m.protect(word);
      assert.deepEqual([m.protection, modes(t, m.address, 1)], [word, [mode]]);
    }
  },
  'memmap2.advise_writes_unsafely_to_part_of_map'() {
    using m = mapAnonymous(2 * pageSize);
    m.buffer.fill(255);
    m.advise('dontneed', { offset: pageSize, length: pageSize });
    holds(m, 255, { length: pageSize });
    holds(m, 0, { offset: pageSize });
  },
  async 'memmap2.owning_ref'(t) {
    const found = await answer(
      t,
      `let m = memmap.mapAnonymous(128);
       m.buffer[10] = 42;
       const reference = new WeakRef(m);
       const slice = m.buffer.subarray(10, 11);
       m = undefined;
       for (let turn = 0; turn < 20; turn++) {
         await new Promise((resolve) => setImmediate(resolve));
         gc();
       }
       console.log(JSON.stringify([slice[0], reference.deref()?.state]));`,
      { execArgv: ['--expose-gc'] },
    );
    assert.deepEqual(found, [42, 'mapped']);
  },
};

/** Grows a mapping of a file that is long enough. */
function grows(path: string, offset: number): void {
  truncateSync(path, offset + 2000);
  using m = mapFileSync(path, { access: 'read-write', offset, length: COUNT });
  m.buffer.fill(1);
  m.resize(2000);
  assert.equal(m.length, 2000);
  holds(m, 1, { length: COUNT });
  holds(m, 0, { offset: COUNT });
  m.buffer.fill('b');
  assert.equal(textOf(m), 'b'.repeat(2000));
  assert.ok(readFileSync(path).subarray(offset).equals(Buffer.alloc(2000, 'b')));
  agrees();
}

const remapped: Runs = {
  'memmap2.remap_grow'(t) {
    grows(t.file(''), 0);
  },
  'memmap2.remap_with_offset'(t) {
    grows(t.file(''), 77);
  },
};

export const suite = suiteOf(
  { ...made, ...files, ...memory, ...remapped },
  {
    inexpressible: all('mapAnonymous asks for at least one byte: the kernel has no empty mapping', [
      'memmap2.map_anon_zero_len',
    ]),
  },
);
