import fs from 'node:fs';
import { constants, mapAnonymous, mapFileSync, pageSize, registry, sys } from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { codeRegion, modesOf, nowhere, regionAt } from './helpers/kernel.js';
import {
  FIXED,
  NONE,
  PAGE,
  PLAIN,
  PRIVATE,
  READ,
  RW,
  SHARED,
  bit,
  placed,
  scattered,
} from './helpers/raw.js';
import { itUnless, kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);
const path = scratch.file(bytes);
const fd = fs.openSync(path, 'r');

afterAll(() => {
  fs.closeSync(fd);
  scratch.remove();
});
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

describe('mmap', () => {
  it('maps memory', () => {
    const m = sys.mmap(0, 100, RW, PLAIN, -1, 0);
    expect([m.length, m.access, regionAt(m.address).mode]).toEqual([100, 'read-write', 'rw-p']);
    expect(sys.mmap(0, 1, READ, PLAIN, -1, 0).access).toBe('read');
    const shared = sys.mmap(0, 1, RW, SHARED | bit('MAP_ANONYMOUS'), -1, 0);
    expect(regionAt(shared.address).mode).toBe('rw-s');
  });

  it('maps a file from a page offset, beyond its end too', () => {
    const m = sys.mmap(0, 8 * pageSize, READ, SHARED, fd, pageSize);
    expect(m.read(0, pageSize).equals(bytes.subarray(pageSize, 2 * pageSize))).toBe(true);
    expect([m.fileOffset, m.path, regionAt(m.address).path]).toEqual([PAGE, undefined, path]);
    expect(refused(() => m.read(3 * pageSize, 1))).toMatchObject(
      kernelSays('EFAULT', 'process_vm_readv'),
    );
    const own = sys.mmap(0, pageSize, RW, PRIVATE, fd, 0n);
    expect([own.access, own.write(0, 'own')]).toEqual(['copy-on-write', 3]);
    expect(pythonReads(path, 0, 3)).toBe(bytes.subarray(0, 3).toString('hex'));
  });

  it('keeps memory out of children by default', () => {
    expect(regionAt(sys.mmap(0, 1, RW, PLAIN, -1, 0).address).flags.has('dc')).toBe(true);
  });

  it('takes an address as a hint', () => {
    const address = nowhere(pageSize);
    expect(sys.mmap(address, 1, RW, PLAIN, -1, 0).address).toBe(address);
    expect(sys.mmap(address, 1, RW, PLAIN, -1, 0).address).not.toBe(address);
    for (const wild of [2n ** 64n - 1n, 2n ** 63n, 2n ** 62n, 5]) {
      expect(sys.mmap(wild, 1, RW, PLAIN, -1, 0).state).toBe('mapped');
    }
  });

  it('MAP_FIXED_NOREPLACE is there or EEXIST, with those of ours that are in the way', () => {
    const flags = PLAIN | bit('MAP_FIXED_NOREPLACE');
    const address = nowhere(2 * pageSize);
    const m = sys.mmap(address, 2 * pageSize, RW, flags, -1, 0);
    expect(m.address).toBe(address);
    const error = refused(() => sys.mmap(address + PAGE, pageSize, RW, flags, -1, 0));
    expect(error).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), address: address + PAGE });
    expect(error.conflicts?.[0]).toBe(m);
    expect(refused(() => sys.mmap(codeRegion().start, 1, RW, flags, -1, 0))).toMatchObject({
      ...kernelSays('EEXIST', 'mmap'),
      conflicts: [],
    });
    expect(refused(() => sys.mmap(address + 5n, 1, RW, flags, -1, 0))).toMatchObject(
      kernelSays('EINVAL', 'mmap'),
    );
  });

  it('MAP_LOCKED and MAP_POPULATE do what they say', () => {
    const m = sys.mmap(0, 4 * pageSize, RW, PLAIN | bit('MAP_LOCKED') | bit('MAP_POPULATE'), -1, 0);
    const { flags, sizes } = regionAt(m.address);
    expect([flags.has('lo'), sizes['Rss']]).toEqual([true, (4 * pageSize) / 1024]);
  });

  const closed = () => {
    const other = fs.openSync(path, 'r');
    fs.closeSync(other);
    return other;
  };
  type Args = Parameters<typeof sys.mmap>;
  it.each<[string, () => Args, string]>([
    ['no length', () => [0, 0, RW, PLAIN, -1, 0], 'EINVAL'],
    ['neither shared nor private', () => [0, 1, RW, bit('MAP_ANONYMOUS'), -1, 0], 'EINVAL'],
    ['an offset within a page', () => [0, 1, READ, SHARED, fd, 5], 'EINVAL'],
    [
      'an offset within a page, fixed',
      () => [nowhere(1), 1, READ, SHARED | FIXED, fd, 5],
      'EINVAL',
    ],
    ['no descriptor', () => [0, 1, READ, SHARED, -1, 0], 'EBADF'],
    ['a closed descriptor', () => [0, 1, READ, SHARED, closed(), 0], 'EBADF'],
    ['a folder', () => [0, 1, READ, SHARED, fs.openSync(scratch.folder, 'r'), 0], 'ENODEV'],
    ['a file that may only be read', () => [0, 1, RW, SHARED, fd, 0], 'EACCES'],
    [
      'a file that may only be written',
      () => [0, 1, WRITE_ONLY, SHARED, fs.openSync(path, 'a'), 0],
      'EACCES',
    ],
    [
      'a file of the kernel',
      () => [0, 1, READ, SHARED, fs.openSync('/proc/version', 'r'), 0],
      'EIO',
    ],
    ['more than there is', () => [0, 2n ** 48n, RW, PLAIN, -1, 0], 'ENOMEM'],
    ['2^53 - 1 bytes', () => [0, 2 ** 53 - 1, RW, PLAIN, -1, 0], 'ENOMEM'],
    ['2^64 - 1 bytes', () => [0, 2n ** 64n - 1n, RW, PLAIN, -1, 0], 'ENOMEM'],
    ['an offset that wraps', () => [0, 1, READ, SHARED, fd, 2n ** 64n - PAGE], 'EOVERFLOW'],
    [
      'an address beyond all, exclusively',
      () => [2n ** 63n, 1, RW, PLAIN | bit('MAP_FIXED_NOREPLACE'), -1, 0],
      'ENOMEM',
    ],
    [
      'a range that wraps, fixed',
      () => [2n ** 64n - PAGE, 2n * PAGE, RW, PLAIN | FIXED, -1, 0],
      'ENOMEM',
    ],
  ])('is refused by the kernel: %s', (_what, args, code) => {
    const error = refused(() => sys.mmap(...args()));
    expect(error).toMatchObject(kernelSays(code, 'mmap'));
    expect(error.errno).toBeLessThan(0);
    expect(registry.mappings()).toEqual([]);
  });
});

