// Where the parts of a Latest lie in shared memory. Numbers only: knows no memory.

/** Everything that two processes write at once has a cache line of its own. */
export const LINE = 64;

/** A lane is one word: which buffer is the newest, and who has seen that. */
export const BITS = 24;
export const BIT_MASK = 2 ** BITS - 1;

/** Buffers have numbers from 1: zeroed memory says that nothing was written yet. */
export const NOTHING = 0;

/** Buffer numbers have the 8 bits that are left; two buffers more than there are readers. */
export const MOST_READERS = 253;
/** Lengths are stored in 32 bits. */
export const MOST_BYTES = 2 ** 31 - LINE;

/** 'Late', and which layout: what is not zero and not this is something else's memory. */
export const MARK = 0x4c617401;

export interface LatestSize {
  /** The most bytes that a value may have. */
  readonly size: number;
  /** How many may read at once. */
  readonly readers: number;
}

//   0    mark, size, readers           64   sequence
//   128  the writer's Cell             192  lanes: word, what the writer is about to take from it
//   ...  holds: one word a reader      ...  values: length, version (low, high)
//   ...  the readers' Cells            ...  the buffers
export interface LatestShape extends LatestSize {
  readonly lanes: number;
  /** The highest number of a buffer. */
  readonly buffers: number;
  /** Bytes before the buffers. */
  readonly control: number;
  /** Bytes from one buffer to the next. */
  readonly stride: number;
  readonly bytes: number;
  /** Words, counted in 32 bits: */
  readonly lanesAt: number;
  readonly holdsAt: number;
  readonly valuesAt: number;
  /** Cells, counted in bytes: */
  readonly writerCell: number;
  readonly readerCells: number;
}

const lines = (bytes: number): number => Math.ceil(bytes / LINE) * LINE;

/** Words of the first two lines. */
export const MARK_AT = 0;
export const SIZE_AT = 1;
export const READERS_AT = 2;
export const SEQUENCE_AT = LINE / 4;
/** Words from one lane, or value, to the next. */
export const STEP = LINE / 4;

export function shapeOf({ size, readers }: LatestSize): LatestShape {
  const lanes = Math.ceil(readers / BITS);
  // Each reader can hold one, one is the newest, one is free to be written.
  const buffers = readers + 2;
  const writerCell = 2 * LINE;
  const firstLane = writerCell + LINE;
  const holds = firstLane + lanes * LINE;
  const values = holds + lines(readers * 4);
  const readerCells = values + buffers * LINE;
  const control = readerCells + readers * LINE;
  const stride = lines(size);
  return {
    size,
    readers,
    lanes,
    buffers,
    control,
    stride,
    bytes: control + buffers * stride,
    lanesAt: firstLane / 4,
    holdsAt: holds / 4,
    valuesAt: values / 4,
    writerCell,
    readerCells,
  };
}
