// What reserve, Reservation and Arena refuse: with which code, and that nothing has changed then.

import { mkdirSync, openSync, closeSync } from 'node:fs';
import {
  type Arena,
  type Mapping,
  Reservation,
  addressSpace,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  registry,
  reserve,
  sys,
} from '../lib/index.js';
import { Scratch, patterned } from './helpers/files.js';
import { findRegion, kernelRegions, modesOf, nowhere } from './helpers/kernel.js';
import { FIXED, NONE, PAGE, PLAIN, READ, RW } from './helpers/raw.js';
import { type Refusal, kernelSays, memmapSays, refused, refusedLater } from './helpers/refusals.js';

const PAGES = 8;
const LENGTH = PAGES * pageSize;
/** A regular file of a page, it says, and no file system's page cache has it. */
const KERNEL_FILE = '/sys/kernel/mm/transparent_hugepage/enabled';
const scratch = new Scratch();
const path = scratch.file(patterned(3 * pageSize));

afterAll(() => scratch.remove());

// Pages:  0  1  | 2  3  | 4 | 5   | 6  7
//         vacant  memory      file   vacant
let r: Reservation;
let memory: Mapping;
let file: Mapping;
let arena: Arena;
let inArena: Mapping;
let before: unknown;

/** Everything that a refused call must leave alone. */
const everything = (): unknown => ({
  layout: r.layout(),
  states: [r.state, memory.state, file.state, arena.state, inArena.state],
  modes: modesOf(r.address - PAGE, PAGES + 2, pageSize),
  arenaModes: modesOf(arena.address, PAGES, pageSize),
  stats: arena.stats(),
  bytes: [memory.read(0, 6).toString(), file.read(0, 8), inArena.read(0, 5).toString()],
  owners: registry.mappings(),
  drift: registry.verify(),
});

beforeEach(() => {
  r = reserve(LENGTH, { guardPages: 1 });
  memory = r.place(2 * pageSize, { anonymous: 2 * pageSize });
  memory.write(0, 'memory');
  file = r.place(5 * pageSize, { file: path, offset: pageSize, length: 100 });
  arena = addressSpace.arena({ size: LENGTH });
  inArena = mapAnonymous(pageSize, { arena });
  inArena.write(0, 'arena');
  before = everything();
});

afterEach(() => {
  r.release();
  arena.release();
  expect(registry.mappings()).toEqual([]);
});

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bad input is the point
type Anything = any;
type Kind = 'ARGUMENT' | 'RANGE' | 'OVERLAP' | 'BUSY' | 'UNMAPPED' | 'UNSUPPORTED' | 'FOREIGN';

/** The error of a call that has changed nothing. */
function refusal(kind: Kind | 'NO_ROOM', call: () => unknown): Refusal {
  const error = refused(call);
  expect(error).toMatchObject(memmapSays(kind));
  expect(everything()).toEqual(before);
  return error;
}

const numbers = [NaN, 0.5, -1, -1n, Infinity, -Infinity, 2 ** 53, 2n ** 53n, 2n ** 64n];
const noNumbers = ['1', '', null, true, {}, [], [1], Symbol('1'), () => 1, Object(1)];
const noWords = ['', 'READ', 'toString', '__proto__', 5, null, {}, Symbol('read')];
const noObjects = [5, 'x', null, true, Symbol('x'), 5n, () => 0];
const noFiles = [1n, 'a\0b', null, true, {}, [], Symbol('x'), () => 0];
const noOwners = [5, 'x', null, {}, Object.create(Reservation.prototype) as object];

type Case = [name: string, argument: string, call: (value: Anything) => unknown];

