// Every check of an argument, once. Each error names the argument, what was expected and what
// came. Reads a property once and never after the check.
import { misuse } from './errors.js';
import { bytesBelow } from './true-bytes.js';

/** The most that a byte offset or length can be without losing precision. */
const MOST = Number.MAX_SAFE_INTEGER;
const MOST_ADDRESS = 2n ** 64n - 1n;

/** Short and safe: never calls toString, valueOf or a getter of what came. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `the string '${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
    case 'bigint':
      return `${String(value)}n`;
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'object':
      return value === null ? 'null' : 'an object';
    default:
      return `a ${typeof value}`;
  }
}

const argument = (name: string, expected: string, value: unknown): Error =>
  misuse('ARGUMENT', `${name} must be ${expected}; got ${describe(value)}`, { argument: name });

const range = (name: string, expected: string, value: unknown): Error =>
  misuse('RANGE', `${name} must be ${expected}; got ${describe(value)}`, { argument: name });

/** A whole number of bytes, as a number. */
export function bytes(name: string, value: unknown, least = 0): number {
  if (typeof value === 'number' && value >= least && value <= MOST && Math.trunc(value) === value) {
    return value;
  }
  const expected = `a whole number of bytes from ${String(least)} to 2^53 - 1`;
  if (typeof value === 'bigint' && value >= BigInt(least) && value <= BigInt(MOST)) {
    return Number(value);
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') throw argument(name, expected, value);
  throw range(name, expected, value);
}

/** A length or file offset for a raw call: anything that fits the C type, bigint above 2^53. */
export function raw(name: string, value: unknown): bigint {
  const expected = 'a whole number from 0 to 2^64 - 1 (a bigint above 2^53 - 1)';
  if (typeof value === 'bigint') {
    if (value < 0n || value > MOST_ADDRESS) throw range(name, expected, value);
    return value;
  }
  if (typeof value !== 'number') throw argument(name, expected, value);
  if (!(value >= 0 && value <= MOST) || Math.trunc(value) !== value) {
    throw range(name, expected, value);
  }
  return BigInt(value);
}

/** A 32-bit C int: descriptors, flags. */
export function int(name: string, value: unknown): number {
  const expected = 'a whole number from -2^31 to 2^31 - 1';
  if (typeof value !== 'number') throw argument(name, expected, value);
  if (!(value >= -0x80000000 && value <= 0x7fffffff) || Math.trunc(value) !== value) {
    throw range(name, expected, value);
  }
  return value;
}

/** A time in milliseconds, Infinity included. */
export function milliseconds(name: string, value: unknown): number {
  const expected = 'a number of milliseconds from 0';
  if (typeof value !== 'number') throw argument(name, expected, value);
  if (!(value >= 0)) throw range(name, expected, value);
  return value;
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw argument(name, 'true or false', value);
  return value;
}

/** One of a list of words. */
export function word<Word extends string>(
  name: string,
  value: unknown,
  words: readonly Word[],
): Word {
  if (typeof value === 'string' && (words as readonly string[]).includes(value)) {
    return value as Word;
  }
  throw argument(name, `one of ${words.map((each) => `'${each}'`).join(', ')}`, value);
}

/** The named properties of an options object, each read once; an unknown name is an error. */
export function options<Names extends string>(
  name: string,
  value: unknown,
  names: readonly Names[],
): Partial<Record<Names, unknown>> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) throw argument(name, 'an object', value);
  for (const key in value) {
    if (!(names as readonly string[]).includes(key)) {
      const known = names.join(', ');
      throw misuse('ARGUMENT', `${name} has no option '${key}'; it takes ${known}`, {
        argument: `${name}.${key}`,
      });
    }
  }
  const read: Partial<Record<Names, unknown>> = {};
  for (const key of names) {
    const found = (value as Record<string, unknown>)[key];
    if (found !== undefined) read[key] = found;
  }
  return read;
}

/** A part of something `total` bytes long, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A range as it was given: read, and each number checked, but not yet against anything. */
export interface GivenRange {
  readonly offset: number;
  readonly length: number | undefined;
}

const RANGE = ['offset', 'length'] as const;
const EVERYTHING: GivenRange = { offset: 0, length: undefined };

/** Reads `{ offset?, length? }`, once. */
export function givenRange(value: unknown): GivenRange {
  if (value === undefined) return EVERYTHING;
  const given = options('range', value, RANGE);
  return {
    offset: given.offset === undefined ? 0 : bytes('range.offset', given.offset),
    length: given.length === undefined ? undefined : bytes('range.length', given.length),
  };
}

/** The range within `total` bytes; the default length is to the end. */
export function rangeWithin({ offset, length }: GivenRange, total: number): ByteRange {
  return within(offset, length ?? Math.max(0, total - offset), total);
}

/** Checks offset + length against `total` without ever overflowing. */
function fits({ offset, length }: ByteRange, total: number, whole: string): void {
  if (offset <= total && length <= total - offset) return;
  throw misuse(
    'RANGE',
    `${String(length)} bytes at offset ${String(offset)} do not lie within the ${String(total)} bytes of the ${whole}`,
    { length: total, argument: offset > total ? 'offset' : 'length' },
  );
}

/** A range of a mapping of `total` bytes. */
export function within(offset: number, length: number, total: number): ByteRange {
  fits({ offset, length }, total, 'mapping');
  return { offset, length };
}

/** A range of a reservation of `total` bytes. */
export function withinReservation(range: ByteRange, total: number): void {
  fits(range, total, 'reservation');
}

const GONE =
  'attached (it was transferred, its mapping was unmapped, or its memory became shorter)';

/** Bytes to read from or write into. A detached buffer is an error, not zero bytes. */
export function byteView(name: string, value: unknown): Uint8Array {
  if (!ArrayBuffer.isView(value)) {
    throw argument(name, 'a Buffer, TypedArray or DataView', value);
  }
  try {
    return bytesBelow(value);
  } catch {
    throw argument(name, GONE, value);
  }
}

/** The bytes of an ArrayBuffer or a SharedArrayBuffer. */
export function bufferBytes(name: string, value: ArrayBufferLike): Uint8Array {
  try {
    return new Uint8Array(value);
  } catch {
    throw argument(name, GONE, value);
  }
}

export function signal(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  // By shape, as Node does: a signal may come from another realm.
  const shaped = typeof value === 'object' && value !== null && 'aborted' in value;
  if (shaped && 'throwIfAborted' in value && typeof value.throwIfAborted === 'function') {
    return value as AbortSignal;
  }
  throw argument('signal', 'an AbortSignal', value);
}

/** A function, if one was given; what it takes is its caller's to know. */
export function callback(
  name: string,
  value: unknown,
): ((...args: never[]) => unknown) | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'function') return value as (...args: never[]) => unknown;
  throw argument(name, 'a function', value);
}

/** The wrong kind of receiver or argument, for checks that live with their class. */
export const wrongKind = argument;
