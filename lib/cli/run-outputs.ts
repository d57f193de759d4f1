// The files of `memmap run`: a trace as JSON, the page that draws it.

import { accessSync, closeSync, constants, openSync, statSync, writeFileSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { type Trace, eventOf } from '../looking/trace.js';
import { CommandError } from './command.js';
import { renderPage } from './page.js';
import type { Life, Look } from './run-life.js';
import type { RunOptions } from './run-options.js';
import { attempt, say } from './run-say.js';

/** app.json of process 12 is app.12.json. */
export function pathOf(path: string, name: string): string {
  const end = extname(path);
  return `${path.slice(0, path.length - end.length)}.${name}${end}`;
}

function checkPath(option: string, path: string): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) throw new Error(`it is a folder: ${path}`);
    if (found === undefined) accessSync(dirname(path), constants.W_OK | constants.X_OK);
    else accessSync(path, constants.W_OK);
  } catch (error) {
    throw new CommandError(`${option} cannot be written: ${(error as Error).message}`);
  }
}

/** Before the program is started: what it did may have taken hours. */
export function checkOutputs({ trace, report }: RunOptions): void {
  if (trace !== undefined) checkPath('--trace', trace);
  if (report === undefined) return;
  checkPath('--report', report);
  const nothing = { title: '', pid: 0, command: '', taken: '', pageSize: 1, regions: [] };
  renderPage(nothing); // Throws where the page was not built.
}

const AT_ONCE = 10_000;

/** Piece by piece: a million calls are more than a string can hold. */
function writeList<T>(fd: number, list: ArrayLike<T>, dataOf: (item: T) => unknown): void {
  for (let at = 0; at < list.length; at += AT_ONCE) {
    const piece = Array.from({ length: Math.min(AT_ONCE, list.length - at) }, (_, index) =>
      JSON.stringify(dataOf(list[at + index] as T)),
    );
    writeFileSync(fd, `${at === 0 ? '' : ','}\n${piece.join(',\n')}`);
  }
}

export function writeTrace(path: string, { table, order, head, looks, regionsOf }: Life): void {
  const fd = openSync(path, 'w');
  try {
    writeFileSync(fd, `${JSON.stringify(head).slice(0, -1)},"snapshots":[`);
    looks.forEach((look, index) => {
      writeFileSync(fd, `${index === 0 ? '' : ','}\n{"time":${look.time},"regions":[`);
      writeList(fd, regionsOf(look), (region) => region);
      writeFileSync(fd, ']}');
    });
    writeFileSync(fd, '],"events":[');
    writeList(fd, order, (index) => eventOf(table, index));
    writeFileSync(fd, '\n]}\n');
  } finally {
    closeSync(fd);
  }
}

/** What a browser can still hold. */
const MOST_EVENTS = 100_000;
const MOST_REGIONS = 200_000;

const linesOf = ({ text }: Look): number => {
  let count = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) count++;
  return count;
};

/** Ever fewer, the first and the last always. */
export function fewLooks(looks: readonly Look[]): readonly Look[] {
  let few = looks;
  const isMuch = (): boolean => few.reduce((sum, look) => sum + linesOf(look), 0) > MOST_REGIONS;
  while (few.length > 2 && isMuch()) {
    few = few.filter((_, index) => index % 2 === 0 || index === few.length - 1);
  }
  return few;
}

function traceForPage({ table, order, head, looks, regionsOf }: Life): Trace {
  const shown = order.subarray(Math.max(0, order.length - MOST_EVENTS));
  const left = order.length - shown.length;
  const few = fewLooks(looks);
  if (left > 0) {
    say([`the page shows the last ${shown.length} of ${order.length} calls; --trace has all`]);
  }
  if (few.length < looks.length) {
    say([`the page shows ${few.length} of ${looks.length} lists of the kernel; --trace has all`]);
  }
  return {
    ...head,
    lost: head.lost + left,
    snapshots: few.map((look) => ({ time: look.time, regions: regionsOf(look) })),
    events: Array.from(shown, (index) => eventOf(table, index)),
  };
}

export function pageOf(life: Life): string {
  const { head } = life;
  const command = head.command.join(' ');
  return renderPage({
    title: command,
    pid: head.pid,
    command,
    taken: new Date(Date.parse(head.started) + head.durationMs).toISOString(),
    pageSize: head.pageSize,
    regions: [...life.last],
    trace: traceForPage(life),
  });
}

/** Each by itself: where one cannot be written there is still the other. `child`: of which program that it started. */
export function writeOutputs({ trace, report }: RunOptions, life: Life, child?: string): void {
  const named = (path: string): string => (child === undefined ? path : pathOf(path, child));
  if (trace !== undefined) {
    attempt('--trace cannot be written', () => writeTrace(named(trace), life));
  }
  if (report !== undefined) {
    attempt('--report cannot be written', () => writeFileSync(named(report), pageOf(life)));
  }
}
