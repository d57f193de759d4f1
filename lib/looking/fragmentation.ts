// How cut up an address space is. Pure: from a survey to numbers.
import { ACCESS, COLUMNS, CONTINUED, END, MODE, START, type Survey, countOf } from './survey.js';

/** A range of addresses that is free. */
export interface FreeBlock {
  /** First address. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/** How cut up an address space is. */
export interface Fragmentation {
  /** How many ranges of addresses are free. */
  readonly holes: number;
  /** Bytes of address space in them. */
  readonly free: number;
  /** The largest of them. */
  readonly largestFree: FreeBlock;
  /** 0 when all that is free is in one piece; towards 1 the smaller its largest piece is. */
  readonly fragmentation: number;
  /** How many regions the kernel has; it merges neighbours that are alike. */
  readonly regions: number;
  /** How many the kernel allows (vm.max_map_count), if it says so. */
  readonly limit: number | undefined;
  /** Bytes that are taken and cannot be accessed. */
  readonly reserved: number;
  /** Bytes that are taken and can be. */
  readonly mapped: number;
  /** How many bits an address has. */
  readonly addressSpaceBits: number;
  /** The first address that can be mapped. */
  readonly start: bigint;
  /** The address after the last that can be. */
  readonly end: bigint;
}

/** What the kernel says beside the regions. */
export interface Bounds {
  /** The first address that can be mapped. */
  readonly lowest: number;
  /** How many regions there may be; 0: not known. */
  readonly limit: number;
  /** What is kept free at the end of user space. */
  readonly margin: number;
}

/** What is above this is the kernel's own half, whatever the list shows there. */
const KERNEL_HALF = 2 ** 63;

/**
 * The end of user space is the power of two above the highest region: the kernel puts the first
 * thread's stack near it.
 */
export function fragmentationOf(survey: Survey, { lowest, limit, margin }: Bounds): Fragmentation {
  const { rows } = survey;
  const found = { holes: 0, free: 0, reserved: 0, mapped: 0 };
  let largest = { start: lowest, length: 0 };
  let at = lowest;
  const gap = (end: number): void => {
    const length = end - at;
    if (length <= 0) return;
    found.holes++;
    found.free += length;
    if (length > largest.length) largest = { start: at, length };
  };
  let regions = 0;
  for (let row = 0; row < countOf(survey); row++) {
    const start = rows[row * COLUMNS + START] as number;
    if (start >= KERNEL_HALF) break;
    const end = rows[row * COLUMNS + END] as number;
    const mode = rows[row * COLUMNS + MODE] as number;
    gap(start);
    found[(mode & ACCESS) === 0 ? 'reserved' : 'mapped'] += end - start;
    at = Math.max(at, end);
    if ((mode & CONTINUED) === 0) regions++;
  }
  // A process without memory of its own (a zombie, a thread of the kernel) has no space either.
  const bits = regions === 0 ? 0 : Math.ceil(Math.log2(at));
  const end = Math.max(at, 2 ** bits - margin);
  gap(end);
  return {
    holes: found.holes,
    free: found.free,
    largestFree: { address: BigInt(largest.start), length: largest.length },
    fragmentation: found.free === 0 ? 0 : 1 - largest.length / found.free,
    regions,
    limit: limit === 0 ? undefined : limit,
    reserved: found.reserved,
    mapped: found.mapped,
    addressSpaceBits: bits,
    start: BigInt(lowest),
    end: BigInt(end),
  };
}
