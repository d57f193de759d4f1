// CPython, Lib/test/test_mmap.py. What its mmap object does as a bytearray, a Buffer over the
// mapping does; its file position has no counterpart here.
import assert from 'node:assert/strict';
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { type Runs, answer, mmap, opened, suiteOf } from '../kit.js';
import { memmap, mustRefuse, pageSize, textOf } from '../tools.js';

const { mapAnonymous, mapFileSync } = memmap;

const basics: Runs = {
  'cpython.test_basic'(t) {
    const path = t.file(Buffer.alloc(2 * pageSize));
    const file = openSync(path, 'r+');
    writeSync(file, 'foo', pageSize);
    closeSync(file);
    using m = mapFileSync(path, { access: 'read-write' });
    const { buffer } = m;
    assert.deepEqual([buffer[0], buffer.toString('latin1', 0, 3)], [0, '\0\0\0']);
    assert.equal(buffer.indexOf('foo'), pageSize);
    buffer[0] = 0x33;
    buffer.write('bar', pageSize + 3);
    m.flushSync();
    assert.equal(buffer[0], 0x33);
    assert.equal(readFileSync(path, 'latin1').slice(pageSize, pageSize + 7), 'foobar\0');
    const found = /[A-Za-z]+/.exec(buffer.toString('latin1'));
    assert.deepEqual([found?.[0], found?.index], ['foobar', pageSize]);
    // The file is cut by hand: resize makes a file longer, never shorter.
    m.resize(512);
    truncateSync(path, 512);
    assert.deepEqual([m.length, m.buffer.length, statSync(path).size], [512, 512, 512]);
    assert.equal(m.buffer[0], 0x33);
    m.flushSync();
  },
  'cpython.test_access_parameter'(t) {
    const path = t.file('a'.repeat(10));
    using read = mapFileSync(path);
    assert.equal(textOf(read), 'a'.repeat(10));
    mustRefuse(() => read.write(0, 'b'.repeat(10)), 'ERR_MEMMAP_READ_ONLY');
    assert.equal(readFileSync(path, 'latin1'), 'a'.repeat(10));
    mustRefuse(() => mapFileSync(path, { length: 11 }), 'ERR_MEMMAP_RANGE');
    using written = mapFileSync(path, { access: 'read-write' });
    written.write(0, 'c'.repeat(10));
    written.flushSync();
    assert.equal(readFileSync(path, 'latin1'), 'c'.repeat(10));
    using copied = mapFileSync(path, { access: 'copy-on-write' });
    copied.write(0, 'd'.repeat(10));
    copied.flushSync();
    assert.equal(textOf(copied), 'd'.repeat(10));
    assert.equal(readFileSync(path, 'latin1'), 'c'.repeat(10));
  },
  'cpython.test_bad_file_desc'() {
    mustRefuse(() => mapFileSync(-2), 'EBADF', 'fstat');
    mustRefuse(() => mmap({ flags: 'SHARED', fd: -2 }), 'EBADF', 'mmap');
  },
  'cpython.test_double_close'(t) {
    const m = mapFileSync(t.file('a'.repeat(10)));
    m.unmap();
    m.unmap();
    assert.equal(m.state, 'unmapped');
  },
  'cpython.test_entire_file'(t) {
    const text = Buffer.alloc(65536, 'm');
    using m = mapFileSync(t.file(text), { access: 'read-write' });
    assert.equal(m.length, 65536);
    assert.ok(m.buffer.equals(text));
  },
  'cpython.test_length_0_large_offset'(t) {
    const path = t.file(Buffer.alloc(115699, 'm'));
    mustRefuse(() => mapFileSync(path, { offset: 2147418112 }), 'ERR_MEMMAP_RANGE');
  },
  'cpython.test_anonymous'(t) {
    using m = mapAnonymous(pageSize);
    assert.match(t.smaps(m.address)['perms'] ?? '', /^rw-p$/);
    const { buffer } = m;
    for (let at = 0; at < pageSize; at++) assert.equal(buffer[at], 0);
    for (let at = 0; at < pageSize; at++) {
      buffer[at] = at & 255;
      assert.equal(buffer[at], at & 255);
    }
  },
  // The kernel has no empty mapping; mapFile gives one of length 0 all the same, as memmap2 does.
  'cpython.test_empty_file'(t) {
    using file = opened(t.file(''), 'r');
    const call = { length: 0, prot: 'r', flags: 'SHARED', fd: file.fd };
    mustRefuse(() => mmap(call), 'EINVAL', 'mmap');
    using m = mapFileSync(file.fd);
    assert.deepEqual([m.length, m.buffer.length], [0, 0]);
  },
  'cpython.test_offset'(t) {
    const path = t.file(Buffer.alloc(2 * pageSize));
    const file = openSync(path, 'r+');
    writeSync(file, 'foo', pageSize);
    closeSync(file);
    for (const [offset, code] of [
      [-2, 'ERR_MEMMAP_RANGE'],
      [-1, 'ERR_MEMMAP_RANGE'],
      [null, 'ERR_MEMMAP_ARGUMENT'],
    ] as const) {
      mustRefuse(() => mapFileSync(path, { offset: offset as number }), code);
    }
    using m = mapFileSync(path, { access: 'read-write', offset: pageSize });
    assert.deepEqual([m.length, textOf(m, 0, 3)], [pageSize, 'foo']);
    m.resize(512);
    assert.deepEqual([m.length, textOf(m, 0, 3)], [512, 'foo']);
  },
  'cpython.test_prot_readonly'(t) {
    using m = mapFileSync(t.file('a'.repeat(10)));
    assert.throws(() => m.write(0, 'foo'), { name: 'TypeError', code: 'ERR_MEMMAP_READ_ONLY' });
    assert.equal(textOf(m), 'a'.repeat(10));
  },
};

