// What is left of a run when it has ended: tables and lists in a folder, read into traces.

import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { regionsOfText } from '../maps-text.js';
import { type Trace, traceOf } from '../trace.js';
import { TraceTable } from '../trace-table.js';
import type { Sample } from './run-samples.js';

/** A table, and what it says. */
export interface Life {
  readonly table: TraceTable;
  readonly trace: Trace;
}

interface Known {
  readonly command: readonly string[];
  readonly samples: readonly Sample[];
  readonly program: string | undefined;
}

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

/** Throws where the file is no table. No process has come to it: undefined. */
export function readLife(path: string, known: Known): Life | undefined {
  const table = new TraceTable(readFileSync(path));
  if (table.pid === 0) return undefined;
  const milliseconds = (at: bigint): number => Number(at - table.startedAt) / 1e6;
  const samples = known.samples
    .map(({ at, text }) => ({ time: milliseconds(at), text }))
    .filter(({ time }) => time >= 0);
  const start = textOf(`${path}.start`);
  const end = table.endedAt === undefined ? undefined : textOf(`${path}.end`);
  const endTime = table.endedAt === undefined ? 0 : milliseconds(table.endedAt);
  const order = table.order();
  const latest = order.length === 0 ? 0 : table.time(order[order.length - 1] ?? 0) / 1e6;
  const texts = [
    ...(start === undefined ? [] : [{ time: 0, text: start }]),
    ...samples,
    ...(end === undefined ? [] : [{ time: endTime, text: end }]),
  ].sort((a, b) => a.time - b.time);
  const durationMs = Math.max(endTime, latest, ...texts.map(({ time }) => time));
  const snapshots = texts.map(({ time, text }) => ({
    time,
    regions: regionsOfText(text, known.program),
  }));
  return { table, trace: traceOf(table, { command: known.command, durationMs, snapshots }) };
}

/** The lives of programs that it started, by the number of their process. */
export function readChildren(path: string): Map<number, Life> {
  const lives = new Map<number, Life>();
  const prefix = `${basename(path)}.`;
  for (const name of readdirSync(dirname(path))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (!/^\d+$/.test(pid)) continue;
    const life = readLife(join(dirname(path), name), {
      command: [`process ${pid}`],
      samples: [],
      program: undefined,
    });
    if (life !== undefined) lives.set(Number(pid), life);
  }
  return lives;
}
