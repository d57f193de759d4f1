import fs from 'node:fs';
import { inspect } from 'node:util';
import { Mapping, mapAnonymous, mapFileSync, pageSize, registry } from '../lib/index.js';
import { LONGEST_VIEW } from '../lib/views.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(3 * pageSize + 100);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

describe('buffer', () => {
  it('is made once', () => {
    const m = mapAnonymous(100);
    expect(m.buffer).toBe(m.buffer);
    expect(Buffer.isBuffer(m.buffer)).toBe(true);
  });

  it('is the memory itself', () => {
    const m = mapFileSync(scratch.file(bytes), { access: 'read-write', offset: 7, length: 50 });
    expect(m.buffer).toHaveLength(50);
    m.buffer.write('zero copy', 3);
    expect(m.read(3, 9).toString()).toBe('zero copy');
    m.write(20, 'and back');
    expect(m.buffer.toString('latin1', 20, 28)).toBe('and back');
  });

  it('has length 0 after unmap, and so have all that were cut from it', () => {
    const m = mapAnonymous(pageSize);
    const { buffer } = m;
    const part = buffer.subarray(5, 10);
    m.unmap();
    expect([buffer.length, part.length, buffer.buffer.byteLength]).toEqual([0, 0, 0]);
    expect(refused(() => m.buffer)).toMatchObject(memmapSays('UNMAPPED'));
  });

  it('is the whole where this runtime allows it, and else says so and names view', () => {
    const m = mapAnonymous(2 ** 45, { noReserve: true, access: 'read' });
    expect(m.view(m.length - 10, 10)).toHaveLength(10);
    if (m.length <= LONGEST_VIEW) {
      expect(m.buffer.length).toBe(m.length);
      return;
    }
    const error = refused(() => m.buffer);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ ...memmapSays('RANGE'), length: m.length });
    expect(error.message).toContain('view(offset, length)');
  });

  it('is made anew for pages that can be read again', () => {
    const m = mapAnonymous(pageSize);
    const old = m.buffer;
    m.protect('none');
    expect(old).toHaveLength(0);
    const error = refused(() => m.buffer);
    expect(error).toMatchObject(memmapSays('UNSUPPORTED'));
    expect(error.message).toContain("protect('read')");
    m.protect('read-write');
    expect(m.buffer).toHaveLength(pageSize);
    expect(old).toHaveLength(0);
  });
});

describe('view', () => {
  it('is a window of the memory', () => {
    const m = mapFileSync(scratch.file(bytes), { offset: 11 });
    for (const [offset, length] of [
      [0, 1],
      [pageSize, 5],
      [pageSize - 13, 26],
      [m.length - 1, 1],
    ] as const) {
      expect(
        m.view(offset, BigInt(length)).equals(bytes.subarray(11 + offset, 11 + offset + length)),
      ).toBe(true);
    }
  });

  it('runs to the end where no length is given, and may be empty', () => {
    const m = mapAnonymous(100);
    expect([m.view(40), m.view(100), m.view(3, 0)].map((view) => view.length)).toEqual([60, 0, 0]);
  });

  it('shows the same bytes as the others, made before or after buffer', () => {
    const m = mapAnonymous(100);
    const before = m.view(10, 5);
    m.buffer.write('hello', 10);
    const after = m.view(10n, 5n);
    expect([before.toString(), after.toString()]).toEqual(['hello', 'hello']);
    m.unmap();
    expect([before.length, after.length]).toEqual([0, 0]);
  });

  it.each([
    [101, undefined],
    [0, 101],
    [100, 1],
    [50, 2 ** 53 - 1],
    [2n ** 53n - 1n, 2n ** 53n - 1n],
  ])('does not reach outside: %p, %p', (offset, length) => {
    const error = refused(() => mapAnonymous(100).view(offset, length));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject(memmapSays('RANGE'));
  });

  it('needs pages that can be read, and only those', () => {
    const m = mapAnonymous(2 * pageSize);
    m.protect('none', { offset: pageSize });
    expect(m.view(0, pageSize)).toHaveLength(pageSize);
    expect(refused(() => m.view(0, pageSize + 1))).toMatchObject(memmapSays('UNSUPPORTED'));
  });
});

