import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  type MapOptions,
  type Mapping,
  mapFile,
  mapFileSync,
  pageSize,
  registry,
} from '../lib/index.js';
import { Scratch, descriptorsOf, patterned, pythonReads } from './helpers/files.js';
import { findRegion, regionAt } from './helpers/kernel.js';
import { kernelSays, refused, refusedLater } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(3 * pageSize + 100);
const path = scratch.file(bytes);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

type Map = (...args: Parameters<typeof mapFile>) => Promise<Mapping>;
const ways: [string, Map][] = [
  ['mapFile', mapFile],
  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection here
  ['mapFileSync', async (file, options) => mapFileSync(file, options)],
];

describe.each(ways)('%s', (_name, map) => {
  it('shows the whole file, and only that', async () => {
    const m = await map(path);
    expect(m.buffer.equals(bytes)).toBe(true);
    expect(m).toMatchObject({
      length: bytes.length,
      access: 'read',
      protection: 'read',
      path,
      fileOffset: 0n,
      backing: 'kernel',
      state: 'mapped',
      parts: [],
    });
    const region = regionAt(m.address);
    expect(region).toMatchObject({ mode: 'r--s', path, offset: 0, inode: fs.statSync(path).ino });
    expect(region.end - region.start).toBe(BigInt(4 * pageSize));
  });

  it.each([
    [0, 1],
    [1, 1],
    [pageSize - 1, 2],
    [pageSize, pageSize],
    [pageSize + 1, pageSize],
    [100, 2 * pageSize],
    [3 * pageSize + 99, 1],
  ])('shows any part: %p, %p bytes', async (offset, length) => {
    const m = await map(path, { offset, length: BigInt(length) });
    expect(m.buffer.equals(bytes.subarray(offset, offset + length))).toBe(true);
    expect(m.length).toBe(length);
    expect(m.fileOffset).toBe(BigInt(offset));
    expect(m.address % BigInt(pageSize)).toBe(BigInt(offset % pageSize));
    expect(regionAt(m.address).offset).toBe(offset - (offset % pageSize));
  });

  it('runs to the end of the file where no length is given', async () => {
    const m = await map(path, { offset: BigInt(pageSize + 17) });
    expect(m.buffer.equals(bytes.subarray(pageSize + 17))).toBe(true);
  });

  it('gives an empty mapping at the very end', async () => {
    const m = await map(path, { offset: bytes.length });
    expect([m.length, m.buffer.length, m.address]).toEqual([0, 0, 0n]);
  });

  it('gives an empty mapping of an empty file, of which every call is harmless', async () => {
    const empty = scratch.file('');
    const m = await map(empty, { access: 'read-write', populate: true, lock: true });
    expect([m.length, m.buffer.length, m.state, m.path]).toEqual([0, 0, 'mapped', empty]);
    m.flushSync();
    await m.flush();
    await m.prefetch();
    m.protect('read');
    m.advise('dontneed');
    m.lock();
    m.unlock();
    expect(m.read(0, 0)).toHaveLength(0);
    expect(m.residency()).toEqual({ pages: 0, resident: 0, map: new Uint8Array(0) });
    m.unmap();
    expect(m.state).toBe('unmapped');
    expect(registry.mappings()).toEqual([]);
  });

  it.each<[string, () => Promise<Parameters<Map>[0]>]>([
    ['a file: URL', () => Promise.resolve(pathToFileURL(path))],
    ['a descriptor', () => Promise.resolve(fs.openSync(path, 'r'))],
    ['a FileHandle', () => fs.promises.open(path)],
  ])('takes %s', async (_kind, open) => {
    const file = await open();
    const m = await map(file);
    // The mapping outlives the descriptor.
    if (typeof file === 'number') fs.closeSync(file);
    else if (typeof file === 'object' && 'close' in file)
      await (file as fs.promises.FileHandle).close();
    expect(m.buffer.equals(bytes)).toBe(true);
    expect(m.path).toBe(file instanceof URL ? path : undefined);
  });

  it('closes what it opened', async () => {
    const open = () => [descriptorsOf(path), descriptorsOf(scratch.folder)];
    const before = open();
    await map(path);
    await refusedLater(map(path, { offset: 2 ** 40 }));
    await refusedLater(map(scratch.folder));
    expect(open()).toEqual(before);
  });

  const failures: [string, () => [Parameters<Map>[0], MapOptions?], object][] = [
    [
      'a missing file',
      () => ['/nowhere/at all'],
      { ...kernelSays('ENOENT', 'open'), path: '/nowhere/at all' },
    ],
    ['a folder', () => [scratch.folder], { ...kernelSays('ENODEV', 'mmap'), path: scratch.folder }],
    [
      'a folder, for writing',
      () => [scratch.folder, { access: 'read-write' }],
      { ...kernelSays('EISDIR', 'open'), path: scratch.folder },
    ],
    ['a pipe', () => [scratch.fifo()], kernelSays('ENODEV', 'mmap')],
    ['a pipe of some length', () => [scratch.fifo(), { length: 10 }], kernelSays('ENODEV', 'mmap')],
    [
      'a snapshot of a pipe',
      () => [scratch.fifo(), { access: 'snapshot', length: 10 }],
      kernelSays('ESPIPE', 'read'),
    ],
    ['a closed descriptor', closedDescriptor, kernelSays('EBADF', 'fstat')],
    ['no descriptor', () => [-1], kernelSays('EBADF', 'fstat')],
    ['a write-only descriptor', () => [fs.openSync(path, 'a')], kernelSays('EACCES', 'mmap')],
    [
      'a write-only descriptor of an empty file',
      () => [fs.openSync(scratch.file(''), 'a')],
      kernelSays('EACCES', 'mmap'),
    ],
    [
      'a snapshot of a write-only descriptor',
      () => [fs.openSync(path, 'a'), { access: 'snapshot' }],
      kernelSays('EBADF', 'read'),
    ],
    [
      'writing through a read-only descriptor',
      () => [fs.openSync(path, 'r'), { access: 'read-write' }],
      kernelSays('EACCES', 'mmap'),
    ],
    [
      'growing through a read-only descriptor',
      () => [fs.openSync(path, 'r'), { size: 2 ** 20 }],
      kernelSays('EBADF', 'fallocate'),
    ],
    [
      'a file of the kernel that cannot be mapped',
      () => ['/proc/version'],
      { ...kernelSays('EIO', 'mmap'), path: '/proc/version' },
    ],
  ];
  it.each(failures)('is refused by the system: %s', async (_name, args, expected) => {
    const error = await refusedLater(map(...args()));
    expect(error).toMatchObject(expected);
    expect(error.errno).toBeLessThan(0);
    expect(registry.mappings()).toEqual([]);
  });

  it.each<[MapOptions, string]>([
    [{ offset: bytes.length + 1 }, `offset ${String(bytes.length + 1)}`],
    [{ length: bytes.length + 1 }, `${String(bytes.length + 1)} bytes at offset 0`],
    [{ offset: 5, length: bytes.length - 4 }, `${String(bytes.length - 4)} bytes at offset 5`],
    [{ offset: 2n ** 53n - 1n }, 'offset 9007199254740991'],
  ])('says that the file is too short for %p', async (options, wanted) => {
    const error = await refusedLater(map(path, options));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_RANGE', path, length: bytes.length });
    expect(error.message).toContain(`${String(bytes.length)} bytes: ${wanted} lies beyond its end`);
    expect(error.message).toContain('size');
  });

  it('maps /dev/zero, where a length is given', async () => {
    const m = await map('/dev/zero', { access: 'copy-on-write', length: pageSize });
    m.write(0, 'private');
    expect(m.read(0, 8).toString()).toBe('private\0');
    const error = await refusedLater(map('/dev/zero'));
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', path: '/dev/zero' });
    expect(error.message).toContain('length');
  });

  it('lives on when the file is deleted', async () => {
    const doomed = scratch.file(bytes);
    const m = await map(doomed);
    fs.unlinkSync(doomed);
    expect(regionAt(m.address).path).toBe(`${doomed} (deleted)`);
    expect(m.read(0, m.length).equals(bytes)).toBe(true);
  });
});

