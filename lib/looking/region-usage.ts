// What of each region is in memory: the kernel's numbers for its regions, brought to our rows.
import { check, codeOf, native } from '../binding.js';
import { lookedAt } from './looking.js';
import { COLUMNS, END, START, type Survey, countOf } from './survey.js';

/** Which of the numbers: resident, dirty, swapped, huge. */
export type UsageColumn = 0 | 1 | 2 | 3;

/** Numbers in a row of the addon's; the first two say which range it is. */
const READ = 6;

interface Row {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/** Four numbers a row; NaN: cannot be known. */
export function usageOf(pid: number, survey: Survey): Float64Array {
  const read = lookedAt(pid, native.usage(pid));
  const found = new Float64Array(countOf(survey) * 4).fill(NaN);
  const parts: Row[] = [];
  let at = 0;
  for (let index = 0; index < countOf(survey); index++) {
    const start = survey.rows[index * COLUMNS + START] as number;
    const end = survey.rows[index * COLUMNS + END] as number;
    while (at < read.length && (read[at + 1] as number) <= start) at += READ;
    const row = { index, start, end };
    if (!addWhole(found, row, read, at) && isWithin(row, read, at)) parts.push(row);
  }
  if (parts.length > 0) addParts(pid, found, parts);
  return found;
}

/** The regions from `at` that make up the row exactly, added up. */
function addWhole(found: Float64Array, row: Row, read: Float64Array, at: number): boolean {
  const sum = [0, 0, 0, 0];
  let reached = row.start;
  for (; reached < row.end && read[at] === reached; at += READ) {
    reached = read[at + 1] as number;
    for (let column = 0; column < 4; column++) {
      sum[column] = (sum[column] as number) + (read[at + 2 + column] as number);
    }
  }
  if (reached === row.end) found.set(sum, row.index * 4);
  return reached === row.end;
}

const isWithin = ({ start, end }: Row, read: Float64Array, at: number): boolean =>
  at < read.length && (read[at] as number) <= start && (read[at + 1] as number) >= end;

/** Parts of a region are asked for page by page, of which less is known. */
function addParts(pid: number, found: Float64Array, parts: readonly Row[]): void {
  const ranges = Float64Array.from(parts.flatMap(({ start, end }) => [start, end]));
  const answer = native.pageUsage(pid, ranges);
  // A process that has changed its user may not look at its own pages: unknown, of these alone.
  if (codeOf(answer) !== undefined) return;
  const read = check(answer);
  parts.forEach(({ index }, part) => {
    found.set(read.subarray(part * READ + 2, part * READ + READ), index * 4);
  });
}
