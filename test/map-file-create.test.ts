import fs from 'node:fs';
import { join } from 'node:path';
import { type MapOptions, mapFile, mapFileSync, pageSize, registry } from '../lib/index.js';
import { Scratch, SmallDisk, patterned, pythonReads } from './helpers/files.js';
import { itUnless, kernelSays, refusedLater } from './helpers/refusals.js';

const scratch = new Scratch();
const disk = SmallDisk.mount(scratch.folder, '1m');

afterAll(() => {
  for (const mapping of registry.mappings()) mapping.unmap();
  if (typeof disk !== 'string') disk.unmount();
  scratch.remove();
});

const allocated = (path: string): number => fs.statSync(path).blocks * 512;

const ways: [string, typeof mapFile][] = [
  ['mapFile', mapFile],
  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection here
  ['mapFileSync', async (file, options) => mapFileSync(file, options)],
];

describe.each(ways)('%s', (_name, map) => {
  it('makes a file, with its blocks', async () => {
    const path = scratch.path();
    const size = 8 * pageSize;
    const m = await map(path, { create: true, size, access: 'read-write' });
    expect([m.length, fs.statSync(path).size]).toEqual([size, size]);
    expect(allocated(path)).toBeGreaterThanOrEqual(size);
    m.write(size - 4, 'last');
    expect(pythonReads(path, size - 4, 4)).toBe(Buffer.from('last').toString('hex'));
  });

  it('makes an empty file where no size is given', async () => {
    const path = scratch.path();
    const m = await map(path, { create: true });
    expect([m.length, fs.statSync(path).size]).toEqual([0, 0]);
  });

  it('makes it with the permissions that the umask leaves', async () => {
    const path = scratch.path();
    await map(path, { create: true });
    expect(fs.statSync(path).mode).toBe(fs.statSync(scratch.file('')).mode);
  });

  it('leaves a file alone that is there already', async () => {
    const path = scratch.file('contents');
    const m = await map(path, { create: true });
    expect(m.buffer.toString()).toBe('contents');
  });

  it('grows a file and keeps what it holds', async () => {
    const path = scratch.file(patterned(100));
    const m = await map(path, { size: BigInt(3 * pageSize), access: 'read-write' });
    expect(m.length).toBe(3 * pageSize);
    expect(m.buffer.subarray(0, 100).equals(patterned(100))).toBe(true);
    expect(m.buffer.subarray(100).every((byte) => byte === 0)).toBe(true);
    expect(allocated(path)).toBeGreaterThanOrEqual(3 * pageSize);
  });

  it('never shortens a file', async () => {
    const path = scratch.file(patterned(3 * pageSize));
    const m = await map(path, { size: 10 });
    expect([m.length, fs.statSync(path).size]).toEqual([3 * pageSize, 3 * pageSize]);
  });

  it('fills the holes of a sparse file', async () => {
    const path = scratch.file('');
    fs.truncateSync(path, 64 * pageSize);
    expect(allocated(path)).toBe(0);
    await map(path, { size: 64 * pageSize });
    expect(allocated(path)).toBeGreaterThanOrEqual(64 * pageSize);
  });

  it('leaves the blocks to later where allocate is false', async () => {
    const path = scratch.path();
    const m = await map(path, { create: true, size: 64 * pageSize, allocate: false });
    expect([m.length, fs.statSync(path).size, allocated(path)]).toEqual([
      64 * pageSize,
      64 * pageSize,
      0,
    ]);
  });

  it('grows a file by a descriptor', async () => {
    const path = scratch.file('x');
    const fd = fs.openSync(path, 'r+');
    const m = await map(fd, { size: pageSize, access: 'read-write' });
    fs.closeSync(fd);
    expect([m.length, fs.statSync(path).size]).toEqual([pageSize, pageSize]);
  });

  it.each([2 ** 50, Number.MAX_SAFE_INTEGER])('is EFBIG for a size of %p', async (size) => {
    const path = scratch.path();
    const error = await refusedLater(map(path, { create: true, size }));
    expect(error).toMatchObject({ ...kernelSays('EFBIG', 'fallocate'), path });
    expect(fs.existsSync(path)).toBe(false);
  });

  it.each<[string, MapOptions, object]>([
    ['the range', { offset: 1 }, { code: 'ERR_MEMMAP_RANGE' }],
    [
      'the place',
      { size: 1, placement: 'exclusive', address: 1n << 62n },
      kernelSays('ENOMEM', 'mmap'),
    ],
  ])('removes the file that it made when %s is refused', async (_what, options, expected) => {
    const path = scratch.path();
    const error = await refusedLater(map(path, { create: true, ...options }));
    expect(error).toMatchObject({ ...expected, path });
    expect(fs.existsSync(path)).toBe(false);
  });

  it('keeps a file that was there when the range is refused', async () => {
    const path = scratch.file('old');
    await refusedLater(map(path, { create: true, offset: 100 }));
    expect(fs.readFileSync(path, 'utf8')).toBe('old');
  });
});

const onDisk = itUnless(typeof disk === 'string' ? disk : undefined);

describe.each(ways)('on a full disk %s', (_name, map) => {
  const place = (name: string): string => join((disk as SmallDisk).folder, name);

  onDisk('is ENOSPC and makes no file', async () => {
    const path = place('new');
    const error = await refusedLater(
      map(path, { create: true, size: 2 ** 21, access: 'read-write' }),
    );
    expect(error).toMatchObject({ ...kernelSays('ENOSPC', 'fallocate'), path });
    expect(fs.existsSync(path)).toBe(false);
  });

  onDisk('is ENOSPC and leaves a file as it was', async () => {
    const path = place('old');
    fs.writeFileSync(path, 'old contents');
    const before = allocated(path);
    const error = await refusedLater(map(path, { size: 2 ** 21, access: 'read-write' }));
    expect(error).toMatchObject(kernelSays('ENOSPC', 'fallocate'));
    expect([fs.readFileSync(path, 'utf8'), allocated(path)]).toEqual(['old contents', before]);
    fs.unlinkSync(path);
  });

  onDisk('says so with populate, where the blocks were left to later', async () => {
    const path = place('sparse');
    const options = { create: true, size: 2 ** 21, access: 'read-write', allocate: false } as const;
    const error = await refusedLater(map(path, { ...options, populate: true }));
    // The kernel does not tell a full disk from the end of the file here.
    expect(error).toMatchObject({ ...kernelSays('EFAULT', 'madvise'), path });
    expect(fs.existsSync(path)).toBe(false);
  });

  onDisk('has a write() that throws where a store would be a signal', async () => {
    const path = place('sparse');
    const m = await map(path, {
      create: true,
      size: 2 ** 21,
      access: 'read-write',
      allocate: false,
    });
    const error = await refusedLater(
      Promise.resolve().then(() => m.write(0, Buffer.alloc(2 ** 21, 1))),
    );
    expect(error).toMatchObject({ ...kernelSays('EFAULT', 'process_vm_writev'), path });
    m.unmap();
    fs.unlinkSync(path);
  });
});
