import fs from 'node:fs';
import {
  type Advice,
  type Protection,
  constants,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
} from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { modesOf, regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

describe('protect', () => {
  it.each<[Protection, string]>([
    ['none', '---p'],
    ['read', 'r--p'],
    ['write', '-w-p'],
    ['read-write', 'rw-p'],
    ['execute', '--xp'],
    ['read-execute', 'r-xp'],
    ['write-execute', '-wxp'],
    ['read-write-execute', 'rwxp'],
  ])('%s', (access, mode) => {
    const m = mapAnonymous(pageSize);
    m.protect(access);
    expect(regionAt(m.address).mode).toBe(mode);
    expect(m.protection).toBe(access);
    expect(m.access).toBe('read-write');
  });

  it('rounds outward to pages, and knows what is mixed', () => {
    const m = mapAnonymous(4 * pageSize);
    m.protect('read', { offset: pageSize + 1, length: pageSize });
    expect(modesOf(m.address, 4, pageSize)).toEqual(['rw-p', 'r--p', 'r--p', 'rw-p']);
    expect(m.protection).toBe('mixed');
    m.protect('read', { length: 1n });
    m.protect('read', { offset: 3 * pageSize + 5 });
    expect(modesOf(m.address, 4, pageSize)).toEqual(['r--p', 'r--p', 'r--p', 'r--p']);
    expect(m.protection).toBe('read');
  });

  it('of no bytes changes nothing', () => {
    const m = mapAnonymous(pageSize);
    m.protect('none', { offset: 5, length: 0 });
    m.protect('none', { offset: pageSize });
    expect([m.protection, regionAt(m.address).mode]).toEqual(['read-write', 'rw-p']);
  });

  it('rounds outward from a byte offset of the file', () => {
    const m = mapFileSync(scratch.file(bytes), {
      offset: pageSize - 1,
      length: 3,
      access: 'copy-on-write',
    });
    m.protect('read', { offset: 0, length: 1 });
    expect(modesOf(m.address, 2, pageSize)).toEqual(['r--p', 'rw-p']);
  });

  it('detaches views over pages that can no longer be read, and no others', () => {
    const m = mapAnonymous(3 * pageSize);
    const [first, second, third] = [0, 1, 2].map((page) => m.view(page * pageSize, pageSize));
    m.protect('none', { offset: pageSize, length: pageSize });
    expect([first, second, third].map((view) => view?.length)).toEqual([pageSize, 0, pageSize]);
    m.protect('read', { offset: 0, length: pageSize });
    expect(first).toHaveLength(pageSize);
  });

  it('is EACCES where the file was not opened for it', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path);
    const error = refused(() => m.protect('read-write'));
    expect(error).toMatchObject({ ...kernelSays('EACCES', 'mprotect'), path, address: m.address });
    expect([m.protection, regionAt(m.address).mode]).toEqual(['read', 'r--s']);
  });
});