/** Every pair of bounds within and around a text of this length. */
const bounds = (length: number): [number, number][] =>
  Array.from({ length: length + 3 }, (_, first) => first - 1).flatMap((first) =>
    Array.from({ length: length + 3 }, (_, last): [number, number] => [first, last - 1]),
  );

const bytes: Runs = {
  'cpython.test_find_end'(t) {
    const text = Buffer.from('one two ones');
    using m = mapFileSync(t.file(text), { access: 'read-write' });
    for (const word of ['one', 'o', 'two', 'ones', 'onesx', '']) {
      for (const [from, to] of bounds(text.length)) {
        const wanted = text.subarray(from, to).indexOf(word);
        assert.equal(m.buffer.subarray(from, to).indexOf(word), wanted, `${word} ${from} ${to}`);
      }
    }
  },
  'cpython.test_rfind'(t) {
    const text = Buffer.from('one two ones');
    using m = mapFileSync(t.file(text), { access: 'read-write' });
    assert.equal(m.buffer.lastIndexOf('one'), 8);
    for (const word of ['one', 'o', 'two', 'ones', 'onesx', '']) {
      for (const [from, to] of bounds(text.length)) {
        const wanted = text.subarray(from, to).lastIndexOf(word);
        assert.equal(m.buffer.subarray(from, to).lastIndexOf(word), wanted);
      }
    }
  },
  async 'cpython.test_find_does_not_access_beyond_buffer'(t) {
    const sizes = await answer(
      t,
      `const m = sys.mmap(0, 2 * page, c.PROT_READ | c.PROT_WRITE, c.MAP_PRIVATE | c.MAP_ANONYMOUS, -1, 0);
       sys.mprotect(m.address + BigInt(page), page, c.PROT_NONE);
       const whole = m.view(0, page);
       let sizes = 0;
       for (let size = 0; size <= 2048; size++) {
         const end = whole.subarray(page - size);
         if (end.indexOf('xx') !== -1 || end.lastIndexOf('xx') !== -1) break;
         if (end.indexOf(Buffer.alloc(Math.max(size, 1) + 1, 'y')) !== -1) break;
         sizes++;
       }
       console.log(sizes);`,
    );
    assert.equal(sizes, 2049);
  },
  'cpython.test_move'(t) {
    const data = Buffer.from('0123456789');
    for (let dest = 0; dest < data.length; dest++) {
      for (let source = 0; source < data.length; source++) {
        for (let count = 0; count < data.length - Math.max(dest, source); count++) {
          const wanted = Buffer.from(data);
          wanted.copyWithin(dest, source, source + count);
          using m = mapFileSync(t.file(data), { access: 'read-write' });
          m.buffer.copyWithin(dest, source, source + count);
          assert.ok(m.buffer.equals(wanted));
          m.write(0, data);
          m.write(dest, m.view(source, count));
          assert.ok(m.read(0, 10).equals(wanted), `write ${dest} ${source} ${count}`);
        }
      }
    }
    using m = mapFileSync(t.file(data), { access: 'read-write' });
    for (const [dest, source, count] of [
      [-1, 0, 1],
      [0, -1, 1],
      [0, 0, -1],
      [1, 0, 10],
      [0, 1, 10],
    ]) {
      const move = () => m.write(dest ?? 0, m.view(source ?? 0, count));
      mustRefuse(move, 'ERR_MEMMAP_RANGE');
    }
    assert.ok(m.buffer.equals(data));
  },
  'cpython.test_read_all'(t) {
    const text = Buffer.from('ABC\nDEF\nGHI');
    const path = t.file(text);
    using file = opened(path, 'r');
    using m = mapFileSync(path);
    for (let from = 0; from <= text.length; from++) {
      for (let length = 0; length <= text.length - from; length++) {
        const wanted = Buffer.alloc(length);
        readSync(file.fd, wanted, 0, length, from);
        assert.ok(m.read(from, length).equals(wanted));
        assert.ok(m.view(from, length).equals(wanted));
      }
      assert.ok(m.view(from).equals(text.subarray(from)));
    }
    mustRefuse(() => m.read(text.length, 1), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => m.read(0, -1), 'ERR_MEMMAP_RANGE');
  },
  'cpython.test_extended_getslice'() {
    const text = Buffer.from(Array.from({ length: 256 }, (_, value) => 255 - value));
    using m = mapAnonymous(text.length);
    m.write(0, text);
    const every = (view: Buffer, step: number) => [...view].filter((_, at) => at % step === 0);
    const edges = [0, 1, 3, 19, 255, 256, 300, -1, -2, -31, -300];
    for (const from of edges) {
      for (const to of edges) {
        const [got, wanted] = [m.buffer.subarray(from, to), text.subarray(from, to)];
        assert.ok(got.equals(wanted));
        for (const step of [1, 3, 19]) assert.deepEqual(every(got, step), every(wanted, step));
        assert.ok(Buffer.from(got).reverse().equals(Buffer.from(wanted).reverse()));
      }
    }
  },
  'cpython.test_non_ascii_byte'() {
    using m = mapAnonymous(pageSize);
    for (const value of [0xb5, 0xff, 0x80]) {
      m.buffer[0] = value;
      assert.deepEqual([m.buffer[0], m.read(0, 1)[0]], [value, value]);
      m.write(1, Uint8Array.of(value));
      assert.equal(m.buffer[1], value);
    }
  },
};

export const suite = suiteOf({ ...basics, ...bytes });
