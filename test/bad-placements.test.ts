// What place, placeAll, vacate and view refuse, and that nothing has changed then.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import {
  type Mapping,
  type Reservation,
  addressSpace,
  mapAnonymous,
  pageSize,
  reserve,
} from '../lib/index.js';
import { findRegion, modesOf } from './helpers/kernel.js';
import { type Refusal, kernelSays, memmapSays, refused } from './helpers/refusals.js';
import {
  LENGTH,
  PAGES,
  expectUnchanged,
  file,
  memory,
  path,
  r,
  refusal,
  reservedForEach,
  scratch,
  settle,
} from './helpers/reserved.js';

reservedForEach();

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bad input is the point
type Anything = any;

/** A regular file of a page, it says, and no file system's page cache has it. */
const KERNEL_FILE = '/sys/kernel/mm/transparent_hugepage/enabled';

describe('place', () => {
  it('a file that is shorter', () => {
    for (const source of [
      { file: path, length: 3 * pageSize + 1 },
      { file: path, offset: 3 * pageSize, length: 1 },
      { file: path, offset: pageSize, length: 2 * pageSize + 1 },
      { file: path, offset: Number.MAX_SAFE_INTEGER - pageSize + 1, length: pageSize },
    ]) {
      expect(refusal('RANGE', () => r.place(0, source))).toMatchObject({ path });
      refusal('RANGE', () => r.placeAll([{ offset: 0, source }]));
    }
  });

  it('no bytes', () => {
    const empty = scratch.file('');
    for (const source of [
      { anonymous: 0 },
      { file: path, length: 0 },
      { file: path, offset: 3 * pageSize },
      { file: path, offset: 4 * pageSize },
      { file: empty },
    ]) {
      refusal('RANGE', () => r.place(0, source));
      refusal('RANGE', () => r.placeAll([{ offset: 0, source }]));
    }
  });

  it('where a page begins elsewhere', () => {
    refusal('RANGE', () => r.place(1, { anonymous: 1 }));
    refusal('RANGE', () => r.place(pageSize - 1, { anonymous: 1 }));
    refusal('RANGE', () => r.place(1, { file: path, length: 1 }));
    refusal('RANGE', () => r.place(0, { file: path, offset: 1, length: 1 }));
    refusal('RANGE', () => r.place(2, { file: path, offset: pageSize + 1, length: 1 }));
  });

  it('neither a file nor memory, or both', () => {
    for (const source of [{}, { length: 1 }, { file: path, anonymous: 1 }] as Anything[]) {
      refusal('ARGUMENT', () => r.place(0, source));
      refusal('ARGUMENT', () => r.placeAll([{ offset: 0, source }]));
    }
  });

  it('a snapshot', () => {
    const source = { file: path, access: 'snapshot' } as const;
    refusal('UNSUPPORTED', () => r.place(0, source));
    refusal('UNSUPPORTED', () => r.placeAll([{ offset: 0, source }]));
  });

  it('over what is not named', () => {
    const other = mapAnonymous(pageSize);
    settle();
    const over = (pages: number, replace?: Anything): Refusal =>
      refusal('OVERLAP', () =>
        r.place(pageSize, { anonymous: pages * pageSize }, replace && { replace }),
      );
    expect(over(2).conflicts).toEqual([memory]);
    expect(over(2, []).conflicts).toEqual([memory]);
    expect(over(2, r).conflicts).toEqual([memory]);
    expect(over(2, other).conflicts).toEqual([memory]);
    expect(over(2, [file, other, r]).conflicts).toEqual([memory]);
    expect(over(5).conflicts).toEqual([memory, file]);
    expect(over(5, memory).conflicts).toEqual([file]);
    other.unmap();
  });

  it('over the page that another ends in', () => {
    // The file has 100 bytes in page 5; what follows in that page is still its own.
    const source = { file: path, offset: 200, length: 1 };
    const error = refusal('OVERLAP', () => r.place(5 * pageSize + 200, source));
    expect(error.conflicts).toEqual([file]);
  });

  it('over what is pinned', () => {
    const pin = memory.pin();
    const replace = memory;
    refusal('BUSY', () => r.place(2 * pageSize, { anonymous: pageSize }, { replace }));
    refusal('BUSY', () => {
      r.vacate(0, LENGTH);
    });
    refusal('BUSY', () => {
      r.release();
    });
    pin.release();
  });

  it('a file that cannot be had or cannot be mapped', () => {
    const folder = scratch.path('folder');
    mkdirSync(folder);
    const missing = scratch.path();
    for (const [from, code] of [
      [missing, 'ENOENT'],
      [folder, 'ENODEV'],
      ['/dev/null', 'ENODEV'],
      [KERNEL_FILE, 'ENODEV'],
    ] as const) {
      const source = { file: from, length: pageSize };
      const replace = memory;
      for (const call of [
        () => r.place(0, source),
        () => r.place(2 * pageSize, source, { replace }),
        () =>
          r.placeAll([
            { offset: 0, source: { anonymous: pageSize } },
            { offset: pageSize, source },
            { offset: 6 * pageSize, source: { file: path, length: pageSize } },
          ]),
      ]) {
        expect([from, refused(call)]).toMatchObject([from, { code, name: 'MapError' }]);
        expectUnchanged();
      }
    }
  });

  it('a file that was not opened for it', () => {
    const fd = openSync(path, 'r');
    const source = { file: fd, length: pageSize, access: 'read-write' } as const;
    const call = (): unknown => r.place(2 * pageSize, source, { replace: memory });
    expect(refused(call)).toMatchObject(kernelSays('EACCES', 'mmap'));
    expectUnchanged();
    closeSync(fd);
  });
});