describe('advise', () => {
  const flagOf: [Advice, string, Advice][] = [
    ['random', 'rr', 'normal'],
    ['sequential', 'sr', 'normal'],
    ['hugepage', 'hg', 'nohugepage'],
    ['nohugepage', 'nh', 'hugepage'],
    ['dontdump', 'dd', 'dodump'],
    ['dontfork', 'dc', 'dofork'],
    ['wipeonfork', 'wf', 'keeponfork'],
    ['mergeable', 'mg', 'unmergeable'],
  ];
  it.each(flagOf)('%s sets %s, and %s clears it', (advice, flag, undo) => {
    const m = mapAnonymous(pageSize);
    const before = mapAnonymous(pageSize, { inherit: true });
    if (flag === 'dc') expect(regionAt(before.address).flags.has(flag)).toBe(false);
    m.advise(advice);
    expect(regionAt(m.address).flags.has(flag)).toBe(true);
    m.advise(undo);
    expect(regionAt(m.address).flags.has(flag)).toBe(false);
  });

  it("'dontneed' makes private memory zero, and rounds inward", () => {
    const m = mapAnonymous(3 * pageSize);
    m.buffer.fill(1);
    m.advise('dontneed', { offset: 1, length: 2 * pageSize });
    const zero = [0, 1, 2].map((page) => m.buffer[page * pageSize] === 0);
    expect(zero).toEqual([false, true, false]);
    m.advise('dontneed', { offset: 1, length: pageSize - 1 });
    expect(m.buffer[1]).toBe(1);
  });

  it("'dontneed' counts the mapping's own edges as page edges", () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { offset: 10, length: 2 * pageSize - 20, access: 'copy-on-write' });
    m.buffer.fill(0xee);
    m.advise('dontneed');
    expect(m.buffer.equals(bytes.subarray(10, 2 * pageSize - 10))).toBe(true);
  });

  it("'dontneed' gives memory back", () => {
    const m = mapAnonymous(64 * pageSize, { populate: true });
    expect(regionAt(m.address).sizes['Rss']).toBe((64 * pageSize) / 1024);
    m.advise('dontneed', { length: 32 * pageSize });
    expect(regionAt(m.address).sizes['Rss']).toBe((32 * pageSize) / 1024);
  });

  it("'free' marks pages that may go", () => {
    const m = mapAnonymous(1024 * pageSize, { populate: true });
    expect(regionAt(m.address).sizes['LazyFree']).toBe(0);
    m.advise('free');
    // The kernel books the last few of them later.
    expect(regionAt(m.address).sizes['LazyFree']).toBeGreaterThan((512 * pageSize) / 1024);
  });

  it("'pageout' and 'cold' are taken, and 'willneed' reads", () => {
    const m = mapFileSync(scratch.file(bytes));
    for (const advice of ['cold', 'pageout', 'willneed'] as const) m.advise(advice);
    expect(m.read(0, m.length).equals(bytes)).toBe(true);
  });

  it("'pageout' unmaps the pages of a file", () => {
    const m = mapFileSync(scratch.file(bytes), { populate: true });
    m.flushSync();
    expect(regionAt(m.address).sizes['Rss']).toBe((4 * pageSize) / 1024);
    m.advise('dontneed');
    expect(regionAt(m.address).sizes['Rss']).toBe(0);
  });

  it('of no whole page does nothing at all', () => {
    const m = mapFileSync(scratch.file(bytes));
    // 'free' of a file would be EINVAL.
    m.advise('free', { offset: 1, length: 5 });
    m.advise('free', { length: 0 });
    expect(m.buffer.equals(bytes)).toBe(true);
  });

  it.each<Advice>(['free', 'wipeonfork'])('%s of a file is EINVAL', (advice) => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path);
    const error = refused(() => m.advise(advice));
    expect(error).toMatchObject({ ...kernelSays('EINVAL', 'madvise'), path, address: m.address });
  });

  it("'dontneed' of locked memory is EINVAL", () => {
    const m = mapAnonymous(pageSize, { lock: true });
    expect(refused(() => m.advise('dontneed'))).toMatchObject(kernelSays('EINVAL', 'madvise'));
  });

  it('knows the words of this platform', () => {
    expect(constants['MADV_COLD']).toBeGreaterThan(0);
    const error = refused(() => mapAnonymous(1).advise('remove' as never));
    expect(error).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'advice' });
    expect(error.message).toContain("'dontneed'");
  });
});

describe('lock and unlock', () => {
  it('round outward', () => {
    const m = mapAnonymous(4 * pageSize);
    m.lock({ offset: pageSize + 1, length: pageSize });
    expect(lockedPages(m.address)).toEqual([false, true, true, false]);
    m.unlock({ offset: 2 * pageSize - 1, length: 1 });
    expect(lockedPages(m.address)).toEqual([false, false, true, false]);
    m.unlock();
    expect(lockedPages(m.address)).toEqual([false, false, false, false]);
  });

  it('lock faults the pages in', () => {
    const m = mapAnonymous(4 * pageSize);
    m.lock();
    expect(regionAt(m.address).sizes['Locked']).toBe((4 * pageSize) / 1024);
  });

  it('lock of pages that a file no longer has is refused', () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path);
    fs.truncateSync(path, 0);
    const error = refused(() => m.lock());
    expect(error).toMatchObject({ ...kernelSays('ENOMEM', 'mlock'), path });
  });
});

