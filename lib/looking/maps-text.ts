// The text of /proc/PID/maps, kept from a process that may be gone, as regions. Pure.
import type { RegionJson } from './region.js';
import { classify, labelOf } from './region-owner.js';
import {
  COLUMNS,
  DEVICE,
  END,
  EXECUTE,
  HOLDER,
  INODE,
  MODE,
  NAME,
  OFFSET,
  OWNER,
  READ,
  SHARED,
  START,
  WRITE,
} from './survey.js';

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$/s;
const LETTERS = { r: READ, w: WRITE, x: EXECUTE, s: SHARED } as const;

/** The kernel writes a newline as a number, and nothing else; not even the backslash. */
const pathOf = (name: string): string => name.replaceAll('\\012', '\n');

/** Every region of the text, with its owner as far as names and shapes tell; a cut line is none. */
export function regionsOfText(text: string, program: string | undefined): RegionJson[] {
  const lines = text.split('\n').map((line) => LINE.exec(line));
  const found = lines.filter((line) => line !== null);
  const rows = new Float64Array(found.length * COLUMNS);
  const names = new Map<string, number>();
  const numberOf = (name: string): number => {
    if (name === '') return -1;
    const known = names.get(name) ?? names.size;
    names.set(name, known);
    return known;
  };
  found.forEach(([, start, end, mode = '', offset, , , inode, name = ''], index) => {
    const row = rows.subarray(index * COLUMNS, (index + 1) * COLUMNS);
    row[START] = Number(`0x${start ?? ''}`);
    row[END] = Number(`0x${end ?? ''}`);
    for (const [letter, bit] of Object.entries(LETTERS)) {
      if (mode.includes(letter)) row[MODE] = (row[MODE] ?? 0) | bit;
    }
    row[OFFSET] = Number(`0x${offset ?? ''}`);
    row[INODE] = Number(inode);
    row[DEVICE] = 0;
    row[NAME] = numberOf(pathOf(name));
    row[HOLDER] = 0;
    row[OWNER] = -1;
  });
  const draft = classify(
    { rows, names: [...names.keys()] },
    { program, threads: new Float64Array(0) },
  );
  return found.map(
    (
      [, start = '', end = '', mode = '', offset, major = '', minor = '', inode, name = ''],
      index,
    ) => ({
      start: `0x${start.replace(/^0+(?=.)/, '')}`,
      end: `0x${end.replace(/^0+(?=.)/, '')}`,
      length: (rows[index * COLUMNS + END] ?? 0) - (rows[index * COLUMNS + START] ?? 0),
      protection: mode.slice(0, 3),
      shared: mode.endsWith('s'),
      ...(name !== '' && { path: pathOf(name) }),
      offset: Number(`0x${offset ?? ''}`),
      inode: Number(inode),
      device: `${String(parseInt(major, 16))}:${String(parseInt(minor, 16))}`,
      owner: {
        kind: draft.kind(index),
        label: labelOf(draft, index),
        certain: draft.certain(index),
      },
    }),
  );
}
