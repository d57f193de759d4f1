// The trace of this very process, where `memmap run` started it.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { native } from '../binding.js';
import { regionsOfText } from './maps-text.js';
import { listRegions } from './regions.js';
import { type Trace, traceOf } from './trace.js';
import { TraceTable } from './trace-table.js';

/** The process, when it started: in the head of a table. */
const HEAD = { start: 64, end: 96 } as const;

/** Whether the file is the table that this process has mapped: by the process in its head. */
function isTable(path: string, bytes: Uint8Array): boolean | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const head = new Uint8Array(HEAD.end);
    readSync(fd, head, 0, HEAD.end, 0);
    return Buffer.compare(head.subarray(HEAD.start), bytes.subarray(HEAD.start, HEAD.end)) === 0;
  } finally {
    closeSync(fd);
  }
}

/** That of the run, or one for this process: PID, or PID.2 where that had been taken. */
function pathOfTable(bytes: Uint8Array): string | undefined {
  const table = process.env['MEMMAP_RUN'];
  if (table === undefined || isTable(table, bytes) === true) return table;
  for (let turn = 1; ; turn++) {
    const path = `${table}.${String(process.pid)}${turn === 1 ? '' : `.${String(turn)}`}`;
    const found = isTable(path, bytes);
    if (found === undefined) return undefined;
    if (found) return path;
  }
}

/** The list that the helper copied when it was loaded; nothing where that file is not ours to read. */
function firstSnapshot(bytes: Uint8Array): Trace['snapshots'] {
  const table = pathOfTable(bytes);
  if (table === undefined) return [];
  try {
    const text = readFileSync(`${table}.start`, 'utf8');
    return [{ time: 0, regions: regionsOfText(text, process.execPath) }];
  } catch {
    return [];
  }
}

export function ownTrace(): Trace | undefined {
  const memory = native.traceTable();
  if (memory === undefined) return undefined;
  const bytes = new Uint8Array(memory);
  const table = new TraceTable(bytes);
  const durationMs = Number(process.hrtime.bigint() - table.startedAt) / 1e6;
  const regions = listRegions(undefined).map((region) => region.toJSON());
  return traceOf(table, {
    command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    durationMs,
    snapshots: [...firstSnapshot(bytes), { time: durationMs, regions }],
  });
}