const lockedPages = (address: bigint): boolean[] =>
  [0, 1, 2, 3].map((page) => regionAt(address + BigInt(page * pageSize)).flags.has('lo'));

describe('residency', () => {
  it('says which pages of a file are in memory', () => {
    const path = scratch.file('');
    fs.truncateSync(path, 8 * pageSize); // a hole: nothing of it is cached
    const m = mapFileSync(path, { access: 'read-write' });
    expect(m.residency()).toEqual({ pages: 8, resident: 0, map: new Uint8Array(8) });
    m.buffer.fill(1);
    expect(m.residency()).toEqual({ pages: 8, resident: 8, map: new Uint8Array(8).fill(1) });
  });

  it('says it page by page', () => {
    const m = mapAnonymous(8 * pageSize);
    m.buffer[2 * pageSize] = 1;
    m.buffer[5 * pageSize] = 1;
    expect(m.residency().map).toEqual(Uint8Array.of(0, 0, 1, 0, 0, 1, 0, 0));
    expect(m.residency().resident).toBe(2);
  });

  it('rounds outward', () => {
    const m = mapAnonymous(8 * pageSize);
    m.buffer[2 * pageSize] = 1;
    expect(m.residency({ offset: 2 * pageSize - 1, length: 2 })).toEqual({
      pages: 2,
      resident: 1,
      map: Uint8Array.of(0, 1),
    });
    expect(m.residency({ length: 0 }).pages).toBe(0);
  });
});

describe('flushSync', () => {
  it('cleans the pages of the range', () => {
    const m = mapFileSync(scratch.file(bytes), { access: 'read-write' });
    m.buffer.fill(7);
    m.flushSync({ offset: 1, length: pageSize });
    m.flushSync();
    expect(regionAt(m.address).sizes['Shared_Dirty']).toBe(0);
    expect(regionAt(m.address).sizes['Private_Dirty']).toBe(0);
    expect(pythonReads(m.path!, 100, 2)).toBe('0707');
  });

  it('flushes pages of the range only', () => {
    const size = 2 ** 23;
    const m = mapFileSync(scratch.path(), { access: 'read-write', create: true, size });
    m.flushSync();
    m.buffer[0] = 1;
    m.buffer[size - 1] = 1;
    const dirty = () => {
      const { sizes } = regionAt(m.address);
      return sizes['Private_Dirty']! + sizes['Shared_Dirty']!;
    };
    const both = dirty();
    m.flushSync({ length: 1 });
    const one = dirty();
    expect([one > 0, one < both]).toEqual([true, true]);
    m.flushSync({ offset: size - 1 });
    expect(dirty()).toBe(0);
  });

  it('is harmless for private and anonymous memory', () => {
    mapAnonymous(pageSize).flushSync();
    mapFileSync(scratch.file(bytes), { access: 'copy-on-write' }).flushSync();
    mapFileSync(scratch.file(bytes), { access: 'snapshot' }).flushSync();
    mapFileSync(scratch.file(bytes)).flushSync();
  });
});

it.each<[string, (range: object) => unknown]>(
  (['flushSync', 'lock', 'unlock', 'residency'] as const).map((name) => [
    name,
    (range) => mapAnonymous(100)[name](range),
  ]),
)('%s does not reach outside', (_name, call) => {
  for (const range of [
    { offset: 101 },
    { length: 101 },
    { offset: 60, length: 41 },
    { offset: 2n ** 53n - 1n, length: 2n ** 53n - 1n },
  ]) {
    const error = refused(() => call(range));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject(memmapSays('RANGE'));
  }
});
