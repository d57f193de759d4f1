// The memory of a Latest as this thread has it: its words, its buffers, its cells, and the numbers it was made with.
import { misuse } from '../errors.js';
import { faultCount, faultWithin } from '../faults.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import * as validate from '../validate.js';
import { Cell } from './cell.js';
import { type Spot, wordsOf } from './futex.js';
import { corrupt } from './latest-core.js';
import {
  BITS,
  LINE,
  type LatestShape,
  type LatestSize,
  MARK,
  MARK_AT,
  MOST_BYTES,
  MOST_READERS,
  READERS_AT,
  SEQUENCE_AT,
  SIZE_AT,
  shapeOf,
} from './latest-shape.js';
import { imprint, isAnother } from './waits.js';

/** What a Latest is made with; without `size` it must have been made before. */
export type GivenSize = Partial<Record<'size' | 'readers', number | undefined>>;

function whole(name: string, value: unknown, most: number): number {
  const number = validate.bytes(name, value, 1);
  if (number <= most) return number;
  throw misuse('RANGE', `${name} can be at most ${String(most)}; got ${String(number)}`, {
    argument: name,
  });
}

export const sizeOf = (value: unknown): number => whole('options.size', value, MOST_BYTES);
export const readersOf = (value: unknown): number => whole('options.readers', value, MOST_READERS);

export const shapeFor = (given: { size?: unknown; readers?: unknown }): LatestShape =>
  shapeOf({ size: sizeOf(given.size), readers: readersOf(given.readers ?? BITS) });

/** Whoever comes first writes the size; who wants another one stops there. */
function settled(words: Int32Array, given: GivenSize): LatestSize {
  const mark = Atomics.load(words, MARK_AT);
  if (mark !== 0 && mark !== MARK) throw corrupt('it has no mark');
  if (given.size === undefined) {
    if (mark !== MARK) {
      throw misuse('ARGUMENT', 'there is no Latest at this offset yet', {
        argument: 'options.size',
        hint: 'pass { size } to create it',
      });
    }
  } else {
    const size = imprint(words, SIZE_AT, given.size);
    if (size !== given.size) throw isAnother(`values of ${String(size)} bytes`, 'open it as it is');
    const readers = imprint(words, READERS_AT, given.readers ?? BITS);
    imprint(words, MARK_AT, MARK);
    if (readers !== (given.readers ?? readers)) {
      throw isAnother(`a Latest of ${String(readers)} readers`, 'open it as it is');
    }
  }
  const [size, readers] = [Atomics.load(words, SIZE_AT), Atomics.load(words, READERS_AT)];
  if (size < 1 || size > MOST_BYTES) throw corrupt(`values of ${String(size)} bytes`);
  if (readers < 1 || readers > MOST_READERS) throw corrupt(`${String(readers)} readers`);
  return { size, readers };
}

export class LatestMemory {
  readonly mapping: Mapping;
  readonly offset: number;
  /** Read once, checked against the length of the mapping, and never read again. */
  readonly shape: LatestShape;
  #words: Int32Array;
  #faults = faultCount();

  constructor(mapping: Mapping, offset: number, given: GivenSize) {
    if (offset % LINE !== 0) {
      throw misuse('ARGUMENT', `offset must be a multiple of ${String(LINE)}`, {
        argument: 'offset',
      });
    }
    if (given.size !== undefined) {
      const { bytes } = shapeFor(given);
      validate.within(offset, bytes, mapping.length);
    }
    this.mapping = mapping;
    this.offset = offset;
    this.shape = shapeOf(settled(wordsOf(mapping, offset, LINE), given));
    if (this.shape.bytes > mapping.length - offset) {
      throw corrupt(`${String(this.shape.bytes)} bytes in a mapping of ${String(mapping.length)}`);
    }
    this.#words = wordsOf(mapping, offset, this.shape.control);
  }

  /** Throws where it is not what others have: of a file that was cut short the fault guard's pages are this process's own. */
  mustBeShared(): void {
    const count = faultCount();
    if (count === this.#faults) return;
    const fault = faultWithin(liveOf(this.mapping), {
      offset: this.offset,
      length: this.shape.bytes,
    });
    if (fault !== undefined) throw fault;
    this.#faults = count;
  }

  /** All words before the buffers. They are made again where resize() detached them. */
  get words(): Int32Array {
    if (this.#words.length === 0) {
      this.#words = wordsOf(this.mapping, this.offset, this.shape.control);
    }
    return this.#words;
  }

  /** The word that sleepers wait on. */
  get spot(): Spot {
    return { mapping: this.mapping, offset: this.offset + SEQUENCE_AT * 4 };
  }

  get writerCell(): Cell {
    return new Cell(this.mapping, this.offset + this.shape.writerCell);
  }

  readerCell(reader: number): Cell {
    return new Cell(this.mapping, this.offset + this.shape.readerCells + reader * LINE);
  }

  /** All bytes of a buffer, zero copy. */
  buffer(number: number): Buffer {
    const { control, stride, size } = this.shape;
    return this.mapping.view(this.offset + control + (number - 1) * stride, size);
  }
}

/** Windows of the buffers, each made once: as long as values keep their length nothing is allocated. */
export class Windows {
  readonly #memory: LatestMemory;
  readonly #whole: (Buffer | undefined)[];
  readonly #parts: (Buffer | undefined)[];

  constructor(memory: LatestMemory) {
    this.#memory = memory;
    // Holes would make it another kind of array.
    this.#whole = Array<undefined>(memory.shape.buffers + 1).fill(undefined);
    this.#parts = Array<undefined>(memory.shape.buffers + 1).fill(undefined);
  }

  whole(number: number): Buffer {
    return (this.#whole[number] ??= this.#memory.buffer(number));
  }

  part(number: number, length: number): Buffer {
    const known = this.#parts[number];
    if (known?.length === length) return known;
    const part = this.whole(number).subarray(0, length);
    this.#parts[number] = part;
    return part;
  }
}
