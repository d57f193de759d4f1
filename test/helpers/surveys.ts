// Address spaces made up for tests: rows as the addon would give them.

import { COLUMNS, EXECUTE, READ, SHARED, type Survey, WRITE } from '../../lib/looking/survey.js';

export interface Row {
  readonly start: number;
  readonly end: number;
  /** 'rw-', or with an s at its end for shared. */
  readonly mode: string;
  readonly name?: string;
  readonly offset?: number;
  readonly inode?: number;
  /** Major and minor number in one: of no disk, if it is not said. */
  readonly device?: number;
  /** What memmap holds: 1 a mapping, 2 a reservation, 3 a retired range. */
  readonly holder?: number;
}

const bitsOf = (mode: string): number =>
  (mode.startsWith('r') ? READ : 0) |
  (mode[1] === 'w' ? WRITE : 0) |
  (mode[2] === 'x' ? EXECUTE : 0) |
  (mode[3] === 's' ? SHARED : 0);

export function surveyOf(list: readonly Row[]): Survey {
  const names: string[] = [];
  const rows = new Float64Array(list.length * COLUMNS);
  list.forEach(({ start, end, mode, name, offset = 0, inode = 0, device = 0, holder = 0 }, row) => {
    if (name !== undefined && !names.includes(name)) names.push(name);
    const index = name === undefined ? -1 : names.indexOf(name);
    rows.set([start, end, bitsOf(mode), offset, inode, device, index, holder, -1], row * COLUMNS);
  });
  return { rows, names };
}