const WRITE_ONLY = bit('PROT_WRITE');

describe('munmap', () => {
  it('of what is named takes the pages away', () => {
    const m = placed(2);
    sys.munmap(m.address, 2 * pageSize, { replace: [m] });
    expect(modesOf(m.address, 2, pageSize)).toEqual(['----', '----']);
    expect(m.state).toBe('unmapped');
  });

  it('rounds the length up, as the kernel does', () => {
    const m = placed(2);
    sys.munmap(m.address, 1, { replace: m });
    expect(modesOf(m.address, 2, pageSize)).toEqual(['----', 'rw-p']);
  });

  it('passes over holes', () => {
    const { address, mappings } = scattered(1, 3);
    sys.munmap(address, 5 * pageSize, { replace: mappings });
    expect(mappings.map(({ state }) => state)).toEqual(['unmapped', 'unmapped']);
    sys.munmap(address, 5 * pageSize);
  });

  it('of what is not named is ERR_MEMMAP_OVERLAP, and nothing is unmapped', () => {
    const { address, mappings } = scattered(0, 1);
    const [first, second] = mappings;
    const error = refused(() => sys.munmap(address, 2 * pageSize, { replace: first! }));
    expect(error).toMatchObject(memmapSays('OVERLAP'));
    expect(error.conflicts).toHaveLength(1);
    expect(error.conflicts?.[0]).toBe(second);
    expect(modesOf(address, 2, pageSize)).toEqual(['rw-p', 'rw-p']);
  });

  it.each<[string, () => [bigint | number, bigint | number], string]>([
    ['no length', () => [nowhere(1), 0], 'EINVAL'],
    ['an address within a page', () => [nowhere(1) + 1n, 1], 'EINVAL'],
    ['beyond user space', () => [2n ** 62n, 1], 'EINVAL'],
    ['a range that wraps', () => [2n ** 64n - PAGE, 2n * PAGE], 'EINVAL'],
  ])('is refused by the kernel: %s', (_what, args, code) => {
    expect(refused(() => sys.munmap(...args()))).toMatchObject(kernelSays(code, 'munmap'));
  });
});