describe('placeAll', () => {
  const at = (page: number, pages = 1): Anything => ({
    offset: page * pageSize,
    source: { anonymous: pages * pageSize },
  });

  it('pieces that share a page', () => {
    refusal('OVERLAP', () => r.placeAll([at(0, 2), at(1)]));
    refusal('OVERLAP', () => r.placeAll([at(1), at(0, 2)]));
    refusal('OVERLAP', () => r.placeAll([at(6), at(0), at(6)]));
    const [low, high] = [0, 200].map((offset) => ({
      offset,
      source: { file: path, offset, length: 100 },
    }));
    refusal('OVERLAP', () => r.placeAll([low!, high!]));
  });

  it('over something, even where the first would have had room', () => {
    expect(refusal('OVERLAP', () => r.placeAll([at(0), at(2)])).conflicts).toEqual([memory]);
    expect(refusal('OVERLAP', () => r.placeAll([at(0), at(5)])).conflicts).toEqual([file]);
    refusal('RANGE', () => r.placeAll([at(0), at(PAGES)]));
    refusal('ARGUMENT', () => r.placeAll([at(0), 5 as Anything]));
  });

  it('a list with holes, and one that lies about itself', () => {
    const holes: Anything[] = [];
    holes[1] = { offset: 0, source: { file: path, length: pageSize } };
    refusal('ARGUMENT', () => r.placeAll(holes));

    const evil = { offset: 0, source: { kind: 'anonymous', length: -pageSize, access: 'read' } };
    class Lying extends Array<unknown> {
      override map(): never[] {
        return [evil as never];
      }
    }
    // What counts is what is in the list, and in this one there is nothing.
    expect(r.placeAll(new Lying() as Anything)).toEqual([]);
    expectUnchanged();
    refusal('ARGUMENT', () => r.placeAll(Lying.of({}) as Anything));
    const shadowed = Object.assign([at(0)], { map: () => [evil] });
    expect(r.placeAll(shadowed)).toHaveLength(1);
    r.vacate(0, pageSize);
    expectUnchanged();
  });
});

