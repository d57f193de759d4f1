// The bytes of what a caller passes. Most pass the same array again and again, and are asked about it once.
import { bufferOf, fixedSizeOf, lengthOf, offsetOf } from '../true-bytes.js';
import { mappingOf } from '../views.js';

/** Bytes, and the same eight at a time where that is at hand, for short copies. */
export interface Bytes {
  readonly bytes: Uint8Array;
  readonly longs: BigInt64Array;
}

/** An array that is remembered keeps its memory: not more than this, and no mapping. */
const KEPT = 64 * 1024;

const mayKeep = (buffer: ArrayBufferLike): boolean =>
  (fixedSizeOf(buffer) ?? Infinity) <= KEPT && mappingOf(buffer) === undefined;

const NOTHING = Symbol('nothing');
const NO_LONGS = new BigInt64Array();
const EMPTY = new Uint8Array();

export class Familiar implements Bytes {
  /** An array of ours that does not grow: its length is what it says, and 0 once its memory has gone. */
  bytes: Uint8Array = EMPTY;
  longs: BigInt64Array = NO_LONGS;
  readonly #examine: (value: unknown) => Uint8Array;
  #value: unknown = NOTHING;
  #isKnown = false;

  /** `examine` gives the bytes of a caller's array, or throws what is wrong with it. */
  constructor(examine: (value: unknown) => Uint8Array) {
    this.#examine = examine;
  }

  /** The bytes of a caller's array; good until the next such question. */
  of(value: unknown): Bytes {
    if (value !== this.#value || this.bytes.length === 0) return this.#meet(value);
    if (!this.#isKnown) this.#learn();
    return this;
  }

  #meet(value: unknown): Bytes {
    this.#value = NOTHING;
    this.#isKnown = false;
    const array = this.#examine(value);
    const buffer = bufferOf(array);
    const bytes = new Uint8Array(buffer, offsetOf(array), lengthOf(array));
    this.bytes = EMPTY;
    this.longs = NO_LONGS;
    if (!mayKeep(buffer)) return plain(bytes);
    this.#value = value;
    this.bytes = bytes;
    return this;
  }

  /** Met twice: there will be more. */
  #learn(): void {
    this.#isKnown = true;
    const { buffer, byteOffset, length } = this.bytes;
    if (byteOffset % 8 === 0) this.longs = new BigInt64Array(buffer, byteOffset, length >>> 3);
  }
}

/** Those of an array that is ours, or seen once. */
export const plain = (bytes: Uint8Array): Bytes => ({ bytes, longs: NO_LONGS });
