// Copies of messages. Short ones eight bytes at a time: making a view to copy with takes longer than such a copy.
import type { Bytes } from './familiar.js';
import { setBytes } from '../true-bytes.js';

/** Up to so many bytes; beyond, a call copies faster than a loop. */
const MOST_OUT = 384;
const MOST_IN = 192;

/** Where a message lies in its ring. `offset`: a multiple of 8. */
interface Placed {
  readonly offset: number;
  readonly length: number;
}

/** Between a ring and arrays of others. */
export class ShortCopy {
  readonly #longs: BigInt64Array;
  readonly #bytes: Uint8Array;

  /** `bytes`: of the whole ring. */
  constructor(bytes: Uint8Array) {
    this.#longs = new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 3);
    this.#bytes = bytes;
  }

  /** From the ring to a place that has room for it. */
  out({ bytes, longs }: Bytes, at: number, { offset, length }: Placed): void {
    const whole = length >>> 3;
    const base = at >>> 3;
    if (length > MOST_OUT || (at & 7) !== 0 || base + whole > longs.length) {
      setBytes(bytes, this.#bytes.subarray(offset, offset + length), at);
      return;
    }
    const from = this.#longs;
    const first = offset / 8;
    for (let i = 0; i < whole; i++) longs[base + i] = from[first + i] ?? 0n;
    for (let i = whole << 3; i < length; i++) bytes[at + i] = this.#bytes[offset + i] ?? 0;
  }

  /**
   * All of a message to the ring, at a multiple of 8. From its end to its beginning: whoever waits for it looks at its first cache line
   * again and again, and takes that from us each time that it was written.
   */
  in({ bytes, longs }: Bytes, offset: number): void {
    const { length } = bytes;
    const whole = length >>> 3;
    if (length > MOST_IN || whole > longs.length) {
      setBytes(this.#bytes, bytes, offset);
      return;
    }
    const to = this.#longs;
    const first = offset / 8;
    for (let i = length - 1; i >= whole << 3; i--) this.#bytes[offset + i] = bytes[i] ?? 0;
    for (let i = whole - 1; i >= 0; i--) to[first + i] = longs[i] ?? 0n;
  }
}