describe('vacate', () => {
  it('a part of a page that somebody has bytes in', () => {
    for (const [offset, length] of [
      [2 * pageSize, 1],
      [2 * pageSize + 1, pageSize],
      [4 * pageSize - 1, 1],
      [5 * pageSize, 99],
      [5 * pageSize + 1, 99],
    ] as const) {
      refusal('RANGE', () => {
        r.vacate(offset, length);
      });
    }
  });

  it('vacant pages, and no bytes at all: nothing happens', () => {
    r.vacate(0, 2 * pageSize);
    r.vacate(7 * pageSize, 1);
    r.vacate(0, 0);
    r.vacate(2 * pageSize, 0);
    r.vacate(LENGTH, 0);
    expectUnchanged();
  });
});

describe('view', () => {
  it('pages that cannot be read', () => {
    for (const [offset, length] of [
      [0, 1],
      [pageSize, pageSize + 1],
      [2 * pageSize, 2 * pageSize + 1],
      [3 * pageSize, 3 * pageSize],
      [0, LENGTH],
      [LENGTH - 1, 1],
    ] as const) {
      refusal('UNSUPPORTED', () => r.view(offset, length));
    }
    memory.protect('none', { offset: 0, length: pageSize });
    expect(refused(() => r.view(2 * pageSize, 1))).toMatchObject(memmapSays('UNSUPPORTED'));
    expect(r.view(3 * pageSize, 1)).toHaveLength(1);
    memory.protect('read-write');
    expectUnchanged();
  });

  it('no bytes: an empty Buffer, wherever it is', () => {
    for (const offset of [0, 2 * pageSize, LENGTH]) expect(r.view(offset, 0)).toHaveLength(0);
    expectUnchanged();
  });
});

describe('code that runs while arguments are read cannot pull the reservation away', () => {
  const trapped: [string, (own: Reservation, trap: () => number) => unknown][] = [
    [
      'place, a file',
      (own, trap) =>
        own.place(0, {
          file: path,
          get offset() {
            return trap();
          },
        }),
    ],
    [
      'place, memory',
      (own, trap) =>
        own.place(0, {
          get anonymous() {
            trap();
            return pageSize;
          },
        }),
    ],
    [
      'place, replace',
      (own, trap) =>
        own.place(
          0,
          { anonymous: pageSize },
          {
            get replace() {
              trap();
              return [];
            },
          },
        ),
    ],
    [
      'placeAll',
      (own, trap) =>
        own.placeAll([
          {
            get offset() {
              return trap();
            },
            source: { anonymous: pageSize },
          },
        ]),
    ],
    [
      'placeAll, the list itself',
      (own, trap) => {
        const list = [{ offset: 0, source: { anonymous: pageSize } }];
        const traps = new Proxy(list, {
          get(target, name) {
            trap();
            return Reflect.get(target, name) as unknown;
          },
        });
        return own.placeAll(traps);
      },
    ],
    [
      'placeAll, the file',
      (own, trap) =>
        own.placeAll([
          { offset: 0, source: { anonymous: pageSize } },
          {
            offset: pageSize,
            source: {
              get file() {
                trap();
                return path;
              },
            },
          },
        ]),
    ],
  ];

  it.each(trapped)('%s', (_name, call) => {
    const own = reserve(LENGTH);
    const { address } = own;
    let others: Mapping | undefined;
    const error = refused(() =>
      call(own, () => {
        if (own.state === 'reserved') {
          own.release();
          others = mapAnonymous(LENGTH, { address, placement: 'exclusive' });
          others.write(0, 'others');
        }
        return 0;
      }),
    );
    expect(error).toMatchObject(memmapSays('UNMAPPED'));
    expect([own.state, own.layout()]).toEqual(['released', []]);
    expect(others?.read(0, 6).toString()).toBe('others');
    expect(modesOf(address, PAGES, pageSize)).toEqual(Array(PAGES).fill('rw-p'));
    others?.unmap();
    expectUnchanged();
  });

  it('an arena that is released while the options are read', () => {
    const own = addressSpace.arena({ size: LENGTH });
    const { address } = own;
    const options = {
      arena: own,
      get lifetime() {
        own.release();
        return 'long' as const;
      },
    };
    refusal('UNMAPPED', () => mapAnonymous(pageSize, options));
    expect(findRegion(address)?.mode ?? 'nothing').not.toBe('rw-p');
  });
});
