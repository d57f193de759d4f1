import fs from 'node:fs';
import {
  type Mapping,
  constants,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { findRegion, nowhere, regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

/** Anonymous memory with something of ours right behind it. */
function hemmedIn(pages: number): Mapping {
  const address = nowhere((pages + 1) * pageSize);
  const m = mapAnonymous(pages * pageSize, { address, placement: 'exclusive' });
  mapAnonymous(pageSize, {
    address: address + BigInt(pages * pageSize),
    placement: 'exclusive',
  });
  return m;
}

describe('anonymous memory', () => {
  it('grows in place where there is room', () => {
    const address = nowhere(64 * pageSize);
    const m = mapAnonymous(pageSize, { address, placement: 'exclusive' });
    m.buffer.fill(7);
    m.resize(BigInt(8 * pageSize));
    expect([m.address, m.length]).toEqual([address, 8 * pageSize]);
    expect([m.buffer[0], m.buffer[pageSize], m.buffer.length]).toEqual([7, 0, 8 * pageSize]);
    expect(regionAt(address).end - address).toBe(BigInt(8 * pageSize));
  });

  it.each([true, false])('moves where there is none (a Buffer was made: %p)', (viewed) => {
    const m = hemmedIn(2);
    const { address } = m;
    m.write(10, 'moved along');
    const view = viewed ? m.buffer : undefined;
    m.resize(16 * pageSize);
    expect(m.address).not.toBe(address);
    expect(view?.length ?? 0).toBe(0);
    expect(m.buffer.toString('latin1', 10, 21)).toBe('moved along');
    expect(m.read(16 * pageSize - 1, 1)[0]).toBe(0);
    expect([registry.at(m.address), registry.at(address)]).toEqual([m, undefined]);
    // What native code may still be reading holds zeros for a while; what nobody saw is free at once.
    expect(findRegion(address)?.mode).toBe(viewed ? 'rw-p' : undefined);
  });

  it('shrinks and gives its pages back', () => {
    const m = mapAnonymous(8 * pageSize);
    m.write(0, 'kept');
    const { address } = m;
    m.resize(pageSize + 1);
    expect([m.address, m.length]).toEqual([address, pageSize + 1]);
    expect(m.read(0, 4).toString()).toBe('kept');
    expect(findRegion(address + BigInt(2 * pageSize))).toBeUndefined();
    expect(refused(() => m.view(pageSize, 2))).toMatchObject(memmapSays('RANGE'));
  });

  it('detaches every view, also where no page changes', () => {
    const m = mapAnonymous(100);
    const views = [m.buffer, m.view(10, 5)];
    m.resize(50);
    expect(views.map((view) => view.length)).toEqual([0, 0]);
    expect(m.buffer).toHaveLength(50);
    m.resize(100);
    expect(m.buffer).toHaveLength(100);
  });

  it('can be done again and again', () => {
    const m = mapAnonymous(10);
    m.write(0, 'here');
    for (const pages of [5, 1, 300, 2, 40]) {
      m.resize(pages * pageSize);
      expect([m.length, m.read(0, 4).toString()]).toEqual([pages * pageSize, 'here']);
      m.buffer.fill(1, m.length - 1);
    }
  });

  it('is ENOMEM where nothing can be had, and then all is as it was', () => {
    const m = mapAnonymous(pageSize);
    const { address, buffer } = m;
    buffer.write('still here');
    for (const length of [2 ** 48, Number.MAX_SAFE_INTEGER]) {
      expect(refused(() => m.resize(length))).toMatchObject(kernelSays('ENOMEM', 'mremap'));
    }
    expect([m.address, m.length, m.state]).toEqual([address, pageSize, 'mapped']);
    expect(m.read(0, 10).toString()).toBe('still here');
  });

  it('keeps what the kernel was told of it', () => {
    const m = mapAnonymous(pageSize, { lock: true, hugePages: true });
    m.resize(64 * pageSize);
    const { flags } = regionAt(m.address);
    expect(['lo', 'hg', 'dc'].filter((flag) => flags.has(flag))).toEqual(['lo', 'hg', 'dc']);
  });

  it('shared, it cannot grow beyond what it was made with', () => {
    const m = mapAnonymous(2 * pageSize, { shared: true });
    m.write(0, 'shared');
    const error = refused(() => m.resize(3 * pageSize));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ ...memmapSays('RANGE'), length: 2 * pageSize });
    expect([m.length, m.read(0, 6).toString()]).toEqual([2 * pageSize, 'shared']);
    m.resize(pageSize);
    m.resize(2 * pageSize);
    expect(m.read(2 * pageSize - 1, 1)[0]).toBe(0);
  });

  it('follows the protection of its last page', () => {
    const m = mapAnonymous(2 * pageSize);
    m.protect('read', { offset: pageSize });
    m.resize(pageSize);
    expect(m.protection).toBe('read-write');
    m.protect('read');
    m.resize(3 * pageSize);
    expect([m.protection, regionAt(m.address + BigInt(2 * pageSize)).mode]).toEqual([
      'read',
      'r--p',
    ]);
  });
});