const lengths: Case[] = [
  ['reserve', 'length', (value) => reserve(value)],
  ['reserve', 'options.alignment', (alignment) => reserve(1, { alignment })],
  ['reserve', 'options.guardPages', (guardPages) => reserve(1, { guardPages })],
  ['place', 'offset', (offset) => r.place(offset, { anonymous: 1 })],
  ['place', 'source.anonymous', (anonymous) => r.place(0, { anonymous })],
  ['place', 'source.offset', (offset) => r.place(0, { file: path, offset })],
  ['place', 'source.length', (length) => r.place(0, { file: path, length })],
  ['placeAll', 'piece.offset', (offset) => r.placeAll([{ offset, source: { anonymous: 1 } }])],
  [
    'placeAll',
    'source.anonymous',
    (anonymous) => r.placeAll([{ offset: 0, source: { anonymous } }]),
  ],
  ['vacate', 'offset', (offset) => r.vacate(offset, 0)],
  ['vacate', 'length', (length) => r.vacate(0, length)],
  ['view', 'offset', (offset) => r.view(offset, 0)],
  ['view', 'length', (length) => r.view(2 * pageSize, length)],
  ['arena', 'options.size', (size) => addressSpace.arena({ size })],
  ['arena', 'options.alignment', (alignment) => addressSpace.arena({ size: 1, alignment })],
  ['arena', 'options.guardPages', (guardPages) => addressSpace.arena({ size: 1, guardPages })],
  ['mapAnonymous', 'length', (length) => mapAnonymous(length, { arena })],
  ['mapFileSync', 'options.offset', (offset) => mapFileSync(path, { arena, offset })],
];

describe.each(lengths)('%s', (_name, argument, call) => {
  it.each(numbers)(`takes no %p as ${argument}`, (value) => {
    const error = refusal('RANGE', () => call(value));
    expect(error).toMatchObject({ argument, name: 'RangeError' });
  });

  it.each(noNumbers)(`takes no %p as ${argument}`, (value) => {
    const error = refusal('ARGUMENT', () => call(value));
    expect(error).toMatchObject({ argument, name: 'TypeError' });
  });
});

const others: [...Case, values: readonly unknown[]][] = [
  ['reserve', 'options', (options) => reserve(1, options), noObjects],
  ['reserve', 'options.placement', (placement) => reserve(1, { placement }), noWords],
  ['reserve', 'options.address', (address) => reserve(1, { address }), noNumbers],
  ['place', 'source', (source) => r.place(0, source), [...noObjects, undefined]],
  ['place', 'file', (from) => r.place(0, { file: from }), noFiles],
  ['place', 'source.access', (access) => r.place(0, { file: path, access }), noWords],
  ['place', 'options', (options) => r.place(0, { anonymous: 1 }, options), noObjects],
  [
    'place',
    'options.replace',
    (replace) => r.place(0, { anonymous: 1 }, { replace }),
    [...noOwners, ...noOwners.map((each) => [r, each])],
  ],
  ['placeAll', 'pieces', (pieces) => r.placeAll(pieces), [...noObjects, undefined, {}, new Set()]],
  ['placeAll', 'pieces', (piece) => r.placeAll([piece]), [...noObjects, undefined]],
  [
    'placeAll',
    'source',
    (source) => r.placeAll([{ offset: 0, source }]),
    [...noObjects, undefined],
  ],
  ['arena', 'options', (options) => addressSpace.arena(options), [...noObjects, undefined]],
  ['arena', 'options.policy', (policy) => addressSpace.arena({ size: 1, policy }), noWords],
  [
    'arena',
    'options.placement',
    (placement) => addressSpace.arena({ size: 1, placement }),
    noWords,
  ],
  [
    'mapAnonymous',
    'options.arena',
    (value) => mapAnonymous(1, { arena: value }),
    [...noObjects, {}, Object.create(Object.prototype)],
  ],
  [
    'mapAnonymous',
    'options.lifetime',
    (lifetime) => mapAnonymous(1, { arena, lifetime }),
    [...noWords, 'Long'],
  ],
];

describe.each(others)('%s', (_name, argument, call, values) => {
  it(`names ${argument} when it is wrong`, () => {
    for (const value of values) {
      const error = refusal('ARGUMENT', () => call(value));
      expect(error.message).toContain(argument);
      expect(error.message).toMatch(/ must /);
    }
  });
});

describe('unknown options', () => {
  it.each<[string, (options: Anything) => unknown]>([
    ['reserve', (options) => reserve(1, options)],
    ['place', (options) => r.place(0, options)],
    ['place', (options) => r.place(0, { anonymous: 1 }, options)],
    ['placeAll', (piece) => r.placeAll([piece])],
    ['arena', (options) => addressSpace.arena(options)],
  ])('%s names the one that it does not know', (_name, call) => {
    for (const given of [{ offfset: 1 }, Object.create({ offfset: 1 }) as object]) {
      const error = refusal('ARGUMENT', () => call(given));
      expect(error.message).toMatch(/has no option 'offfset'; it takes \w+/);
    }
  });
});

