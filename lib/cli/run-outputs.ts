// The files of `memmap run`: a trace as JSON, the page that draws it.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { extname } from 'node:path';
import type { Trace } from '../trace.js';
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
export function writeTrace(path: string, { events, ...rest }: Trace): void {
  const fd = openSync(path, 'w');
  try {
    const [before = '', after = ''] = JSON.stringify({ ...rest, events: ['*'] }).split('"*"');
    writeSync(fd, before);
    for (let at = 0; at < events.length; at += AT_ONCE) {
      const piece = events.slice(at, at + AT_ONCE).map((event) => JSON.stringify(event));
      writeSync(fd, `${at === 0 ? '' : ','}\n${piece.join(',\n')}`);
    }
    writeSync(fd, `${after}\n`);
  } finally {
    closeSync(fd);
  }
}

function pageOf({ trace }: Life): string {
  const command = trace.command.join(' ');
  return renderPage({
    title: command,
    pid: trace.pid,
    command,
    taken: new Date(Date.parse(trace.started) + trace.durationMs).toISOString(),
    pageSize: trace.pageSize,
    regions: trace.snapshots.at(-1)?.regions ?? [],
    trace,
  });
}

export function writeOutputs(
  { trace, report }: RunOptions,
  life: Life,
  children: ReadonlyMap<number, Life>,
): void {
  if (trace !== undefined) writeTrace(trace, life.trace);
  if (report !== undefined) writeFileSync(report, pageOf(life));
  for (const [pid, child] of children) {
    if (trace !== undefined) writeTrace(pathOf(trace, pid), child.trace);
    if (report !== undefined) writeFileSync(pathOf(report, pid), pageOf(child));
  }
}
