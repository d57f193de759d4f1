// One who reads a Latest.
import { misuse } from '../errors.js';
import * as validate from '../validate.js';
import type { Cell } from './cell.js';
import { rouse } from './futex.js';
import { ReaderCore, versionOf } from './latest-core.js';
import { NOTHING } from './latest-shape.js';
import { type LatestMemory, Windows } from './latest-memory.js';
import { closed } from './latest-writer.js';
import type { LockAsyncOptions, LockOptions } from './mutex.js';
import { type Quest, laterOf, patienceOf, waitFor, waitLater } from './waits.js';

/** A place that is free, or whose reader is dead. */
function placeIn(memory: LatestMemory): { readonly reader: number; readonly cell: Cell } {
  const { readers } = memory.shape;
  for (let reader = 0; reader < readers; reader++) {
    const cell = memory.readerCell(reader);
    if (cell.state() !== 'held' && cell.take() !== 'held') return { reader, cell };
  }
  throw misuse('NO_ROOM', `all ${String(readers)} places for readers are taken`, {
    hint: 'close() those that are not needed, or make it with more readers',
  });
}

const NO_BYTES = new Uint8Array(0);

/**
 * A reader of a Latest. Made by `Latest.reader()`; belongs to its thread, and ends with it. What it reads is always the newest
 * value and never a mixture of two. It never waits for the writer, however slow or dead, and makes no system call. Every call is
 * ERR_MEMMAP_FAULT where the file was cut short, until `repair()`.
 */
export class LatestReader {
  readonly #memory: LatestMemory;
  readonly #cell: Cell;
  readonly #core: ReaderCore;
  readonly #windows: Windows;
  readonly #closing: (reader: LatestReader) => void;
  /** The last target, which most often is the next one too, and its bytes. */
  #target: NodeJS.ArrayBufferView | undefined;
  #bytes: Uint8Array = NO_BYTES;
  #open = true;

  /** @internal */
  constructor(memory: LatestMemory, closing: (reader: LatestReader) => void) {
    this.#memory = memory;
    this.#closing = closing;
    const { reader, cell } = placeIn(memory);
    this.#cell = cell;
    this.#core = new ReaderCore(memory.words, memory.shape, reader);
    this.#windows = new Windows(memory);
  }

  /** A copy of the newest value; undefined before the first. */
  read(): Buffer | undefined {
    const number = this.#enter();
    if (number === NOTHING) return undefined;
    const copy = Buffer.from(this.#windows.part(number, this.#core.length));
    this.#memory.mustBeShared();
    return copy;
  }

  /**
   * Copies the newest value into `target` and says how many bytes it has; undefined before the first. Allocates nothing while
   * values keep their length. ERR_MEMMAP_RANGE when the value is longer than the target.
   */
  readInto(target: NodeJS.ArrayBufferView): number | undefined {
    if (target !== this.#target) {
      this.#bytes = validate.byteView('target', target);
      this.#target = target;
    }
    const number = this.#enter();
    if (number === NOTHING) return undefined;
    const { length } = this.#core;
    if (length > this.#bytes.length) throw tooShort(length);
    this.#bytes.set(this.#windows.part(number, length));
    this.#memory.mustBeShared();
    return length;
  }

  /**
   * The newest value itself, zero copy; undefined before the first. It does not change until the next `read`, `readInto`, `view`
   * or `close` of this reader: from then on the writer may write over it. Do not write to it: all readers have the same bytes.
   */
  view(): Buffer | undefined {
    const number = this.#enter();
    return number === NOTHING ? undefined : this.#windows.part(number, this.#core.length);
  }

  #enter(): number {
    this.#mustBeOpen();
    try {
      return this.#core.enter();
    } finally {
      this.#memory.mustBeShared();
    }
  }

  #mustBeOpen(): void {
    if (!this.#open) throw closed('reader');
  }

  /** Which value was read last: they are counted from 1. 0 before the first. */
  get version(): number {
    this.#mustBeOpen();
    return versionOf(this.#memory.words, this.#memory.shape, this.#core.held);
  }

  /** Whether there is a newer value than the one that was read last. */
  get changed(): boolean {
    this.#mustBeOpen();
    const { changed } = this.#core;
    this.#memory.mustBeShared();
    return changed;
  }

  /** Waits until there is a newer value than the one that was read last, blocking this thread. ERR_MEMMAP_TIMEOUT. */
  waitSync(options?: LockOptions): void {
    waitFor(this.#quest, patienceOf(options));
  }

  /** `waitSync` without blocking. Rejects with the signal's reason, and with ERR_MEMMAP_CLOSED when the reader is closed. */
  async wait(options?: LockAsyncOptions): Promise<void> {
    await waitLater(this.#quest, laterOf(options));
  }

  /** Waits for a newer value than the one that was read last, and reads it. Values that came and went meanwhile are not seen. */
  async next(options?: LockAsyncOptions): Promise<Buffer> {
    await this.wait(options);
    // Once there was one there always is.
    return this.read() ?? Buffer.alloc(0);
  }

  /** Each value that is newer than the one before, until the reader is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const more = await this.wait().then(
        () => true,
        (error: unknown) => {
          if (this.#open) throw error;
          return false;
        },
      );
      if (!more) return;
      const value = this.read();
      if (value !== undefined) yield value;
    }
  }

  get #quest(): Quest<true> {
    return {
      missed: 'no newer value came',
      attempt: () => (this.changed ? true : undefined),
      // Closed, and its memory unmapped, while it was asleep.
      giveUp: () => {
        this.#mustBeOpen();
      },
      rest: () => ({ ...this.#memory.spot, value: this.#core.expectSleep() }),
    };
  }

  /** Gives its place to another one. Doing it again does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#target = undefined;
    this.#bytes = NO_BYTES;
    this.#closing(this);
    // Whoever waits here learns of it now.
    rouse(this.#memory.spot, Infinity);
    this.#cell.leave();
  }

  /** `close`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

const tooShort = (length: number): Error =>
  misuse('RANGE', `the value has ${String(length)} bytes, more than the target`, {
    argument: 'target',
    length,
  });
