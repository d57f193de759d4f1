// What reserve, Reservation and Arena do not take: arguments, ranges, receivers.

import {
  Reservation,
  addressSpace,
  mapAnonymous,
  mapFileSync,
  pageSize,
  reserve,
} from '../lib/index.js';
import { findRegion, kernelRegions, nowhere } from './helpers/kernel.js';
import { PAGE } from './helpers/raw.js';
import { kernelSays, refused } from './helpers/refusals.js';
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
      expectUnchanged();
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
    expectUnchanged();
  });

  it('over memory that is not ours', () => {
    const code = kernelRegions('maps').find(({ mode }) => mode === 'r-xp')!;
    const call = (): unknown => reserve(pageSize, { address: code.start, placement: 'exclusive' });
    expect(refused(call)).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), conflicts: [] });
    expectUnchanged();
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