describe('mprotect', () => {
  it('changes pages, and the registry knows', () => {
    const m = placed(3);
    sys.mprotect(m.address + PAGE, 1, READ);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['rw-p', 'r--p', 'rw-p']);
    expect(m.protection).toBe('mixed');
    sys.mprotect(m.address, 3 * pageSize, RW);
    expect(m.protection).toBe('read-write');
  });

  it('detaches views over pages that can no longer be read', () => {
    const m = placed(2);
    const views = [m.view(0, 10), m.view(pageSize, 10)];
    sys.mprotect(m.address, pageSize, NONE);
    expect(views.map((view) => view.length)).toEqual([0, 10]);
  });

  it('covers several mappings at once', () => {
    const { address, mappings } = scattered(0, 1, 2);
    sys.mprotect(address, 3 * pageSize, READ);
    expect(mappings.map(({ protection }) => protection)).toEqual(['read', 'read', 'read']);
  });

  it('is EACCES for a file that may only be read', () => {
    const m = mapFileSync(fd);
    expect(refused(() => sys.mprotect(m.address, 1, RW))).toMatchObject(
      kernelSays('EACCES', 'mprotect'),
    );
  });

  it('is EINVAL for bits that it does not know', () => {
    const m = placed(1);
    expect(refused(() => sys.mprotect(m.address, 1, 0x4000))).toMatchObject(
      kernelSays('EINVAL', 'mprotect'),
    );
    expect(m.protection).toBe('read-write');
  });
});

describe('msync', () => {
  it('writes what was changed', () => {
    const file = scratch.file(bytes);
    const m = mapFileSync(file, { access: 'read-write' });
    m.buffer.fill(3);
    sys.msync(m.address, m.length, bit('MS_SYNC'));
    const { sizes } = regionAt(m.address);
    expect(sizes['Shared_Dirty']! + sizes['Private_Dirty']!).toBe(0);
    sys.msync(m.address, m.length, bit('MS_ASYNC'));
  });

  it.each([99, constants['MS_SYNC']! | constants['MS_ASYNC']!])(
    'is EINVAL for flags %p',
    (flags) => {
      expect(refused(() => sys.msync(placed(1).address, 1, flags))).toMatchObject(
        kernelSays('EINVAL', 'msync'),
      );
    },
  );

  it('MS_INVALIDATE of locked pages is EBUSY', () => {
    const m = mapAnonymous(pageSize, { lock: true });
    expect(refused(() => sys.msync(m.address, 1, bit('MS_INVALIDATE')))).toMatchObject(
      kernelSays('EBUSY', 'msync'),
    );
  });
});

