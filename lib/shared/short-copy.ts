// Copies of short messages, word by word: making a view to copy with takes longer than such a copy.
import { bufferOf, lengthOf, offsetOf, setBytes } from './true-bytes.js';

/** Up to so many bytes; beyond, a call copies faster than a loop. */
const MOST_OUT = 256;
const MOST_IN = 96;

/** Who sends or receives the same array again and again has its words made once; not of anything large, which would be kept. */
const KEPT = 64 * 1024;

const NOTHING = new Int32Array();

/** Where a message lies in its ring. */
interface Placed {
  readonly offset: number;
  readonly length: number;
}

/** Between a ring and the array that was used last. */
export class ShortCopy {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  #array: Uint8Array | undefined;
  #arrayWords: Int32Array = NOTHING;

  /** Both are of the whole ring. */
  constructor(words: Int32Array, bytes: Uint8Array) {
    this.#words = words;
    this.#bytes = bytes;
  }

  /** From the ring, where `offset` is a multiple of 4, to a place that has room for it. */
  out(target: Uint8Array, at: number, { offset: from, length }: Placed): void {
    if (length > MOST_OUT || (at & 3) !== 0 || !this.#knows(target, lengthOf(target))) {
      setBytes(target, this.#bytes.subarray(from, from + length), at);
      return;
    }
    const words = this.#words;
    const targetWords = this.#arrayWords;
    const whole = length >>> 2;
    const first = from >>> 2;
    const base = at >>> 2;
    for (let i = 0; i < whole; i++) targetWords[base + i] = words[first + i] ?? 0;
    const bytes = this.#bytes;
    for (let i = whole << 2; i < length; i++) target[at + i] = bytes[from + i] ?? 0;
  }

  /** All of `source`, which does not grow, to the ring, where `to` is a multiple of 4. */
  in(source: Uint8Array, length: number, to: number): void {
    if (length > MOST_IN || !this.#knows(source, length)) {
      setBytes(this.#bytes, source, to);
      return;
    }
    const words = this.#words;
    const sourceWords = this.#arrayWords;
    const whole = length >>> 2;
    const first = to >>> 2;
    for (let i = 0; i < whole; i++) words[first + i] = sourceWords[i] ?? 0;
    const bytes = this.#bytes;
    for (let i = whole << 2; i < length; i++) bytes[to + i] = source[i] ?? 0;
  }

  /** Whether it is the array of last time, in words. One that grows and shrinks with its memory is another each time. */
  #knows(array: Uint8Array, length: number): boolean {
    const whole = length >>> 2;
    if (array === this.#array && whole === this.#arrayWords.length) return whole > 0;
    this.#array = undefined;
    this.#arrayWords = NOTHING;
    const buffer = bufferOf(array);
    const offset = offsetOf(array);
    if ((offset & 3) !== 0 || buffer.byteLength > KEPT) return false;
    this.#array = array;
    this.#arrayWords = new Int32Array(buffer, offset, whole);
    return whole > 0;
  }
}
