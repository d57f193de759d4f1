// What is left of a run when it has ended: tables and lists in a folder, read into traces.

import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { regionsOfText } from '../looking/maps-text.js';
import type { RegionJson } from '../looking/region.js';
import { replay, unexplained } from '../looking/replay.js';
import { type TraceHead, headOf } from '../looking/trace.js';
import { TraceTable, headSize, usedSize } from '../looking/trace-table.js';
import type { Sample } from './run-samples.js';

/** The kernel's list at one moment, in its own words: as regions it is many times as large. */
export interface Look {
  /** Milliseconds since the start. */
  readonly time: number;
  readonly text: Buffer;
}

/** A table, and what it says: the events are in the table. */
export interface Life {
  readonly table: TraceTable;
  /** The events that there are. */
  readonly order: Uint32Array;
  /** The most bytes of address space that they held at once. */
  readonly peak: number;
  readonly head: TraceHead;
  readonly looks: readonly Look[];
  /** The last of them. */
  readonly last: readonly RegionJson[];
  readonly regionsOf: (look: Look) => RegionJson[];
}

interface Known {
  readonly command: readonly string[];
  readonly samples: readonly Sample[];
  readonly program: string | undefined;
}

const textOf = (path: string): Buffer | undefined => {
  try {
    return readFileSync(path);
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

/** The kernel's lists in the order of time. */
function looksOf(path: string, table: TraceTable, samples: readonly Sample[]): Look[] {
  const milliseconds = (at: bigint): number => Number(at - table.startedAt) / 1e6;
  const start = textOf(`${path}.start`);
  const end = table.endedAt === undefined ? undefined : textOf(`${path}.end`);
  return [
    ...(start === undefined ? [] : [{ time: 0, text: start }]),
    ...samples
      .map(({ at, text }) => ({ time: milliseconds(at), text }))
      .filter(({ time }) => time >= 0),
    ...(end === undefined ? [] : [{ time: milliseconds(table.endedAt ?? 0n), text: end }]),
  ].sort((a, b) => a.time - b.time);
}

/** Reads what is in use of an open table, which has room for far more. Throws where it is none; no process has come to it: undefined. */
export function readLife(fd: number, path: string, known: Known): Life | undefined {
  const table = new TraceTable(readBytes(fd, usedSize(readBytes(fd, headSize))));
  if (table.pid === 0) return undefined;
  const looks = looksOf(path, table, known.samples);
  const regionsOf = ({ text }: Look): RegionJson[] =>
    regionsOfText(text.toString('utf8'), known.program);
  const lastLook = looks.at(-1);
  const last = lastLook === undefined ? [] : regionsOf(lastLook);
  const order = table.order();
  const { explained, peak } = replay(table, order);
  const latest = order.length === 0 ? 0 : table.time(order[order.length - 1] ?? 0) / 1e6;
  const durationMs = Math.max(
    table.endedAt === undefined ? 0 : Number(table.endedAt - table.startedAt) / 1e6,
    latest,
    lastLook?.time ?? 0,
  );
  const { command } = known;
  const head = headOf(table, { command, durationMs }, unexplained(explained, last));
  return { table, order, peak, head, looks, last, regionsOf };
}

/** PID, and PID.2 where that number had been taken: by a process that is gone, in another PID namespace. */
const OF_A_CHILD = /^\d+(\.\d+)?$/;

/** Names of the tables of programs that it started. */
export function childrenOf(path: string): string[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((name) => OF_A_CHILD.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** One of them; undefined where it was ended before it could begin. */
export function readChild(path: string, name: string): Life | undefined {
  const table = join(dirname(path), `${basename(path)}.${name}`);
  const fd = openSync(table, 'r');
  try {
    const command = [`process ${name}`];
    return readLife(fd, table, { command, samples: [], program: undefined });
  } finally {
    closeSync(fd);
  }
}