describe('reserve', () => {
  it.each([0, 0n])('nothing: %p', (length) => {
    expect(refusal('RANGE', () => reserve(length))).toMatchObject({ argument: 'length' });
    expect(refusal('RANGE', () => addressSpace.arena({ size: length }))).toMatchObject({
      argument: 'options.size',
    });
  });

  it.each([0, 3, 3 * pageSize, pageSize + 1, 2 ** 53 - 1, 2 ** 52 + 1, 3n])(
    'an alignment that is no power of two: %p',
    (alignment) => {
      const expected = { argument: 'options.alignment' };
      expect(refusal('RANGE', () => reserve(pageSize, { alignment }))).toMatchObject(expected);
      expect(
        refusal('RANGE', () => addressSpace.arena({ size: pageSize, alignment })),
      ).toMatchObject(expected);
    },
  );

  it('more than an address space has', () => {
    const most = Number.MAX_SAFE_INTEGER;
    for (const call of [
      () => reserve(most),
      () => reserve(2 ** 50),
      () => reserve(pageSize, { alignment: 2 ** 52 }),
      () => reserve(pageSize, { alignment: 2 ** 50 }),
      () => reserve(pageSize, { guardPages: 2 ** 36 }),
      () => addressSpace.arena({ size: 2 ** 48 }),
    ]) {
      expect(refused(call)).toMatchObject(kernelSays('ENOMEM', 'mmap'));
      expect(everything()).toEqual(before);
    }
    for (const guardPages of [most, 2 ** 52]) {
      refusal('RANGE', () => reserve(pageSize, { guardPages }));
    }
  });

  it('an address that is none', () => {
    const place = (address: number | bigint, rest: object = {}): unknown =>
      reserve(LENGTH, { address, placement: 'exclusive', ...rest });
    for (const address of [0, 0n, 1, pageSize + 1, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(refusal('RANGE', () => place(address))).toMatchObject({ argument: 'options.address' });
    }
    const free = nowhere(4 * LENGTH);
    const odd = free % (2n * PAGE) === 0n ? free + PAGE : free;
    expect(refusal('RANGE', () => place(odd, { alignment: 2 * pageSize }))).toMatchObject({
      argument: 'options.address',
    });
    refusal('RANGE', () => place(pageSize, { guardPages: 1 }));
    refusal('ARGUMENT', () => reserve(LENGTH, { placement: 'exclusive' }));
    expect(findRegion(free)).toBeUndefined();
  });

  it.each([
    ['its own vacant pages', 0n, 1],
    ['its guard page', -PAGE, 1],
    ['what is placed', 2n * PAGE, 1],
    ['only its last page', BigInt(PAGES - 1) * PAGE, PAGES],
    ['from below', -PAGE, PAGES],
  ])('over another reservation: %s', (_what, offset, pages) => {
    const address = r.address + offset;
    const call = (): unknown => reserve(pages * pageSize, { address, placement: 'exclusive' });
    expect(refused(call)).toMatchObject(kernelSays('EEXIST', 'mmap'));
    expect(everything()).toEqual(before);
  });

  it('over memory that is not ours', () => {
    const code = kernelRegions('maps').find(({ mode }) => mode === 'r-xp')!;
    const call = (): unknown => reserve(pageSize, { address: code.start, placement: 'exclusive' });
    expect(refused(call)).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), conflicts: [] });
    expect(everything()).toEqual(before);
  });
});

