// A process's regions as packed numbers: one row each, their names apart. Pure: knows no addon.

/** What the addon answers: rows as below, and the names that they number. */
export interface Survey {
  readonly rows: Float64Array;
  readonly names: readonly string[];
}

/** Numbers in a row, and where each of them is. */
export const COLUMNS = 9;
export const START = 0;
export const END = 1;
export const MODE = 2;
export const OFFSET = 3;
export const INODE = 4;
export const DEVICE = 5;
/** Index of its name; -1: it has none. */
export const NAME = 6;
/** Who of memmap holds it, see HOLDERS. */
export const HOLDER = 7;
/** The record's id; -1: not this thread's. */
export const OWNER = 8;

/** Bits of MODE. */
export const READ = 1;
export const WRITE = 2;
export const EXECUTE = 4;
export const ACCESS = READ | WRITE | EXECUTE;
export const SHARED = 8;
/** It goes on in the kernel's region of the row before. */
export const CONTINUED = 16;

/** By HOLDER; the first is nobody. */
export const HOLDERS = [undefined, 'mapping', 'reservation', 'retired'] as const;

const MINORS = 2 ** 20;

export const deviceText = (device: number): string =>
  `${String(Math.floor(device / MINORS))}:${String(device % MINORS)}`;

/** The number of a device that no disk is behind begins with 0. */
export const isDiskless = (device: number): boolean => device < MINORS;

export const countOf = ({ rows }: Survey): number => rows.length / COLUMNS;

/** The row that holds `address`, or -1. */
export function rowAt({ rows }: Survey, address: number): number {
  let low = 0;
  let high = rows.length / COLUMNS;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle * COLUMNS + END] as number) <= address) low = middle + 1;
    else high = middle;
  }
  const start = rows[low * COLUMNS + START];
  return start !== undefined && start <= address ? low : -1;
}