describe('madvise', () => {
  it('gives the kernel the number', () => {
    const m = placed(2);
    m.buffer.fill(1);
    sys.madvise(m.address + PAGE, 1, bit('MADV_DONTNEED'));
    expect([m.buffer[0], m.buffer[pageSize]]).toEqual([1, 0]);
    sys.madvise(m.address, pageSize, bit('MADV_SEQUENTIAL'));
    expect(regionAt(m.address).flags.has('sr')).toBe(true);
  });

  it('is EINVAL for advice that it does not know, or that does not fit', () => {
    expect(refused(() => sys.madvise(placed(1).address, 1, 9999))).toMatchObject(
      kernelSays('EINVAL', 'madvise'),
    );
    const m = mapFileSync(fd);
    expect(refused(() => sys.madvise(m.address, 1, bit('MADV_FREE')))).toMatchObject(
      kernelSays('EINVAL', 'madvise'),
    );
  });

  const guard = constants['MADV_GUARD_INSTALL'];
  /** Since Linux 6.13. */
  function takesGuard(): boolean {
    using m = mapAnonymous(pageSize);
    try {
      sys.madvise(m.address, pageSize, guard!);
      return true;
    } catch {
      return false;
    }
  }
  const noGuard = takesGuard() ? undefined : 'this kernel has no MADV_GUARD_INSTALL (Linux 6.13)';
  itUnless(noGuard)('MADV_GUARD_INSTALL detaches the views over it', () => {
    const m = placed(2);
    const views = [m.view(0, 10), m.view(pageSize, 10)];
    sys.madvise(m.address, pageSize, guard!);
    expect(views.map((view) => view.length)).toEqual([0, 10]);
    expect(refused(() => m.read(0, 1))).toMatchObject(kernelSays('EFAULT', 'process_vm_readv'));
    const pin = m.pin();
    expect(refused(() => sys.madvise(m.address, pageSize, guard!))).toMatchObject(
      memmapSays('BUSY'),
    );
    pin.release();
    sys.madvise(m.address, pageSize, bit('MADV_GUARD_REMOVE'));
    expect(m.read(0, 1)[0]).toBe(0);
  });
});

describe('mlock and munlock', () => {
  it('take any address and lock its pages', () => {
    const m = placed(3);
    sys.mlock(m.address + PAGE - 1n, 2);
    const locked = () =>
      [0n, 1n, 2n].map((page) => regionAt(m.address + page * PAGE).flags.has('lo'));
    expect(locked()).toEqual([true, true, false]);
    sys.munlock(m.address, 1);
    expect(locked()).toEqual([false, true, false]);
  });
});

describe('mincore', () => {
  it('gives one byte a page', () => {
    const m = placed(4);
    m.buffer[2 * pageSize] = 1;
    expect(Array.from(sys.mincore(m.address, 4 * pageSize), (state) => state & 1)).toEqual([
      0, 0, 1, 0,
    ]);
    expect(sys.mincore(m.address, 1)).toHaveLength(1);
  });

  it('covers several mappings at once', () => {
    const { address, mappings } = scattered(0, 1, 2);
    mappings[1]!.buffer[0] = 1;
    expect(Array.from(sys.mincore(address, 3 * pageSize), (state) => state & 1)).toEqual([0, 1, 0]);
  });
});

type OnPages = (address: bigint | number, length: bigint | number) => unknown;
const onPages: [string, OnPages][] = [
  ['mprotect', (address, length) => sys.mprotect(address, length, READ)],
  ['msync', (address, length) => sys.msync(address, length, bit('MS_SYNC'))],
  ['madvise', (address, length) => sys.madvise(address, length, bit('MADV_SEQUENTIAL'))],
  ['mincore', (address, length) => sys.mincore(address, length)],
  ['mlock', (address, length) => sys.mlock(address, length)],
  ['munlock', (address, length) => sys.munlock(address, length)],
];
const effects: Record<string, (address: bigint) => boolean> = {
  mprotect: (address) => regionAt(address).mode === 'r--p',
  madvise: (address) => regionAt(address).flags.has('sr'),
  mlock: (address) => regionAt(address).flags.has('lo'),
};

