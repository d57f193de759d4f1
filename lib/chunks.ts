// Long work in pieces on the thread pool: cancellable between pieces, with progress, and with the
// mapping held in place until the last piece is done.
import type { MappingRecord } from './record.js';
import { type Span } from './page.js';
import { callback, options, signal } from './validate.js';

/** How far a long call has come, in bytes. */
export interface Progress {
  /** Bytes done so far. */
  readonly done: number;
  /** Bytes in all. */
  readonly total: number;
}

/** How a long call is stopped and watched. */
export interface LongCallOptions {
  /** Rejects with the signal's reason; what was done stays done. */
  signal?: AbortSignal;
  /** Called after each piece. An exception in it rejects the call. */
  onProgress?: (progress: Progress) => void;
}

const CHUNK = 32 * 2 ** 20;

/** The options of a long call, each read once. */
export function longCall(value: unknown): LongCallOptions {
  const given = options('options', value, ['signal', 'onProgress'] as const);
  const chosen: LongCallOptions = {};
  const abort = signal(given.signal);
  const report = callback('options.onProgress', given.onProgress);
  if (abort !== undefined) chosen.signal = abort;
  if (report !== undefined) chosen.onProgress = report as (progress: Progress) => void;
  return chosen;
}

/** Keeps `record` from being unmapped, replaced or moved while `work` runs. */
export async function during<Result>(
  record: MappingRecord,
  what: string,
  work: () => Promise<Result>,
): Promise<Result> {
  record.hold();
  record.works++;
  record.pending = `${what} has not finished`;
  try {
    return await work();
  } finally {
    record.works--;
    record.letGo();
  }
}

/** Calls `piece(start, length)` for consecutive parts of a span of whole pages. */
export async function inChunks(
  span: Span,
  piece: (start: number, length: number) => Promise<unknown>,
  { signal: abort, onProgress }: LongCallOptions,
): Promise<void> {
  const total = span.end - span.start;
  for (let at = span.start; at < span.end; at += CHUNK) {
    abort?.throwIfAborted();
    await piece(at, Math.min(CHUNK, span.end - at));
    onProgress?.({ done: Math.min(at + CHUNK, span.end) - span.start, total });
  }
  abort?.throwIfAborted();
}
