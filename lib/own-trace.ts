// The trace of this very process, where `memmap run` started it.
import { readFileSync } from 'node:fs';
import { native } from './binding.js';
import { regionsOfText } from './maps-text.js';
import { listRegions } from './regions.js';
import { type Trace, traceOf } from './trace.js';
import { TraceTable } from './trace-table.js';

/** The list that the helper copied when it was loaded; nothing where that file is not ours to read. */
function firstSnapshot(): Trace['snapshots'] {
  const table = process.env['MEMMAP_RUN'];
  if (table === undefined) return [];
  for (const path of [`${table}.${String(process.pid)}.start`, `${table}.start`]) {
    try {
      return [{ time: 0, regions: regionsOfText(readFileSync(path, 'utf8'), process.execPath) }];
    } catch {
      // The next.
    }
  }
  return [];
}

export function ownTrace(): Trace | undefined {
  const bytes = native.traceTable();
  if (bytes === undefined) return undefined;
  const table = new TraceTable(new Uint8Array(bytes));
  const durationMs = Number(process.hrtime.bigint() - table.startedAt) / 1e6;
  const regions = listRegions(undefined).map((region) => region.toJSON());
  return traceOf(table, {
    command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    durationMs,
    snapshots: [...firstSnapshot(), { time: durationMs, regions }],
  });
}
