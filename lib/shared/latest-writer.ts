// The one who writes a Latest.
import { misuse } from '../errors.js';
import { type WriteSource, bytesOf } from '../transfer.js';
import { byteLengthOf } from '../true-bytes.js';
import * as validate from '../validate.js';
import type { Cell } from './cell.js';
import { rouse } from './futex.js';
import { WriterCore } from './latest-core.js';
import { NOTHING } from './latest-shape.js';
import { type LatestMemory, Windows } from './latest-memory.js';

export const closed = (what: string): Error =>
  misuse('CLOSED', `the ${what} was closed`, { hint: 'make another one' });

/**
 * The writer of a Latest: there is one at a time. Made by `Latest.writer()`; belongs to its thread, and ends with it. It
 * never waits for readers, however slow or dead.
 */
export class LatestWriter {
  readonly #memory: LatestMemory;
  readonly #cell: Cell;
  readonly #core: WriterCore;
  readonly #windows: Windows;
  readonly #closing: (writer: LatestWriter) => void;
  #reserved: number = NOTHING;

  /** @internal */
  constructor(memory: LatestMemory, closing: (writer: LatestWriter) => void) {
    this.#memory = memory;
    this.#closing = closing;
    this.#cell = memory.writerCell;
    if (this.#cell.take() === 'held') {
      throw misuse('BUSY', 'the Latest already has a writer', {
        hint: 'close it first',
      });
    }
    try {
      this.#core = new WriterCore(memory.words, memory.shape);
      // The last one may have died before it woke anybody.
      if (this.#core.tell()) this.#wake();
    } catch (error) {
      this.#cell.leave();
      throw error;
    }
    this.#windows = new Windows(memory);
  }

  #live(): void {
    if (!this.#cell.heldHere) throw closed('writer');
  }

  #wake(): void {
    rouse(this.#memory.spot, Infinity);
  }

  /** How many values were written, by all writers. */
  get version(): number {
    return this.#core.version;
  }

  /**
   * Makes these bytes the newest value, whole and at once; strings are UTF-8. Gives its version. A value longer than `size` is
   * ERR_MEMMAP_RANGE. What was reserved and not published is dropped.
   */
  write(value: WriteSource): number {
    this.#live();
    const bytes = bytesOf(value);
    const length = byteLengthOf(bytes);
    this.#mustFit(length);
    const number = this.#free();
    this.#windows.whole(number).set(bytes);
    return this.#publish(number, length);
  }

  /**
   * The bytes of the next value, `size` of them, zero copy; what is in them is left from an older one. They are the writer's
   * until `publish`: nobody sees them before, and they must not be written after.
   */
  reserve(): Buffer {
    this.#live();
    this.#reserved = this.#free();
    return this.#windows.whole(this.#reserved);
  }

  /** Makes the first `length` bytes of what was reserved the newest value. Gives its version. */
  publish(length?: number): number {
    this.#live();
    const size = length === undefined ? this.#memory.shape.size : validate.bytes('length', length);
    this.#mustFit(size);
    if (this.#reserved === NOTHING) {
      throw misuse('ARGUMENT', 'nothing is reserved', {
        hint: 'reserve() gives the bytes to fill',
      });
    }
    return this.#publish(this.#reserved, size);
  }

  #mustFit(length: number): void {
    const { size } = this.#memory.shape;
    if (length <= size) return;
    throw misuse(
      'RANGE',
      `${String(length)} bytes do not fit: values have at most ${String(size)}`,
      {
        length: size,
      },
    );
  }

  #free(): number {
    return this.#reserved === NOTHING ? this.#core.pick() : this.#reserved;
  }

  #publish(number: number, length: number): number {
    this.#reserved = NOTHING;
    if (this.#core.publish(number, length)) this.#wake();
    const { version } = this.#core;
    this.#memory.mustBeShared();
    return version;
  }

  /** Lets another one write. Doing it again does nothing. */
  close(): void {
    if (!this.#cell.heldHere) return;
    this.#closing(this);
    this.#cell.leave();
  }

  /** `close`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}