describe.each(onPages)('%s of a range', (name, call) => {
  it('with a hole does what the kernel does, and is ENOMEM', () => {
    const { address } = scattered(0, 2);
    const error = refused(() => call(address, 3 * pageSize));
    expect(error).toMatchObject({ ...kernelSays('ENOMEM', name), address, length: 3 * pageSize });
    const done = effects[name];
    // mprotect and mlock stop at the hole, madvise goes on behind it.
    if (done)
      expect([done(address), done(address + 2n * PAGE)]).toEqual([true, name === 'madvise']);
  });

  it('of nobody is ENOMEM', () => {
    expect(refused(() => call(nowhere(pageSize), 1))).toMatchObject(kernelSays('ENOMEM', name));
  });

  it('of somebody else in this process is ERR_MEMMAP_FOREIGN, and nothing is done', () => {
    const { start, mode, flags } = codeRegion();
    const error = refused(() => call(start, pageSize));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ ...memmapSays('FOREIGN'), address: start });
    expect(codeRegion()).toMatchObject({ start, mode, flags });
  });

  it('that runs from ours into somebody else’s is ERR_MEMMAP_FOREIGN, and ours is as it was', () => {
    const m = placed(1);
    const { start } = codeRegion();
    const [low, high] = m.address < start ? [m.address, start + PAGE] : [start, m.address + PAGE];
    expect(refused(() => call(low, high - low))).toMatchObject(memmapSays('FOREIGN'));
    expect(effects[name]?.(m.address) ?? false).toBe(false);
  });

  it('of another mapping’s retired pages is ERR_MEMMAP_FOREIGN', () => {
    const m = placed(1);
    expect(m.buffer[0]).toBe(0);
    m.unmap();
    expect(refused(() => call(m.address, 1))).toMatchObject(memmapSays('FOREIGN'));
  });

  it('of no bytes is nothing at all, whoever is there', () => {
    for (const address of [0, nowhere(1), codeRegion().start, 2n ** 62n]) {
      expect(refusalOf(() => call(address, 0))).toBeUndefined();
    }
  });

  it('beyond user space is ENOMEM', () => {
    expect(refused(() => call(2n ** 62n, pageSize))).toMatchObject(kernelSays('ENOMEM', name));
  });

  it('that wraps around is what the kernel says', () => {
    const code = { madvise: 'EINVAL', mlock: 'EINVAL', munlock: 'EINVAL' }[name] ?? 'ENOMEM';
    const error = refused(() => call(2n ** 64n - PAGE, 2n * PAGE));
    expect(error).toMatchObject(kernelSays(code, name));
  });

  it('that is as long as can be never touches what is not ours', () => {
    const m = placed(1);
    for (const length of [2n ** 46n, 2n ** 48n, 2n ** 62n, 2n ** 63n - m.address]) {
      const { code } = refused(() => call(m.address, length));
      expect(['ERR_MEMMAP_FOREIGN', 'ENOMEM', 'EINVAL']).toContain(code);
    }
    expect(effects[name]?.(m.address) ?? false).toBe(false);
  });
});

const aligned = onPages.filter(([name]) => !name.endsWith('lock'));
it.each(aligned)('%s of an address within a page is EINVAL', (name, call) => {
  const m = placed(1);
  expect(refused(() => call(m.address + 1n, 1))).toMatchObject(kernelSays('EINVAL', name));
  expect(refused(() => call(m.address + 1n, 0))).toMatchObject(kernelSays('EINVAL', name));
});

it('arguments are judged before pages, as the kernel does', () => {
  const hole = nowhere(pageSize);
  expect(refused(() => sys.madvise(hole, 1, 9999))).toMatchObject(kernelSays('EINVAL', 'madvise'));
  expect(refused(() => sys.msync(hole, 1, 99))).toMatchObject(kernelSays('EINVAL', 'msync'));
  expect(refused(() => sys.mprotect(hole, 1, 0x4000))).toMatchObject(
    kernelSays('EINVAL', 'mprotect'),
  );
  expect(refused(() => sys.madvise(hole, 0, 9999))).toMatchObject(kernelSays('EINVAL', 'madvise'));
  expect(refused(() => sys.msync(hole, 0, 99))).toMatchObject(kernelSays('EINVAL', 'msync'));
  // Linux does not look at the protection where there are no pages.
  expect(refusalOf(() => sys.mprotect(hole, 0, 0x4000))).toBeUndefined();
});

function refusalOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
