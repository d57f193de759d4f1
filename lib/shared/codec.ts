// How messages become bytes and bytes messages. Decodes private copies only: nobody else can change them meanwhile.
import { isUtf8 } from 'node:buffer';
import { isAnyArrayBuffer } from 'node:util/types';
import { deserialize, serialize } from 'node:v8';
import { misuse } from '../errors.js';
import * as validate from '../validate.js';
import { isBytes, lengthOf } from '../true-bytes.js';

/**
 * How a channel writes its messages. 'bytes': as they are. 'utf8': strings. 'json': whatever `JSON.stringify` takes. 'v8': what
 * `structuredClone` takes (Map, Set, Date, BigInt, typed arrays, cycles); only between programs that trust one another.
 */
export type Codec = 'bytes' | 'utf8' | 'json' | 'v8';

/** What `send` takes. */
export interface Outgoing {
  /** Bytes; those of a view are its part of the memory. */
  bytes: NodeJS.ArrayBufferView | ArrayBufferLike;
  /** A string. */
  utf8: string;
  /** What JSON has, but not `undefined`. */
  json: unknown;
  /** What `v8.serialize` takes, but not `undefined`. */
  v8: unknown;
}

/** What `receive` gives. */
export interface Incoming {
  /** A Buffer of its own. */
  bytes: Buffer;
  /** A string. */
  utf8: string;
  /** What `JSON.parse` makes of it. */
  json: unknown;
  /** What `v8.deserialize` makes of it. */
  v8: unknown;
}

const CODECS: readonly Codec[] = ['bytes', 'utf8', 'json', 'v8'];

/** The word of a codec, checked. */
export const codecOf = (value: unknown): Codec =>
  value === undefined ? 'bytes' : validate.word('codec', value, CODECS);

/** A message as bytes that nobody else has. */
export function encode(codec: Exclude<Codec, 'bytes'>, message: unknown): Uint8Array {
  switch (codec) {
    case 'utf8':
      if (typeof message !== 'string') throw validate.wrongKind('message', 'a string', message);
      mustBeWellFormed(message);
      return Buffer.from(message, 'utf8');
    case 'json':
      return Buffer.from(jsonOf(message), 'utf8');
    case 'v8':
      mustBeSomething(message);
      return encodable('v8', () => serialize(message));
  }
}

/** Half of a surrogate pair has no UTF-8: another character would be received. */
function mustBeWellFormed(message: string): void {
  // In Node since 20, in the types since ES2024.
  if ((message as string & { isWellFormed(): boolean }).isWellFormed()) return;
  throw misuse('CODEC', "a string with a lone surrogate cannot be sent as 'utf8'", {
    argument: 'message',
    hint: "codec 'json' or 'v8' keeps lone surrogates",
  });
}

/** What a codec throws, as ERR_MEMMAP_CODEC. */
function encodable<Bytes>(codec: Codec, make: () => Bytes): Bytes {
  try {
    return make();
  } catch (cause) {
    const error = misuse('CODEC', `codec '${codec}' cannot encode the message`, {
      argument: 'message',
    });
    throw Object.defineProperty(error, 'cause', { value: cause, configurable: true });
  }
}

/** A message of a channel of 'bytes', not copied. */
export function bytesOf(message: unknown): Uint8Array {
  if (isBytes(message) && lengthOf(message) > 0) return message;
  return isAnyArrayBuffer(message)
    ? validate.bufferBytes('message', message)
    : validate.byteView('message', message);
}

function jsonOf(message: unknown): string {
  mustBeSomething(message);
  const text = encodable('json', () => JSON.stringify(message) as string | undefined);
  if (text === undefined) throw validate.wrongKind('message', 'something JSON has', message);
  return text;
}

/** `receive` says the end of a channel with undefined. */
function mustBeSomething(message: unknown): void {
  if (message === undefined) throw validate.wrongKind('message', 'a value', message);
}

/** The message of bytes that are ours alone. ERR_MEMMAP_CODEC where they are none: they were received, and are in the error. */
export function decode(codec: Codec, bytes: Buffer): unknown {
  if (codec === 'bytes') return bytes;
  try {
    return valueOf(codec, bytes);
  } catch (cause) {
    const error = misuse('CODEC', `a message of ${String(bytes.length)} bytes is no '${codec}'`, {
      length: bytes.length,
      hint: 'every handle of a channel must have the same codec; the message was taken',
    });
    // Not for console.log: it may be long.
    throw Object.defineProperties(error, { cause: { value: cause }, bytes: { value: bytes } });
  }
}

function valueOf(codec: Exclude<Codec, 'bytes'>, bytes: Buffer): unknown {
  switch (codec) {
    case 'utf8':
      return textOf(bytes);
    case 'json':
      return JSON.parse(textOf(bytes)) as unknown;
    case 'v8':
      return deserialize(alone(bytes)) as unknown;
  }
}

function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw new TypeError('the bytes are not valid UTF-8');
}

/** Typed arrays that are read lie in these very bytes: whoever transfers one must not take the messages beside it away. */
function alone(bytes: Buffer): Buffer {
  if (bytes.length === bytes.buffer.byteLength) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
