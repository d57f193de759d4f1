// What `memmap run` says at the end: who called what, what was placed and refused, what was not seen.

import { CALLS, type TraceCall } from '../looking/trace-table.js';
import type { Life } from './run-life.js';

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

const number = (value: number): string => value.toLocaleString('en-US');

interface Counts {
  readonly byLibrary: Map<string, Map<TraceCall, number>>;
  readonly verdicts: Map<string, number>;
  readonly failed: number;
  readonly total: number;
}

function count({ table, order }: Life): Counts {
  const byLibrary = new Map<string, Map<TraceCall, number>>();
  const verdicts = new Map<string, number>();
  let failed = 0;
  for (const index of order) {
    const library = table.library(index);
    const calls = byLibrary.get(library) ?? new Map<TraceCall, number>();
    byLibrary.set(library, calls);
    const call = table.call(index);
    calls.set(call, (calls.get(call) ?? 0) + 1);
    // Of the calls that are placed, munmap is the end of what mmap began.
    const verdict = table.verdict(index);
    if (verdict !== 'placed' || call !== 'munmap') {
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    }
    if (table.result(index) < 0) failed++;
  }
  return { byLibrary, verdicts, failed, total: order.length };
}

function libraryLines(byLibrary: Counts['byLibrary']): string[] {
  const sum = (calls: Map<TraceCall, number>): number =>
    [...calls.values()].reduce((total, each) => total + each, 0);
  const rows = [...byLibrary].sort(([, a], [, b]) => sum(b) - sum(a));
  const head = [...CALLS.map((call) => call.padStart(9)), '  by'].join('');
  return [
    head,
    ...rows.map(([library, calls]) =>
      [...CALLS.map((call) => number(calls.get(call) ?? 0).padStart(9)), `  ${library}`].join(''),
    ),
  ];
}

function placementLine({ table }: Life, placed: number): string | undefined {
  if (table.policy === 'kernel') return undefined;
  const { arena } = table;
  if (arena.length === 0) return 'placed: nothing, there was no arena';
  const where = `${bytesText(arena.length)} at 0x${arena.start.toString(16)}, ${table.policy}`;
  const full = table.full === 0 ? '' : `; ${number(table.full)} requests did not fit`;
  return `placed: ${number(placed)} requests in ${where}${full}`;
}

function protectionLine({ table }: Life, verdicts: Counts['verdicts']): string {
  if (table.protect === 'off') return "calls that hit memmap's memory: not looked for";
  const word = table.protect === 'refuse' ? 'refused' : 'reported';
  const hits = verdicts.get(word) ?? 0;
  const rest =
    table.unchecked === 0 ? '' : `; ${number(table.unchecked)} calls could not be checked`;
  return `calls of others that hit memmap's memory: ${number(hits)} ${word}${rest}`;
}

function unseenLines({ head, last }: Life): string[] {
  const total = last.reduce((sum, { length }) => sum + length, 0);
  const { regions, bytes } = head.unseen;
  return [
    `not explained by these calls: ${number(regions)} of ${number(last.length)} regions, ${bytesText(bytes)} of ${bytesText(total)} that the kernel listed last`,
    '  (the helper cannot see libc itself: malloc, thread stacks, dlopen; system calls made directly; what came before it)',
  ];
}

/** Lines for stderr. */
export function summaryOf(life: Life, how: string): string[] {
  const { table, head, peak } = life;
  const { byLibrary, verdicts, failed, total } = count(life);
  const why = table.begun > table.capacity ? 'more room: --events' : 'was the disk full?';
  const lost = head.lost === 0 ? '' : `, ${number(head.lost)} lost (${why})`;
  const images = table.images > 1 ? `, program ${number(table.images)} of the process` : '';
  const placement = placementLine(life, verdicts.get('placed') ?? 0);
  return [
    `${head.command.join(' ')}: ${how} after ${Math.round(head.durationMs)} ms, process ${head.pid}${images}`,
    `${number(total)} calls, ${number(failed)} of them failed${lost}`,
    ...libraryLines(byLibrary),
    `most that they held at once: ${bytesText(peak)} of address space`,
    ...(placement === undefined ? [] : [placement]),
    protectionLine(life, verdicts),
    ...unseenLines(life),
  ];
}