describe('read', () => {
  let m: Mapping;
  beforeEach(() => {
    m = mapFileSync(scratch.file(bytes), { offset: 9 });
  });

  it('copies into a new Buffer', () => {
    const copy = m.read(pageSize - 20, 40n);
    expect(copy.equals(bytes.subarray(pageSize - 11, pageSize + 29))).toBe(true);
    expect(m.read(m.length, 0)).toHaveLength(0);
  });

  it.each<[string, (length: number) => NodeJS.ArrayBufferView]>([
    ['a Buffer', (length) => Buffer.alloc(length)],
    ['a Uint8Array', (length) => new Uint8Array(length)],
    ['a Uint32Array', (length) => new Uint32Array(length / 4)],
    [
      'a BigInt64Array in the middle of its buffer',
      (length) => new BigInt64Array(new ArrayBuffer(length + 16), 8, length / 8),
    ],
    ['a DataView', (length) => new DataView(new ArrayBuffer(length + 3), 3, length)],
    ['memory that is shared', (length) => new Uint8Array(new SharedArrayBuffer(length))],
  ])('fills %s and gives it back', (_kind, make) => {
    const target = make(64);
    expect(m.read(5, target)).toBe(target);
    const filled = Buffer.from(target.buffer as ArrayBuffer, target.byteOffset, target.byteLength);
    expect(filled.equals(bytes.subarray(14, 78))).toBe(true);
  });

  it('is EFAULT where the file has been cut off, not a signal', () => {
    const path = scratch.file(bytes);
    const cut = mapFileSync(path);
    fs.truncateSync(path, 10);
    expect(cut.read(0, 10).equals(bytes.subarray(0, 10))).toBe(true);
    const error = refused(() => cut.read(pageSize, 5));
    expect(error).toMatchObject({
      ...kernelSays('EFAULT', 'process_vm_readv'),
      address: cut.address + BigInt(pageSize),
      length: 5,
      path,
    });
    expect(refused(() => cut.read(pageSize - 5, 10))).toMatchObject(
      kernelSays('EFAULT', 'process_vm_readv'),
    );
  });

  it('is EFAULT where the pages may not be read', () => {
    const closed = mapAnonymous(2 * pageSize);
    closed.protect('none', { offset: pageSize });
    expect(closed.read(0, 5)).toHaveLength(5);
    expect(refused(() => closed.read(pageSize, 5))).toMatchObject(
      kernelSays('EFAULT', 'process_vm_readv'),
    );
  });

  it('does not reach outside', () => {
    for (const call of [
      () => m.read(0, m.length + 1),
      () => m.read(m.length, Buffer.alloc(1)),
      () => m.read(m.length + 1, 0),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('RANGE'));
    }
  });

  it('reads into memory of the same mapping', () => {
    const own = mapAnonymous(2 * pageSize);
    own.write(0, 'from here');
    own.read(0, own.view(pageSize, 9));
    expect(own.buffer.toString('latin1', pageSize, pageSize + 9)).toBe('from here');
  });
});

