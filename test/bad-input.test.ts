import { EventEmitter } from 'node:events';
import * as memmap from '../lib/index.js';
import {
  Mapping,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { describe as described } from '../lib/validate.js';
import { Scratch } from './helpers/files.js';
import { type Refusal, refusedLater } from './helpers/refusals.js';

const scratch = new Scratch();
const path = scratch.file('0123456789'.repeat(1000));

let m: Mapping;
beforeEach(() => {
  m = mapAnonymous(3 * pageSize);
});
afterEach(() => {
  expect(m.state).toBe('mapped');
  expect([registry.verify(), registry.mappings()]).toEqual([[], [m]]);
  m.unmap();
});
afterAll(() => scratch.remove());

/** What a value must not be, by what it should be. */
const never = [null, true, {}, [], [1], Symbol('1'), () => 1, new Date(0), Object(1)];
const bad = {
  bytes: [NaN, 0.5, -1, -1n, Infinity, -Infinity, 2 ** 53, 2n ** 53n, 2n ** 64n, '1', '', ...never],
  raw: [NaN, 0.5, -1, -1n, Infinity, 2 ** 53, 2n ** 64n, '1', undefined, ...never],
  int: [NaN, 0.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, 1n, '1', undefined, ...never],
  boolean: [0, 1, 'true', '', null, {}, Symbol('1'), 1n],
  word: [
    '',
    'READ',
    'read ',
    'toString',
    '__proto__',
    'remove',
    5,
    null,
    {},
    ['read'],
    Symbol('read'),
  ],
  object: [5, 'x', null, true, Symbol('x'), 5n, () => 0],
  file: [
    0.5,
    NaN,
    2 ** 31,
    -(2 ** 31) - 1,
    1n,
    'a\0b',
    undefined,
    null,
    true,
    {},
    [],
    Symbol('x'),
    () => 0,
    Buffer.from(path),
  ],
  descriptor: ['1', null, undefined, 0.5, 1n, {}, 2 ** 31],
  url: [new URL('http://localhost/x'), new URL('file:///a%00b'), new URL('file:///a%2Fb')],
  bufferOrLength: [
    NaN,
    0.5,
    -1,
    -1n,
    2 ** 53,
    2n ** 64n,
    '1',
    undefined,
    new ArrayBuffer(1),
    ...never,
  ],
  source: [1, 1n, undefined, new ArrayBuffer(1), new String('x'), ...never],
  signal: [null, 5, 'x', {}, new EventEmitter(), { aborted: true }],
  callback: [null, 5, 'x', {}, 1n],
} as const;

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bad input is the point
type Anything = any;
type Kind = keyof typeof bad;

/** The argument as the message names it, what it should be (with '?' where it may be left out), and the call. */
type Case = [argument: string, kind: Kind | `${Kind}?`, call: (value: Anything) => unknown];

const fileOptions: Case[] = [
  ['options', 'object', (value) => mapFileSync(path, value)],
  ['options.access', 'word', (access) => mapFileSync(path, { access })],
  ['options.offset', 'bytes', (offset) => mapFileSync(path, { offset })],
  ['options.length', 'bytes', (length) => mapFileSync(path, { length })],
  ['options.create', 'boolean', (create) => mapFileSync(path, { create })],
  ['options.size', 'bytes', (size) => mapFileSync(path, { size })],
  ['options.allocate', 'boolean', (allocate) => mapFileSync(path, { allocate })],
];

const placements = (map: (options: object) => unknown): Case[] => [
  ['options.placement', 'word', (placement) => map({ placement })],
  ['options.address', 'raw?', (address) => map({ address })],
  ...(['populate', 'lock', 'noReserve', 'hugePages', 'inherit'] as const).map((name): Case => [
    `options.${name}`,
    'boolean',
    (value) => map({ [name]: value }),
  ]),
];

const ranges = (name: string, call: (range: Anything) => unknown): [string, Case][] => [
  [name, ['range', 'object', call]],
  [name, ['range.offset', 'bytes', (offset) => call({ offset })]],
  [name, ['range.length', 'bytes', (length) => call({ length })]],
];

const longCalls = (name: string, call: (options: Anything) => unknown): [string, Case][] => [
  [name, ['options', 'object', call]],
  [name, ['signal', 'signal', (signal) => call({ signal })]],
  [name, ['options.onProgress', 'callback', (onProgress) => call({ onProgress })]],
];

const under = (name: string, cases: Case[]): [string, Case][] => cases.map((each) => [name, each]);

const { PROT_READ: R = 0, MAP_PRIVATE: P = 0, MAP_ANONYMOUS: A = 0 } = memmap.constants;

const all: [string, Case][] = [
  ...under('mapFile', [
    ['file', 'file', (file) => mapFile(file)],
    ['file.fd', 'descriptor', (fd) => mapFile({ fd })],
    ['file', 'url', (url) => mapFile(url)],
    ['options', 'object', (options) => mapFile(path, options)],
    ['options.offset', 'bytes', (offset) => mapFile(path, { offset })],
  ]),
  ...under('mapFileSync', [
    ['file', 'file', (file) => mapFileSync(file)],
    ['file.fd', 'descriptor', (fd) => mapFileSync({ fd })],
    ['file', 'url', (url) => mapFileSync(url)],
    ...fileOptions,
    ...placements((options) => mapFileSync(path, options)),
  ]),
  ...under('mapAnonymous', [
    ['length', 'bytes', (length) => mapAnonymous(length)],
    ['options', 'object', (options) => mapAnonymous(1, options)],
    ['options.access', 'word', (access) => mapAnonymous(1, { access })],
    ['options.shared', 'boolean', (shared) => mapAnonymous(1, { shared })],
    ...placements((options) => mapAnonymous(1, options)),
  ]),
  ...under('view', [
    ['offset', 'bytes', (offset) => m.view(offset)],
    ['length', 'bytes', (length) => m.view(0, length)],
  ]),
  ...under('read', [
    ['offset', 'bytes', (offset) => m.read(offset, 1)],
    ['', 'bufferOrLength', (into) => m.read(0, into) as unknown],
  ]),
  ...under('readAsync', [
    ['offset', 'bytes', (offset) => m.readAsync(offset, 1)],
    ['', 'bufferOrLength', (into) => m.readAsync(0, into)],
  ]),
  ...longCalls('readAsync', (options) => m.readAsync(0, 1, options)),
  ...under('write', [
    ['offset', 'bytes', (offset) => m.write(offset, 'x')],
    ['source', 'source', (source) => m.write(0, source)],
  ]),
  ...under('writeAsync', [
    ['offset', 'bytes', (offset) => m.writeAsync(offset, 'x')],
    ['source', 'source', (source) => m.writeAsync(0, source)],
  ]),
  ...longCalls('writeAsync', (options) => m.writeAsync(0, 'x', options)),
  ...(['flush', 'lockAsync', 'prefetch'] as const).flatMap((name) => [
    ...ranges(name, (range) => m[name](range)),
    ...longCalls(name, (options) => m[name](undefined, options)),
  ]),
  ...(['flushSync', 'lock', 'unlock', 'residency'] as const).flatMap((name) =>
    ranges(name, (range) => m[name](range)),
  ),
  ...ranges('protect', (range) => m.protect('read', range)),
  ...ranges('advise', (range) => m.advise('normal', range)),
  ...under('protect', [['access', 'word', (access) => m.protect(access)]]),
  ...under('advise', [['advice', 'word', (advice) => m.advise(advice)]]),
  ...under('resize', [['length', 'bytes', (length) => m.resize(length)]]),
  ...under('replace', [
    ['source', 'object', (source) => m.replace(source)],
    ['file', 'file', (file) => m.replace({ file, length: m.length })],
    ['source.offset', 'bytes', (offset) => m.replace({ file: path, offset })],
    ['source.length', 'bytes', (length) => m.replace({ file: path, length })],
    ['source.access', 'word', (access) => m.replace({ file: path, access })],
    ['source.anonymous', 'bytes', (anonymous) => m.replace({ anonymous })],
  ]),
  ...under('registry', [
    ['address', 'raw', (address) => registry.at(address)],
    ['address', 'raw', (address) => registry.overlapping(address, 1)],
    ['length', 'raw', (length) => registry.overlapping(0, length)],
  ]),
  ...under('sys.mmap', [
    ['address', 'raw', (address) => sys.mmap(address, 1, R, P | A, -1, 0)],
    ['length', 'raw', (length) => sys.mmap(0, length, R, P | A, -1, 0)],
    ['protection', 'int', (protection) => sys.mmap(0, 1, protection, P | A, -1, 0)],
    ['flags', 'int', (flags) => sys.mmap(0, 1, R, flags, -1, 0)],
    ['fd', 'int', (fd) => sys.mmap(0, 1, R, P | A, fd, 0)],
    ['offset', 'raw', (offset) => sys.mmap(0, 1, R, P | A, -1, offset)],
    ['options', 'object', (options) => sys.mmap(0, 1, R, P | A, -1, 0, options)],
  ]),
  ...(['munmap', 'mlock', 'munlock', 'mincore'] as const).flatMap((name) =>
    under(`sys.${name}`, [
      ['address', 'raw', (address) => sys[name](address, 1)],
      ['length', 'raw', (length) => sys[name](0, length)],
    ]),
  ),
  ...under('sys.munmap', [['options', 'object', (options) => sys.munmap(0, 1, options)]]),
  ...(['mprotect', 'msync', 'madvise'] as const).flatMap((name) =>
    under(`sys.${name}`, [
      ['address', 'raw', (address) => sys[name](address, 1, 0)],
      ['length', 'raw', (length) => sys[name](0, length, 0)],
      [
        { mprotect: 'protection', msync: 'flags', madvise: 'advice' }[name],
        'int',
        (bits) => sys[name](0, 1, bits),
      ],
    ]),
  ),
  ...under('sys.mremap', [
    ['address', 'raw', (address) => sys.mremap(address, 1, 1, 0)],
    ['length', 'raw', (length) => sys.mremap(0, length, 1, 0)],
    ['newLength', 'raw', (length) => sys.mremap(0, 1, length, 0)],
    ['flags', 'int', (flags) => sys.mremap(0, 1, 1, flags)],
    ['newAddress', 'raw?', (to) => sys.mremap(0, 1, 1, 0, to)],
    ['options', 'object', (options) => sys.mremap(0, 1, 1, 0, 0, options)],
  ]),
];

// eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection here
const outcome = (call: () => unknown): Promise<Refusal> => refusedLater((async () => call())());

function expectMisuse(error: Refusal): void {
  expect([TypeError, RangeError]).toContain(error.constructor);
  expect(error.code).toBe(error instanceof TypeError ? 'ERR_MEMMAP_ARGUMENT' : 'ERR_MEMMAP_RANGE');
}

describe.each(all)('%s', (_name, [argument, kind, call]) => {
  it(`refuses as ${argument} what is no ${kind}`, async () => {
    const base = kind.replace('?', '') as Kind;
    const values = bad[base].filter((value) => value !== undefined || base === kind);
    for (const value of values) {
      const error = await outcome(() => call(value));
      expectMisuse(error);
      const [name, rest] = error.message.split(' must be ');
      expect(name).toContain(argument);
      expect(rest).toContain(base === 'url' ? "; got the string '" : `; got ${described(value)}`);
    }
  });
});

describe('unknown options', () => {
  it.each<[string, (options: Anything) => unknown]>([
    ['mapFile', (options) => mapFile(path, options)],
    ['mapFileSync', (options) => mapFileSync(path, options)],
    ['mapAnonymous', (options) => mapAnonymous(1, options)],
    ['flush', (options) => m.flush(options)],
    ['flush', (options) => m.flush({}, options)],
    ['protect', (options) => m.protect('read', options)],
    ['readAsync', (options) => m.readAsync(0, 1, options)],
    ['replace', (options) => m.replace(options)],
    ['sys.mmap', (options) => sys.mmap(0, 1, R, P | A, -1, 0, options)],
    ['sys.munmap', (options) => sys.munmap(0, 1, options)],
    ['sys.mremap', (options) => sys.mremap(0, 1, 1, 0, 0, options)],
  ])('%s names the one that it does not know, and those that it does', async (_name, call) => {
    for (const given of [{ offfset: 1 }, Object.create({ offfset: 1 }) as object]) {
      const error = await outcome(() => call(given));
      expectMisuse(error);
      expect(error.message).toMatch(/has no option 'offfset'; it takes \w+/);
    }
  });

  it('replace takes either a file or memory', async () => {
    for (const source of [{}, { file: path, anonymous: m.length }, { offset: 0 }]) {
      expectMisuse(await outcome(() => m.replace(source as never)));
    }
  });
});

describe('buffers that are detached', () => {
  const views: [string, (buffer: ArrayBuffer) => NodeJS.ArrayBufferView][] = [
    ['Buffer', (buffer) => Buffer.from(buffer)],
    ['Uint8Array', (buffer) => new Uint8Array(buffer)],
    ['Float64Array', (buffer) => new Float64Array(buffer)],
    ['DataView', (buffer) => new DataView(buffer)],
  ];
  it.each(views)('%s', async (_kind, make) => {
    const buffer = new ArrayBuffer(8);
    const view = make(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    for (const [argument, call] of [
      ['target', () => m.read(0, view)],
      ['source', () => m.write(0, view)],
      ['target', () => m.readAsync(0, view)],
      ['source', () => m.writeAsync(0, view)],
    ] as const) {
      const error = await outcome(call);
      expectMisuse(error);
      expect(error.message.startsWith(`${argument} must be attached`)).toBe(true);
    }
  });

  it('views of a mapping that is gone', async () => {
    const other = mapAnonymous(10);
    const view = other.buffer;
    other.unmap();
    expectMisuse(await outcome(() => m.read(0, view)));
    expectMisuse(await outcome(() => m.write(0, view)));
  });
});

const { prototype } = Mapping;

/** Of the class and of those that it is built on, down to what is Node's. */
function classes(from: object): object[] {
  const base: unknown = Object.getPrototypeOf(from);
  const ends = base === null || base === Object.prototype || base === EventEmitter.prototype;
  return ends ? [from] : [from, ...classes(base as object)];
}
const members = classes(prototype).flatMap((each) =>
  Object.entries(Object.getOwnPropertyDescriptors(each))
    .concat(
      Object.getOwnPropertySymbols(each).map((name) => [
        String(name),
        Object.getOwnPropertyDescriptor(each, name)!,
      ]),
    )
    .filter(([name]) => name !== 'constructor' && !name.includes('inspect')),
);

/** Arguments that are right: what is wrong is the receiver alone. */
const right: Record<string, unknown[]> = {
  view: [0],
  read: [0, 1],
  readAsync: [0, 1],
  write: [0, 'x'],
  writeAsync: [0, 'x'],
  protect: ['read'],
  advise: ['normal'],
  resize: [1],
  lockFile: ['shared'],
  guarded: [() => 0],
  replace: [{ anonymous: 1 }],
};

it('members are found in every class', () => {
  const names = members.map(([name]) => name);
  for (const name of ['address', 'buffer', 'read', 'unmap', 'flush', 'replace'])
    expect(names).toContain(name);
});

describe.each(members)('%s of the wrong receiver', (name, property) => {
  const member = (property.get ?? property.value) as (this: unknown) => unknown;

  it.each<[string, () => unknown]>([
    ['an object', () => ({})],
    ['undefined', () => undefined],
    ['null', () => null],
    ['5', () => 5],
    ['the string', () => 'x'],
    ['a function', () => () => 0],
    ['an object', () => new EventEmitter()],
    ['an object', () => prototype],
    ['an object', () => Object.create(prototype) as object],
    ['an object', () => Object.create(m) as object],
    ['an object', () => new Proxy(m, {})],
  ])('%s', async (kind, receiver) => {
    const args = (right[name] ?? []) as [];
    const error = await outcome(() => member.apply(receiver(), args));
    expectMisuse(error);
    expect(error.message.startsWith(`this must be a Mapping; got ${kind}`)).toBe(true);
  });
});

describe('code that runs while arguments are read cannot pull the mapping away', () => {
  const calls: [string, (own: Mapping, trap: () => number) => unknown][] = [
    ...(
      ['flushSync', 'flush', 'lock', 'lockAsync', 'unlock', 'prefetch', 'residency'] as const
    ).map((name): [string, (own: Mapping, trap: () => number) => unknown] => [
      name,
      (own, trap) =>
        own[name]({
          get length() {
            return trap();
          },
        }),
    ]),
    [
      'protect',
      (own, trap) =>
        own.protect('none', {
          get offset() {
            return trap();
          },
        }),
    ],
    [
      'advise',
      (own, trap) =>
        own.advise('dontneed', {
          get offset() {
            return trap();
          },
        }),
    ],
    [
      'replace',
      (own, trap) =>
        own.replace({
          get anonymous() {
            return trap();
          },
        }),
    ],
    [
      'readAsync',
      (own, trap) =>
        own.readAsync(0, 1, {
          get onProgress() {
            trap();
            return undefined;
          },
        } as object),
    ],
    [
      'writeAsync',
      (own, trap) =>
        own.writeAsync(0, 'x', {
          get onProgress() {
            trap();
            return undefined;
          },
        } as object),
    ],
  ];
  it.each(calls)('%s', async (_name, call) => {
    const own = mapAnonymous(pageSize);
    const error = await outcome(() =>
      call(own, () => {
        own.unmap();
        return pageSize;
      }),
    );
    expect(error.code).toBe('ERR_MEMMAP_UNMAPPED');
  });
});
