import fs from 'node:fs';
import { type Source, mapAnonymous, mapFileSync, pageSize, registry } from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);
const other = Buffer.from(bytes.map((byte) => byte ^ 0x55));

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

it('shows a file in the same Buffer at the same address', () => {
  const path = scratch.file(bytes);
  const m = mapAnonymous(2 * pageSize);
  m.buffer.fill(1);
  const { address, buffer } = m;
  const view = m.view(pageSize, 10);
  m.replace({ file: path, offset: pageSize, length: 2 * pageSize });
  expect([m.address, m.buffer === buffer, buffer.length]).toEqual([address, true, 2 * pageSize]);
  expect(buffer.equals(bytes.subarray(pageSize, 3 * pageSize))).toBe(true);
  expect(view.equals(bytes.subarray(2 * pageSize, 2 * pageSize + 10))).toBe(true);
  expect(m).toMatchObject({
    access: 'read',
    protection: 'read',
    path,
    fileOffset: BigInt(pageSize),
    state: 'mapped',
  });
  expect(regionAt(address)).toMatchObject({ mode: 'r--s', path, offset: pageSize });
});

it('shows memory of its own instead of a file, which is left as it is', () => {
  const path = scratch.file(bytes);
  const m = mapFileSync(path, { access: 'read-write', offset: 100, length: pageSize });
  const { buffer } = m;
  m.replace({ anonymous: pageSize });
  expect(buffer.equals(Buffer.alloc(pageSize))).toBe(true);
  buffer.fill(9);
  expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  expect(m).toMatchObject({ access: 'read-write', path: undefined, fileOffset: 0n });
  expect(regionAt(m.address)).toMatchObject({ mode: 'rw-p', inode: 0 });
});

it('shows another part of the same file, and writes there', () => {
  const path = scratch.file(bytes);
  const m = mapFileSync(path, { access: 'read-write', offset: 7, length: 100 });
  const { buffer } = m;
  buffer.write('first');
  m.replace({ file: path, offset: BigInt(pageSize + 7), length: 100n, access: 'read-write' });
  buffer.write('second');
  expect(pythonReads(path, 7, 5)).toBe(Buffer.from('first').toString('hex'));
  expect(pythonReads(path, pageSize + 7, 6)).toBe(Buffer.from('second').toString('hex'));
});

it("takes 'copy-on-write', whose writes stay private", () => {
  const path = scratch.file(bytes);
  const m = mapAnonymous(pageSize);
  m.replace({ file: path, length: pageSize, access: 'copy-on-write' });
  m.buffer.fill(0);
  expect(regionAt(m.address).mode).toBe('rw-p');
  expect(fs.readFileSync(path).equals(bytes)).toBe(true);
});

it('takes a part of a file by descriptor', () => {
  const fd = fs.openSync(scratch.file(bytes), 'r');
  const m = mapAnonymous(pageSize);
  m.replace({ file: fd, length: pageSize });
  fs.closeSync(fd);
  expect(m.buffer.equals(bytes.subarray(0, pageSize))).toBe(true);
});

it('replaces again and again under one Buffer, and unmap ends it', () => {
  const [first, second] = [scratch.file(bytes), scratch.file(other)];
  const m = mapFileSync(first, { length: pageSize });
  const { buffer } = m;
  for (let round = 0; round < 50; round++) {
    m.replace({ file: second, length: pageSize });
    expect(buffer[5]).toBe(other[5]);
    m.replace({ file: first, length: pageSize });
    expect(buffer[5]).toBe(bytes[5]);
  }
  m.unmap();
  expect(buffer).toHaveLength(0);
});

it('says so by an event', () => {
  const m = mapAnonymous(pageSize);
  const events: string[] = [];
  m.on('replace', () => events.push('replace')).on('unmap', () => events.push('unmap'));
  m.replace({ anonymous: pageSize });
  expect(events).toEqual(['replace']);
});