describe('write', () => {
  it.each<[string, string | NodeJS.ArrayBufferView, string]>([
    ['a string as UTF-8', 'grün', '6772c3bc6e'],
    ['a Buffer', Buffer.from('0a0b0c', 'hex'), '0a0b0c'],
    ['the bytes of any view', Uint16Array.of(0x0201, 0x0403).subarray(1), '0304'],
    ['a DataView', new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2), '0203'],
    ['nothing', '', ''],
  ])('takes %s and gives how many bytes', (_kind, source, hex) => {
    const path = scratch.file(Buffer.alloc(100));
    const m = mapFileSync(path, { access: 'read-write', offset: 3 });
    expect(m.write(10n, source)).toBe(hex.length / 2);
    expect(pythonReads(path, 13, hex.length / 2)).toBe(hex);
    expect(pythonReads(path, 12, 1)).toBe('00');
  });

  it('is EFAULT where the file has been cut off, not a signal', () => {
    const path = scratch.file(bytes);
    const cut = mapFileSync(path, { access: 'read-write' });
    fs.truncateSync(path, 10);
    const error = refused(() => cut.write(2 * pageSize, 'lost'));
    expect(error).toMatchObject({
      ...kernelSays('EFAULT', 'process_vm_writev'),
      address: cut.address + BigInt(2 * pageSize),
      path,
    });
    expect(fs.statSync(path).size).toBe(10);
  });

  it('follows the protection of each page', () => {
    const m = mapAnonymous(3 * pageSize);
    m.protect('read', { offset: pageSize, length: pageSize });
    expect(m.write(0, 'ok')).toBe(2);
    expect(m.write(2 * pageSize, 'ok')).toBe(2);
    for (const offset of [pageSize, 2 * pageSize - 1, pageSize - 1]) {
      const error = refused(() => m.write(offset, 'no'));
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({
        ...memmapSays('READ_ONLY'),
        address: m.address + BigInt(offset),
        length: 2,
      });
      expect(error.message).toMatch(/mixed.*read-write/);
    }
    m.protect('read-write');
    expect(m.write(pageSize - 1, 'yes')).toBe(3);
  });

  it('does not reach outside', () => {
    const m = mapAnonymous(100);
    expect(refused(() => m.write(98, 'abc'))).toMatchObject(memmapSays('RANGE'));
    expect(refused(() => m.write(101, ''))).toMatchObject(memmapSays('RANGE'));
  });

  it('writes from memory of the same mapping', () => {
    const m = mapAnonymous(2 * pageSize);
    m.buffer.write('from here');
    m.write(pageSize, m.view(0, 9));
    expect(m.read(pageSize, 9).toString()).toBe('from here');
  });
});

describe('a Mapping', () => {
  it('is not made by new', () => {
    const make = Mapping as unknown as new (...args: unknown[]) => unknown;
    // Nor by what it is built on: a record that somebody made up is no mapping.
    const base = Object.getPrototypeOf(Mapping) as new (...args: unknown[]) => unknown;
    const record = {
      state: 'mapped',
      start: pageSize,
      end: 2 * pageSize,
      lead: 0,
      length: pageSize,
    };
    if (base.name !== 'EventEmitter')
      expect(refused(() => new base(record))).toMatchObject(memmapSays('ARGUMENT'));
    for (const args of [[], [Symbol('memmap'), {}], [undefined, null]]) {
      expect(refused(() => new make(...args))).toMatchObject(memmapSays('ARGUMENT'));
    }
  });

  it('can be printed, as anything near it can', () => {
    const m = mapFileSync(scratch.file(bytes));
    for (const text of [inspect(m), inspect({ m })]) {
      expect(text).toContain(
        `Mapping { ${String(bytes.length)} bytes of '${m.path!}', read, mapped at 0x`,
      );
    }
    m.unmap();
    expect(inspect(m)).toContain('unmapped');
    for (const each of [Mapping, Mapping.prototype, Object.create(m) as object, new Proxy(m, {})]) {
      expect(inspect(each)).toMatch(/Mapp/);
    }
  });

  it('answers what it was after unmap, and nothing that needs its memory', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { offset: 5 });
    const { address } = m;
    m.unmap();
    expect([m.address, m.length, m.path, m.fileOffset, m.access, m.state]).toEqual([
      address,
      bytes.length - 5,
      path,
      5n,
      'read',
      'unmapped',
    ]);
    const error = refused(() => m.read(0, 1));
    expect(error).toMatchObject({ ...memmapSays('UNMAPPED'), address, path });
    expect(error.message).toContain('unmapped');
  });

  it('keeps its memory as long as anybody has a Buffer of it', () => {
    const view = mapFileSync(scratch.file(bytes)).view(100, 50);
    expect(view.equals(bytes.subarray(100, 150))).toBe(true);
    expect(registry.mappings()).toHaveLength(1);
    expect(regionAt(registry.mappings()[0]!.address).mode).toBe('r--s');
  });
});