describe('access', () => {
  const copy = () => scratch.file(bytes);

  it("'read' shows what others write later, and cannot be written", () => {
    const file = copy();
    const m = mapFileSync(file);
    fs.writeFileSync(file, 'changed', { flag: 'r+' });
    expect(m.buffer.toString('latin1', 0, 7)).toBe('changed');
    const error = refused(() => m.write(0, 'x'));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_READ_ONLY', path: file, address: m.address });
    expect(pythonReads(file, 0, 7)).toBe(Buffer.from('changed').toString('hex'));
  });

  it("'read-write' reaches the file, other mappings and other processes", () => {
    const file = copy();
    const m = mapFileSync(file, { access: 'read-write', offset: 10 });
    const other = mapFileSync(file);
    m.buffer.write('through the Buffer');
    m.write(100, 'through the kernel');
    expect(regionAt(m.address)).toMatchObject({ mode: 'rw-s' });
    expect(other.buffer.toString('latin1', 10, 28)).toBe('through the Buffer');
    expect(pythonReads(file, 110, 18)).toBe(Buffer.from('through the kernel').toString('hex'));
    expect(fs.statSync(file).size).toBe(bytes.length);
  });

  it("'copy-on-write' keeps writes to itself", () => {
    const file = copy();
    const m = mapFileSync(file, { access: 'copy-on-write' });
    m.buffer.fill(0xee);
    const region = regionAt(m.address);
    expect(region).toMatchObject({ mode: 'rw-p', path: file });
    expect(region.sizes['Private_Dirty']).toBe((4 * pageSize) / 1024);
    expect(fs.readFileSync(file).equals(bytes)).toBe(true);
  });

  it("'copy-on-write' can be had of a file that may only be read", () => {
    const m = mapFileSync(fs.openSync(path, 'r'), { access: 'copy-on-write' });
    expect(m.write(0, 'x')).toBe(1);
  });
});

