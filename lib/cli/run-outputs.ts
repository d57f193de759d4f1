// The files of `memmap run`: a trace as JSON, the page that draws it.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { extname } from 'node:path';
import { eventOf } from '../trace.js';
import { renderPage } from './page.js';
import type { Life } from './run-life.js';
import type { RunOptions } from './run-options.js';

/** app.json of process 12 is app.12.json. */
export function pathOf(path: string, pid: number): string {
  const end = extname(path);
  return `${path.slice(0, path.length - end.length)}.${String(pid)}${end}`;
}

const AT_ONCE = 10_000;

/** Piece by piece: a million calls are more than a string can hold. */
export function writeTrace(path: string, { table, trace }: Life): void {
  const order = table.order();
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, `${JSON.stringify(trace).slice(0, -1)},"events":[`);
    for (let at = 0; at < order.length; at += AT_ONCE) {
      const piece = Array.from(order.subarray(at, at + AT_ONCE), (index) =>
        JSON.stringify(eventOf(table, index)),
      );
      writeSync(fd, `${at === 0 ? '' : ','}\n${piece.join(',\n')}`);
    }
    writeSync(fd, '\n]}\n');
  } finally {
    closeSync(fd);
  }
}

/** What a browser can still hold. */
const MOST_ON_A_PAGE = 100_000;

function pageOf({ table, trace }: Life): string {
  const command = trace.command.join(' ');
  const order = table.order();
  const shown = order.subarray(Math.max(0, order.length - MOST_ON_A_PAGE));
  const left = order.length - shown.length;
  if (left > 0) {
    process.stderr.write(
      `memmap run: the page shows the last ${shown.length} of ${order.length} calls; --trace has all\n`,
    );
  }
  return renderPage({
    title: command,
    pid: trace.pid,
    command,
    taken: new Date(Date.parse(trace.started) + trace.durationMs).toISOString(),
    pageSize: trace.pageSize,
    regions: trace.snapshots.at(-1)?.regions ?? [],
    trace: {
      ...trace,
      lost: trace.lost + left,
      events: Array.from(shown, (index) => eventOf(table, index)),
    },
  });
}

export function writeOutputs(
  { trace, report }: RunOptions,
  life: Life,
  children: ReadonlyMap<number, Life>,
): void {
  if (trace !== undefined) writeTrace(trace, life);
  if (report !== undefined) writeFileSync(report, pageOf(life));
  for (const [pid, child] of children) {
    if (trace !== undefined) writeTrace(pathOf(trace, pid), child);
    if (report !== undefined) writeFileSync(pathOf(report, pid), pageOf(child));
  }
}