it('forgets mixed protections', () => {
  const m = mapAnonymous(2 * pageSize);
  m.protect('read', { offset: pageSize });
  m.replace({ anonymous: 2 * pageSize });
  expect(m.protection).toBe('read-write');
  m.buffer.fill(1);
});

it('keeps the memory out of children, and in them where that was asked', () => {
  const own = mapAnonymous(pageSize);
  const inherited = mapAnonymous(pageSize, { inherit: true });
  for (const m of [own, inherited]) m.replace({ anonymous: pageSize });
  expect(regionAt(own.address).flags.has('dc')).toBe(true);
  expect(regionAt(inherited.address).flags.has('dc')).toBe(false);
});

describe('what cannot be shown leaves everything as it was', () => {
  const refusals: [string, () => Source, object][] = [
    ['too short a length', () => ({ anonymous: pageSize }), memmapSays('RANGE')],
    ['too long a length', () => ({ anonymous: 3 * pageSize }), memmapSays('RANGE')],
    [
      'a file of another length',
      () => ({ file: scratch.file(other), length: 5 }),
      memmapSays('RANGE'),
    ],
    [
      'a file that is too short',
      () => ({ file: scratch.file('short'), offset: 7 }),
      memmapSays('RANGE'),
    ],
    [
      'a part beyond the end',
      () => ({ file: scratch.file(other), offset: 3 * pageSize + 7 }),
      memmapSays('RANGE'),
    ],
    [
      'an offset that lies elsewhere in its page',
      () => ({ file: scratch.file(other), offset: 8 }),
      { ...memmapSays('RANGE'), argument: 'source.offset' },
    ],
    [
      'a missing file',
      () => ({ file: '/nowhere', offset: 7 }),
      { ...kernelSays('ENOENT', 'open'), path: '/nowhere' },
    ],
    ['a folder', () => ({ file: scratch.folder, offset: 7 }), kernelSays('ENODEV', 'mmap')],
    ['a pipe', () => ({ file: scratch.fifo(), offset: 7 }), kernelSays('ENODEV', 'mmap')],
    ['a closed descriptor', () => ({ file: -1, offset: 7 }), kernelSays('EBADF', 'fstat')],
    [
      'a descriptor that may not be written',
      () => ({
        file: fs.openSync(scratch.file(other), 'r'),
        offset: 7,
        length: 2 * pageSize,
        access: 'read-write',
      }),
      kernelSays('EACCES', 'mmap'),
    ],
    [
      'a snapshot',
      () => ({ file: scratch.file(other), offset: 7, access: 'snapshot' }),
      memmapSays('UNSUPPORTED'),
    ],
  ];
  it.each(refusals)('%s', (_what, source, expected) => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'read-write', offset: 7, length: 2 * pageSize });
    const { buffer, address } = m;
    const events: string[] = [];
    m.on('replace', () => events.push('replace'));
    expect(refused(() => m.replace(source()))).toMatchObject(expected);
    expect(buffer.equals(bytes.subarray(7, 2 * pageSize + 7))).toBe(true);
    expect(m).toMatchObject({
      address,
      path,
      access: 'read-write',
      fileOffset: 7n,
      state: 'mapped',
    });
    buffer.write('still the file');
    expect(fs.readFileSync(path, 'latin1').slice(7, 21)).toBe('still the file');
    expect(events).toEqual([]);
  });
});

it('is ERR_MEMMAP_BUSY while pinned, ERR_MEMMAP_UNMAPPED afterwards', () => {
  const m = mapAnonymous(pageSize);
  const pin = m.pin();
  expect(refused(() => m.replace({ anonymous: pageSize }))).toMatchObject(memmapSays('BUSY'));
  pin.release();
  m.unmap();
  expect(refused(() => m.replace({ anonymous: pageSize }))).toMatchObject(memmapSays('UNMAPPED'));
});

it('an empty mapping has nothing to replace', () => {
  const m = mapFileSync(scratch.file(''));
  expect(refused(() => m.replace({ file: scratch.file(bytes), length: 0 }))).toMatchObject(
    memmapSays('RANGE'),
  );
});