describe.each(ways)('a snapshot by %s', (_name, map) => {
  it('is what the file held, whatever becomes of it', async () => {
    const file = scratch.file(bytes);
    const m = await map(file, { access: 'snapshot', offset: 33, length: 2 * pageSize });
    fs.writeFileSync(file, 'x'.repeat(pageSize));
    fs.truncateSync(file, 0);
    fs.unlinkSync(file);
    expect(m.buffer.equals(bytes.subarray(33, 33 + 2 * pageSize))).toBe(true);
    expect(m).toMatchObject({ access: 'snapshot', backing: 'copy', path: file, fileOffset: 33n });
  });

  it('is memory of its own, and may be written', async () => {
    const file = scratch.file(bytes);
    const m = await map(file, { access: 'snapshot' });
    expect(regionAt(m.address)).toMatchObject({ mode: 'rw-p', inode: 0 });
    expect(m.write(5, 'mine')).toBe(4);
    expect(m.read(5, 4).toString()).toBe('mine');
    expect(fs.readFileSync(file).equals(bytes)).toBe(true);
  });

  it('of an empty file is empty', async () => {
    const m = await map(scratch.file(''), { access: 'snapshot' });
    expect([m.length, m.backing]).toEqual([0, 'copy']);
  });
});

it('unmap gives the file back at once, viewed or not', () => {
  for (const view of [false, true]) {
    const file = scratch.file(bytes);
    const m = mapFileSync(file);
    const { address } = m;
    if (view) expect(m.buffer[0]).toBe(bytes[0]);
    m.unmap();
    expect(findRegion(address)?.path ?? '').not.toContain(file);
  }
});

function closedDescriptor(): [number] {
  const fd = fs.openSync(path, 'r');
  fs.closeSync(fd);
  return [fd];
}
