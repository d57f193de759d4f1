// What is left of a run when it has ended: tables and lists in a folder, read into traces.

import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { regionsOfText } from '../maps-text.js';
import { type Trace, headOf } from '../trace.js';
import { TraceTable, headSize, usedSize } from '../trace-table.js';
import type { Sample } from './run-samples.js';

/** A table, and what it says: the events are in the table. */
export interface Life {
  readonly table: TraceTable;
  readonly trace: Omit<Trace, 'events'>;
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

function readBytes(fd: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let done = 0;
  for (let got = 1; got > 0 && done < size; done += got) {
    got = readSync(fd, bytes, done, size - done, done);
  }
  return bytes.subarray(0, done);
}

/** What is in use of the file, which has room for far more. */
function readTable(path: string): TraceTable {
  const fd = openSync(path, 'r');
  try {
    return new TraceTable(readBytes(fd, usedSize(readBytes(fd, headSize))));
  } finally {
    closeSync(fd);
  }
}

/** Throws where the file is no table. No process has come to it: undefined. */
export function readLife(path: string, known: Known): Life | undefined {
  const table = readTable(path);
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
  return { table, trace: headOf(table, { command: known.command, durationMs, snapshots }) };
}

/** A child may have been killed before its table was one. */
function readIfTable(path: string, known: Known): Life | undefined {
  try {
    return readLife(path, known);
  } catch {
    return undefined;
  }
}

/** The lives of programs that it started, by the number of their process. */
export function readChildren(path: string): Map<number, Life> {
  const lives = new Map<number, Life>();
  const prefix = `${basename(path)}.`;
  for (const name of readdirSync(dirname(path))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (!/^\d+$/.test(pid)) continue;
    const life = readIfTable(join(dirname(path), name), {
      command: [`process ${pid}`],
      samples: [],
      program: undefined,
    });
    if (life !== undefined) lives.set(Number(pid), life);
  }
  return lives;
}