describe('a file', () => {
  it('shows more of it', () => {
    const m = mapFileSync(scratch.file(bytes), { offset: 10, length: 20 });
    m.resize(4 * pageSize - 10);
    expect(m.buffer.equals(bytes.subarray(10))).toBe(true);
    m.resize(1);
    expect(m.buffer.equals(bytes.subarray(10, 11))).toBe(true);
    expect(m.fileOffset).toBe(10n);
  });

  it('is made longer by a mapping that may write it', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'read-write', offset: pageSize });
    m.resize(8 * pageSize);
    expect(fs.statSync(path).size).toBe(9 * pageSize);
    expect(fs.statSync(path).blocks * 512).toBeGreaterThanOrEqual(9 * pageSize);
    m.write(8 * pageSize - 3, 'end');
    expect(pythonReads(path, 9 * pageSize - 3, 3)).toBe(Buffer.from('end').toString('hex'));
  });

  it('keeps its length when the mapping shrinks', () => {
    const path = scratch.file(bytes);
    mapFileSync(path, { access: 'read-write' }).resize(pageSize);
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  });

  it.each(['read', 'copy-on-write'] as const)('that is too short is refused for %s', (access) => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access });
    const view = m.buffer;
    const error = refused(() => m.resize(5 * pageSize));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ ...memmapSays('RANGE'), path, length: 4 * pageSize });
    expect([m.length, fs.statSync(path).size]).toEqual([4 * pageSize, 4 * pageSize]);
    expect(m.buffer.equals(bytes)).toBe(true);
    expect([0, 4 * pageSize]).toContain(view.length);
  });

  it('that was deleted can be seen to its end, and not made longer', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'read-write', length: pageSize });
    fs.unlinkSync(path);
    m.resize(4 * pageSize);
    expect(m.read(0, m.length).equals(bytes)).toBe(true);
    const error = refused(() => m.resize(5 * pageSize));
    expect(error).toMatchObject({ ...memmapSays('RANGE'), path });
    expect([m.length, m.read(0, m.length).equals(bytes)]).toEqual([4 * pageSize, true]);
    expect(fs.existsSync(path)).toBe(false);
  });

  it('that lost its name to another is not confused with it', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'read-write', length: pageSize });
    fs.renameSync(path, `${path}-old`);
    fs.writeFileSync(path, 'the other');
    m.resize(2 * pageSize);
    expect(m.read(0, m.length).equals(bytes.subarray(0, 2 * pageSize))).toBe(true);
    expect(refused(() => m.resize(5 * pageSize))).toMatchObject(memmapSays('RANGE'));
    expect(fs.readFileSync(path, 'utf8')).toBe('the other');
    expect(fs.statSync(`${path}-old`).size).toBe(4 * pageSize);
  });

  it('that was mapped by a descriptor is seen to its end, and not made longer', () => {
    const path = scratch.file(bytes);
    const fd = fs.openSync(path, 'r+');
    const m = mapFileSync(fd, { access: 'read-write', length: pageSize, offset: 1 });
    fs.closeSync(fd);
    m.resize(3 * pageSize);
    expect(m.read(0, m.length).equals(bytes.subarray(1, 1 + 3 * pageSize))).toBe(true);
    expect(refused(() => m.resize(6 * pageSize))).toMatchObject(memmapSays('RANGE'));
    expect([m.length, fs.statSync(path).size]).toEqual([3 * pageSize, 4 * pageSize]);
    expect(m.buffer).toHaveLength(3 * pageSize);
  });

  it('that is a snapshot grows by zeros', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'snapshot', length: pageSize });
    m.resize(2 * pageSize);
    expect(m.read(0, pageSize).equals(bytes.subarray(0, pageSize))).toBe(true);
    expect(m.read(pageSize, pageSize).equals(Buffer.alloc(pageSize))).toBe(true);
  });

  it('that is empty has nothing to resize', () => {
    const m = mapFileSync(scratch.file(''), { access: 'read-write' });
    expect(refused(() => m.resize(10))).toMatchObject(memmapSays('RANGE'));
  });
});

it('is ERR_MEMMAP_UNMAPPED after unmap, ERR_MEMMAP_BUSY while pinned', () => {
  const m = mapAnonymous(pageSize);
  const pin = m.pin();
  expect(refused(() => m.resize(10))).toMatchObject(memmapSays('BUSY'));
  pin.release();
  m.unmap();
  expect(refused(() => m.resize(10))).toMatchObject(memmapSays('UNMAPPED'));
});

it('the kernel’s own answer comes through: mixed protections cannot be moved as one', () => {
  const m = hemmedIn(2);
  m.protect('read', { offset: pageSize });
  const error = refused(() => m.resize(8 * pageSize));
  expect(error).toMatchObject(kernelSays('EFAULT', 'mremap'));
  expect([m.length, m.protection]).toEqual([2 * pageSize, 'mixed']);
  sys.mprotect(m.address, 2 * pageSize, constants['PROT_READ']!);
  m.resize(8 * pageSize);
  expect(m.protection).toBe('read');
});
