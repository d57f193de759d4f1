// What arenas refuse, what the raw calls may not do to a reservation, and what is left after release.

import {
  addressSpace,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  reserve,
  sys,
} from '../lib/index.js';
import { nowhere } from './helpers/kernel.js';
import { FIXED, NONE, PAGE, PLAIN, READ, RW } from './helpers/raw.js';
import { kernelSays, refused, refusedLater } from './helpers/refusals.js';
import {
  LENGTH,
  PAGES,
  arena,
  expectUnchanged,
  memory,
  path,
  r,
  refusal,
  reservedForEach,
} from './helpers/reserved.js';

reservedForEach();

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bad input is the point
type Anything = any;

/** A regular file of a page, it says, and no file system's page cache has it. */
const KERNEL_FILE = '/sys/kernel/mm/transparent_hugepage/enabled';

describe('arena', () => {
  it('that has no room says how much there is', () => {
    for (const length of [LENGTH, (PAGES - 1) * pageSize + 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const error = refusal('NO_ROOM', () => mapAnonymous(length, { arena }));
      expect(error).toMatchObject({
        name: 'RangeError',
        largestFree: (PAGES - 1) * pageSize,
        address: arena.address,
      });
    }
  });

  it('and an address contradict each other', () => {
    const address = nowhere(pageSize);
    refusal('ARGUMENT', () => mapAnonymous(1, { arena, address }));
    refusal('ARGUMENT', () => mapAnonymous(1, { arena, address, placement: 'exclusive' }));
    refusal('ARGUMENT', () => mapFileSync(path, { arena, address }));
  });

  it('files that cannot be mapped leave it as it was', async () => {
    for (const [from, code] of [
      ['/dev/null', 'ENODEV'],
      [KERNEL_FILE, 'ENODEV'],
    ] as const) {
      expect(refused(() => mapFileSync(from, { arena, length: pageSize }))).toMatchObject({
        code,
      });
      expect(await refusedLater(mapFile(from, { arena, length: pageSize }))).toMatchObject({
        code,
      });
      expectUnchanged();
    }
    refusal('RANGE', () => mapFileSync(path, { arena, length: 4 * pageSize }));
  });

  it('its pages are nobody else’s to map, to unmap or to change', () => {
    const vacant = arena.address + 4n * PAGE;
    refusal('FOREIGN', () => {
      sys.munmap(vacant, pageSize);
    });
    refusal('FOREIGN', () => {
      sys.mprotect(vacant, pageSize, RW);
    });
    expect(
      refused(() => mapAnonymous(pageSize, { address: vacant, placement: 'exclusive' })),
    ).toMatchObject(kernelSays('EEXIST', 'mmap'));
    expectUnchanged();
  });
});

describe('the raw calls over a reservation', () => {
  it('need its name', () => {
    const over = (page: number, options?: Anything): unknown =>
      sys.mmap(r.address + BigInt(page) * PAGE, pageSize, READ, PLAIN | FIXED, -1, 0, options);
    expect(refusal('OVERLAP', () => over(0)).conflicts).toEqual([r]);
    expect(refusal('OVERLAP', () => over(0, { replace: memory })).conflicts).toEqual([r]);
    expect(refusal('OVERLAP', () => over(2)).conflicts).toEqual([memory]);
    expect(refusal('OVERLAP', () => over(2, { replace: r })).conflicts).toEqual([memory]);
  });

  it('do not reach vacant pages, nor guard pages', () => {
    for (const at of [r.address, r.address - PAGE, r.address + BigInt(LENGTH)]) {
      refusal('FOREIGN', () => {
        sys.munmap(at, pageSize, { replace: r });
      });
      refusal('FOREIGN', () => {
        sys.mprotect(at, pageSize, NONE);
      });
    }
  });

  it('guard pages are never replaced', () => {
    for (const at of [r.address - PAGE, r.address + BigInt(LENGTH)]) {
      const call = (): unknown =>
        sys.mmap(at, pageSize, READ, PLAIN | FIXED, -1, 0, { replace: r });
      refusal('UNSUPPORTED', call);
    }
  });
});

describe('after release', () => {
  it('everything but asking is refused', () => {
    const own = reserve(LENGTH);
    const kept = own.place(0, { anonymous: pageSize });
    const view = own.view(0, pageSize);
    const { address } = own;
    own.release();
    own.release();
    expect([own.state, own.address, own.length, own.layout()]).toEqual([
      'released',
      address,
      LENGTH,
      [],
    ]);
    expect([kept.state, view.length]).toEqual(['unmapped', 0]);
    for (const call of [
      () => own.place(0, { anonymous: 1 }),
      () => own.placeAll([{ offset: 0, source: { anonymous: 1 } }]),
      () => own.placeAll([]),
      () => {
        own.vacate(0, 1);
      },
      () => own.view(0, 1),
      () => own.view(0, 0),
    ]) {
      refusal('UNMAPPED', call);
    }
  });

  it('an arena takes nothing any more', () => {
    const own = addressSpace.arena({ size: LENGTH });
    own.release();
    own.release();
    refusal('UNMAPPED', () => mapAnonymous(1, { arena: own }));
    refusal('UNMAPPED', () => mapFileSync(path, { arena: own }));
    expect([own.state, own.stats().free, own.size]).toEqual(['released', 0, LENGTH]);
  });
});
