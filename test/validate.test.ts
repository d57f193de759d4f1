import { byteLengthOf } from '../lib/true-bytes.js';
import * as validate from '../lib/validate.js';
import { growing } from './helpers/growing.js';
import { refused } from './helpers/refusals.js';

type ViewMaker = (buffer: ArrayBuffer) => NodeJS.ArrayBufferView;

/** A view whose memory has gone to somebody else. */
function detached(make: ViewMaker): NodeJS.ArrayBufferView {
  const buffer = new ArrayBuffer(8);
  const view = make(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  return view;
}

describe('describe() is short and never runs code of what came', () => {
  const trap = new Proxy(
    {},
    {
      get: () => {
        throw new Error('a getter was called');
      },
    },
  );
  it.each([
    ['x', "the string 'x'"],
    ['y'.repeat(50), `the string '${'y'.repeat(40)}…'`],
    [5n, '5n'],
    [NaN, 'NaN'],
    [-0.5, '-0.5'],
    [undefined, 'undefined'],
    [null, 'null'],
    [true, 'true'],
    [Symbol('secret'), 'a symbol'],
    [() => 0, 'a function'],
    [trap, 'an object'],
  ])('%#', (value, text) => {
    expect(validate.describe(value)).toBe(text);
  });
});

describe('bytes', () => {
  it.each([
    [0, 0],
    [-0, 0],
    [7, 7],
    [7n, 7],
    [2 ** 53 - 1, 2 ** 53 - 1],
    [2n ** 53n - 1n, 2 ** 53 - 1],
  ])('%p is %p', (value, expected) => {
    expect(validate.bytes('length', value) === expected).toBe(true);
  });

  it.each([-1, -1n, 0.5, NaN, Infinity, -Infinity, 2 ** 53, 2n ** 53n, 2n ** 64n])(
    '%p is out of range',
    (value) => {
      const error = refused(() => validate.bytes('length', value));
      expect(error).toBeInstanceOf(RangeError);
      expect(error).toMatchObject({ code: 'ERR_MEMMAP_RANGE', argument: 'length' });
      expect(error.message).toBe(
        `length must be a whole number of bytes from 0 to 2^53 - 1; got ${validate.describe(value)}`,
      );
    },
  );

  it.each(['1', null, undefined, {}, [1], true, Symbol('1'), new Date(0)])(
    '%p is of the wrong kind',
    (value) => {
      const error = refused(() => validate.bytes('length', value));
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', argument: 'length' });
    },
  );

  it('has a least', () => {
    expect(validate.bytes('length', 1, 1)).toBe(1);
    expect(refused(() => validate.bytes('length', 0, 1)).code).toBe('ERR_MEMMAP_RANGE');
    expect(refused(() => validate.bytes('length', 0n, 1)).code).toBe('ERR_MEMMAP_RANGE');
  });
});

describe('raw', () => {
  it('takes all that a size_t holds', () => {
    expect(validate.raw('length', 2n ** 64n - 1n)).toBe(2n ** 64n - 1n);
    expect(validate.raw('length', 2 ** 53 - 1)).toBe(2n ** 53n - 1n);
  });

  it('wants a bigint where a number is not exact', () => {
    expect(refused(() => validate.raw('length', 2 ** 53)).code).toBe('ERR_MEMMAP_RANGE');
  });

  it.each([2n ** 64n, -1n, -1, 0.5, NaN])('refuses %p', (value) => {
    expect(refused(() => validate.raw('address', value)).code).toBe('ERR_MEMMAP_RANGE');
  });
});

describe('int', () => {
  it.each([0, -1, 2 ** 31 - 1, -(2 ** 31)])('%p', (value) => {
    expect(validate.int('flags', value)).toBe(value);
  });
  it.each([2 ** 31, -(2 ** 31) - 1, 0.5, NaN, Infinity])('%p is out of range', (value) => {
    expect(refused(() => validate.int('flags', value)).code).toBe('ERR_MEMMAP_RANGE');
  });
  it('takes no bigint: C takes an int', () => {
    expect(refused(() => validate.int('flags', 1n)).code).toBe('ERR_MEMMAP_ARGUMENT');
  });
});

describe('options', () => {
  it('reads each property once', () => {
    let reads = 0;
    const given = {
      get length() {
        reads++;
        return 5;
      },
    };
    expect(validate.options('options', given, ['length', 'offset'] as const)).toEqual({
      length: 5,
    });
    expect(reads).toBe(1);
  });

  it('names a property that it does not know, and those that it does', () => {
    const error = refused(() => validate.options('options', { lenght: 5 }, ['length', 'offset']));
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', argument: 'options.lenght' });
    expect(error.message).toBe("options has no option 'lenght'; it takes length, offset");
  });

  it.each([null, 5, 'x', true, Symbol('x')])('is no %p', (value) => {
    expect(refused(() => validate.options('options', value, ['x'])).code).toBe(
      'ERR_MEMMAP_ARGUMENT',
    );
  });

  it('may be left out', () => {
    expect(validate.options('options', undefined, ['x'])).toEqual({});
  });
});

describe('ranges', () => {
  it('default to the whole, and to the end', () => {
    expect(validate.rangeWithin(validate.givenRange(undefined), 10)).toEqual({
      offset: 0,
      length: 10,
    });
    expect(validate.rangeWithin(validate.givenRange({ offset: 4 }), 10)).toEqual({
      offset: 4,
      length: 6,
    });
    expect(validate.rangeWithin(validate.givenRange({ offset: 10n }), 10)).toEqual({
      offset: 10,
      length: 0,
    });
  });

  it.each([
    [{ offset: 11 }, 'offset'],
    [{ length: 11 }, 'length'],
    [{ offset: 4, length: 7 }, 'length'],
    [{ offset: 2 ** 53 - 1, length: 2 ** 53 - 1 }, 'offset'],
    [{ offset: 1, length: 2n ** 53n - 1n }, 'length'],
  ])('%p does not lie within 10 bytes', (given, argument) => {
    const error = refused(() => validate.rangeWithin(validate.givenRange(given), 10));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_RANGE', argument, length: 10 });
  });
});

describe('byteView', () => {
  it('gives a Buffer and a Uint8Array as they are', () => {
    const buffer = Buffer.alloc(4);
    const bytes = new Uint8Array(4);
    expect(validate.byteView('source', buffer)).toBe(buffer);
    expect(validate.byteView('source', bytes)).toBe(bytes);
  });

  it('gives the bytes below any other view', () => {
    const floats = Float64Array.of(1, 2, 3).subarray(1);
    expect(Buffer.from(validate.byteView('source', floats))).toEqual(
      Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength),
    );
    const view = new DataView(new ArrayBuffer(16), 3, 5);
    expect(validate.byteView('source', view)).toMatchObject({ byteOffset: 3, byteLength: 5 });
  });

  it.each<[string, ViewMaker]>([
    ['a Uint8Array', (buffer) => new Uint8Array(buffer)],
    ['a Float64Array', (buffer) => new Float64Array(buffer)],
    ['a DataView', (buffer) => new DataView(buffer)],
    ['a Buffer', (buffer) => Buffer.from(buffer)],
  ])('refuses %s whose memory was transferred', (_name, make) => {
    const error = refused(() => validate.byteView('source', detached(make)));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', argument: 'source' });
    expect(error.message).toContain('attached');
  });

  it.each<[string, ViewMaker]>([
    ['a Uint8Array', (buffer) => new Uint8Array(buffer, 8, 16)],
    ['a BigInt64Array', (buffer) => new BigInt64Array(buffer, 8, 2)],
    ['a DataView', (buffer) => new DataView(buffer, 8, 16)],
  ])('refuses %s whose memory became shorter', (_name, make) => {
    const memory = growing(64, 128);
    const view = make(memory);
    memory.resize(20);
    const error = refused(() => validate.byteView('source', view));
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', argument: 'source' });
    expect(error.message).toContain('attached');
    memory.resize(64);
    expect(validate.byteView('source', view)).toHaveLength(16);
  });

  it('takes what is empty and has its memory', () => {
    expect(validate.byteView('source', new Uint8Array())).toHaveLength(0);
    expect(validate.byteView('source', new BigInt64Array(2).subarray(1, 1))).toHaveLength(0);
    expect(validate.byteView('source', new DataView(new ArrayBuffer(4), 4))).toHaveLength(0);
  });

  it('knows the length of a view that lies about it', () => {
    const liar = Object.defineProperty(new Uint8Array(4), 'byteLength', { value: 1000 });
    expect(byteLengthOf(liar)).toBe(4);
  });

  it.each<[string, NodeJS.ArrayBufferView]>([
    ['a DataView', new DataView(new ArrayBuffer(16))],
    ['a Float64Array', new Float64Array(2)],
  ])('gives all bytes of %s that lies about its class', (_name, view) => {
    Object.defineProperty(view, 'constructor', { value: Uint8Array });
    Object.defineProperty(view, 'byteLength', { value: 3 });
    expect(validate.byteView('source', view)).toHaveLength(16);
    Object.setPrototypeOf(view, Buffer.prototype as object);
    expect(validate.byteView('source', view)).toHaveLength(16);
  });
});

describe('bufferBytes', () => {
  it('gives the bytes of a buffer, and refuses one that was transferred', () => {
    const buffer = new ArrayBuffer(8);
    expect(validate.bufferBytes('message', buffer)).toHaveLength(8);
    expect(validate.bufferBytes('message', new SharedArrayBuffer(4))).toHaveLength(4);
    structuredClone(buffer, { transfer: [buffer] });
    const error = refused(() => validate.bufferBytes('message', buffer));
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_ARGUMENT', argument: 'message' });
  });
});

it('signal takes an AbortSignal, also of another realm', () => {
  const { signal } = new AbortController();
  expect(validate.signal(signal)).toBe(signal);
  expect(validate.signal(undefined)).toBeUndefined();
});

it.each([null, {}, 'abort', { aborted: false }, { aborted: false, addEventListener: () => 0 }])(
  'signal refuses %p',
  (value) => {
    const error = refused(() => validate.signal(value));
    expect(error.code).toBe('ERR_MEMMAP_ARGUMENT');
    expect(error.message).toMatch(/signal must be an AbortSignal; got /);
  },
);