describe('ranges outside of the reservation', () => {
  const most = Number.MAX_SAFE_INTEGER;
  const outside: [number | bigint, number | bigint][] = [
    [LENGTH, 1],
    [LENGTH - pageSize, pageSize + 1],
    [0, LENGTH + 1],
    [LENGTH + pageSize, pageSize],
    [0, most],
    [most - pageSize + 1, pageSize],
    [BigInt(LENGTH), 1n],
    [pageSize, most],
  ];

  it.each(outside)('%p, %p', (offset, length) => {
    const down = Number(offset) - (Number(offset) % pageSize);
    refusal('RANGE', () => r.view(offset, length));
    refusal('RANGE', () => {
      r.vacate(offset, length);
    });
    refusal('RANGE', () => r.place(down, { anonymous: length }));
    refusal('RANGE', () => r.placeAll([{ offset: down, source: { anonymous: length } }]));
    refusal('RANGE', () => r.place(down, { file: path, length }));
  });

  it('a whole file that is longer than the rest', () => {
    refusal('RANGE', () => r.place(6 * pageSize, { file: path }));
    refusal('RANGE', () => r.place(LENGTH, { file: path }));
  });
});

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
    before = everything();
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
        expect(everything()).toEqual(before);
      }
    }
  });

  it('a file that was not opened for it', () => {
    const fd = openSync(path, 'r');
    const source = { file: fd, length: pageSize, access: 'read-write' } as const;
    const call = (): unknown => r.place(2 * pageSize, source, { replace: memory });
    expect(refused(call)).toMatchObject(kernelSays('EACCES', 'mmap'));
    expect(everything()).toEqual(before);
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
    expect(everything()).toEqual(before);
    refusal('ARGUMENT', () => r.placeAll(Lying.of({}) as Anything));
    const shadowed = Object.assign([at(0)], { map: () => [evil] });
    expect(r.placeAll(shadowed)).toHaveLength(1);
    r.vacate(0, pageSize);
    expect(everything()).toEqual(before);
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
    expect(everything()).toEqual(before);
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
    before = { ...(before as object), modes: modesOf(r.address - PAGE, PAGES + 2, pageSize) };
    expect(refused(() => r.view(2 * pageSize, 1))).toMatchObject(memmapSays('UNSUPPORTED'));
    expect(r.view(3 * pageSize, 1)).toHaveLength(1);
    memory.protect('read-write');
  });

  it('no bytes: an empty Buffer, wherever it is', () => {
    for (const offset of [0, 2 * pageSize, LENGTH]) expect(r.view(offset, 0)).toHaveLength(0);
    expect(everything()).toEqual(before);
  });
});

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
      expect(everything()).toEqual(before);
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
    expect(everything()).toEqual(before);
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
    expect(everything()).toEqual(before);
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

describe('the wrong receiver', () => {
  const receivers: [string, () => unknown][] = [
    ['an object', () => ({})],
    ['undefined', () => undefined],
    ['null', () => null],
    ['5', () => 5],
    ['a function', () => () => 0],
    ['an object', () => Object.create(r) as object],
    ['an object', () => new Proxy(r, {})],
    ['an object', () => memory],
  ];
  const membersOf = (one: object): [string, (this: unknown, ...args: unknown[]) => unknown][] => {
    const prototype = Object.getPrototypeOf(one) as object;
    return Reflect.ownKeys(prototype)
      .filter((name) => name !== 'constructor')
      .map((name) => {
        const property = Object.getOwnPropertyDescriptor(prototype, name)!;
        return [String(name), (property.get ?? property.value) as () => unknown];
      });
  };

  it.each(receivers)('%s', (kind, receiver) => {
    const args: Record<string, unknown[]> = {
      place: [0, { anonymous: 1 }],
      placeAll: [[]],
      vacate: [0, 0],
      view: [0, 0],
    };
    for (const [one, name] of [
      [r, 'Reservation'],
      [arena, 'Arena'],
    ] as const) {
      const members = membersOf(one);
      expect(members.length).toBeGreaterThan(4);
      for (const [member, call] of members) {
        const error = refusal('ARGUMENT', () => call.apply(receiver(), args[member] ?? []));
        expect(error.message).toMatch(new RegExp(`^this must be an? ${name}; got ${kind}`));
      }
    }
  });

  it('neither is made by new', () => {
    const { constructor: ArenaClass } = arena;
    refusal('ARGUMENT', () => Reflect.construct(Reservation, []) as object);
    refusal('ARGUMENT', () => Reflect.construct(Reservation, [Symbol('memmap'), r]) as object);
    refusal('ARGUMENT', () => Reflect.construct(ArenaClass, []) as object);
  });
});
