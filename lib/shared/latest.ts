// The Latest class: finds or makes one in shared memory, and gives out its writer and its readers.
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import * as validate from '../validate.js';
import { BITS } from './latest-shape.js';
import { LatestMemory, readersOf, shapeFor, sizeOf } from './latest-memory.js';
import { LatestReader } from './latest-reader.js';
import { LatestWriter } from './latest-writer.js';
import { SharedMemory } from './shared-memory.js';
import type { SharedCreateOptions } from './shared-options.js';
import { inWhole, recordOf } from './waits.js';

/** How large a Latest is. */
export interface LatestSizes {
  /** The most bytes that a value may have, from 1 to 2^31 - 64. */
  size: number;
  /** How many may read at once, from 1 to 253. Default 24. */
  readers?: number;
}

/** How a Latest is made in shared memory of its own. */
export type LatestCreateOptions = LatestSizes &
  Pick<SharedCreateOptions, 'mode' | 'exclusive' | 'allocate' | 'lifetime'>;

/** Where a Latest lies in memory that is there already. */
export interface LatestPlace extends Partial<LatestSizes> {
  /** Bytes, a multiple of 64. Default 0. */
  offset?: number;
}

const CREATE = ['size', 'readers', 'mode', 'exclusive', 'allocate', 'lifetime'] as const;
const PLACE = ['offset', 'size', 'readers'] as const;

/**
 * The newest value of something, in shared memory: one writes, many read, in any processes and threads of the machine. Nobody
 * waits for anybody: a reader gets the newest value whole, in a few nanoseconds, whatever the writer is doing, and the writer
 * never waits for readers. Values that nobody read in time are not seen; for each one to be seen there is Channel.
 *
 * It survives the death of anybody at any instant. A writer that dies leaves the last value that it has written; the next one
 * goes on from there. The places of dead readers are taken by new ones.
 *
 * Once `write` has returned, no reader gets an older value. While it runs, readers beyond the first 24 may get it a moment later than the
 * first 24.
 *
 * @example
 * ```js
 * const latest = memmap.Latest.create(null, { size: 64 });
 * const writer = latest.writer();
 * const reader = latest.reader(); // in this process or any other that has opened it
 * writer.write('21.5 degrees');
 * reader.read().toString(); // '21.5 degrees'
 * latest.close();
 * ```
 */
export class Latest {
  /** The shared memory it was made in or opened by, to be passed on to others. */
  readonly shared: SharedMemory | undefined;
  readonly #memory: LatestMemory;
  readonly #mapped: Mapping | undefined;
  readonly #handles = new Set<LatestReader | LatestWriter>();
  readonly #closing = (handle: LatestReader | LatestWriter): void => {
    this.#handles.delete(handle);
  };
  #ownsShared = false;
  #open = true;

  /**
   * A Latest in shared memory: at `offset` of a mapping, or in the whole of a SharedMemory. With `size` zeroed memory is made one,
   * by any number of processes at once; without, it must be one already (ERR_MEMMAP_ARGUMENT). ERR_MEMMAP_ARGUMENT for one of
   * another size, ERR_MEMMAP_CORRUPT for memory that makes no sense.
   */
  constructor(target: Mapping | SharedMemory, options?: LatestPlace) {
    const given = validate.options('options', options, PLACE);
    const offset = given.offset === undefined ? 0 : validate.bytes('options.offset', given.offset);
    const size = given.size === undefined ? undefined : sizeOf(given.size);
    const readers = given.readers === undefined ? undefined : readersOf(given.readers);
    if (target instanceof SharedMemory) {
      const mapping = target.map();
      this.#mapped = mapping;
      this.shared = target;
      try {
        this.#memory = new LatestMemory(mapping, offset, { size, readers });
      } catch (error) {
        mapping.unmap();
        throw error;
      }
      return;
    }
    recordOf(target);
    this.#memory = new LatestMemory(target, offset, { size, readers });
  }

  /** Bytes that a Latest takes in memory. */
  static bytesFor(sizes: LatestSizes): number {
    return shapeFor(validate.options('sizes', sizes, ['size', 'readers'] as const)).bytes;
  }

  /**
   * Makes one in shared memory of its own, by a name, or without one (`null`): then `shared.fd` is passed on. Errors: those of
   * `SharedMemory.create`.
   */
  static create(name: string | null, options: LatestCreateOptions): Latest {
    const { size, readers = BITS, ...rest } = validate.options('options', options, CREATE);
    const { bytes, ...sizes } = shapeFor({ size, readers });
    const given = { size: sizes.size, readers: sizes.readers };
    const shared = SharedMemory.create(name, {
      ...(rest as Omit<SharedCreateOptions, 'size'>),
      size: bytes,
      initialize: (mapping) => {
        new LatestMemory(mapping, 0, given);
      },
    });
    return Latest.#over(shared, given);
  }

  /** Opens one by its name. Errors: those of `SharedMemory.open`, and of `new Latest`. */
  static open(name: string): Latest {
    return Latest.#over(SharedMemory.open(name), {});
  }

  static #over(shared: SharedMemory, place: LatestPlace): Latest {
    try {
      const latest = new Latest(shared, place);
      latest.#ownsShared = true;
      return latest;
    } catch (error) {
      shared.close();
      throw error;
    }
  }

  /** The most bytes that a value may have. */
  get size(): number {
    return this.#memory.shape.size;
  }

  /** How many may read at once. */
  get readers(): number {
    return this.#memory.shape.readers;
  }

  /** The memory it lies in. */
  get mapping(): Mapping {
    return this.#memory.mapping;
  }

  /** Whether there is a writer that lives. */
  get hasWriter(): boolean {
    this.#mustBeOpen();
    return this.#memory.writerCell.state() === 'held';
  }

  /** Begins to write. ERR_MEMMAP_BUSY while another writer lives; ERR_MEMMAP_FAULT where the file was cut short. */
  writer(): LatestWriter {
    this.#mustBeOpen();
    return this.#keep(() => new LatestWriter(this.#memory, this.#closing));
  }

  /** Begins to read. ERR_MEMMAP_NO_ROOM while as many live as may; ERR_MEMMAP_FAULT where the file was cut short. */
  reader(): LatestReader {
    this.#mustBeOpen();
    return this.#keep(() => new LatestReader(this.#memory, this.#closing));
  }

  #keep<Handle extends LatestReader | LatestWriter>(make: () => Handle): Handle {
    const handle = inWhole(recordOf(this.#memory.mapping), make, (made) => made.close());
    this.#handles.add(handle);
    return handle;
  }

  #mustBeOpen(): void {
    if (!this.#open) throw misuse('CLOSED', 'the Latest was closed', { hint: 'open it again' });
  }

  /** Closes the writer and the readers that it gave, and what it has mapped, made or opened itself. Doing it again does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const errors: unknown[] = [];
    const attempt = (close: () => void): void => {
      try {
        close();
      } catch (error) {
        errors.push(error);
      }
    };
    // Whatever somebody wrote over one of them, the others are closed, too.
    for (const handle of this.#handles) {
      attempt(() => {
        handle.close();
      });
    }
    attempt(() => this.#mapped?.unmap());
    attempt(() => {
      if (this.#ownsShared) this.shared?.close();
    });
    if (errors.length > 0) throw errors[0];
  }

  /** `close`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}
