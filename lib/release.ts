// Gives pages back, wholly or in part, and keeps the registry's books of what is left.
import { check, native } from './binding.js';
import { inside } from './inside.js';
import { disown, noteRetired, reapLater } from './lifetime.js';
import type { Mapping } from './mapping.js';
import { type Span } from './page.js';
import { whereOf } from './ranges.js';
import { MappingRecord } from './record.js';

/** Tells everybody, also where a listener throws; its error is thrown at the end. */
export function emitAll(mappings: readonly Mapping[], event: 'unmap' | 'replace'): void {
  let failure: { readonly error: unknown } | undefined;
  for (const mapping of mappings) {
    try {
      mapping.emit(event);
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

/** Unmaps a whole mapping. */
export function releaseAll(record: MappingRecord): void {
  const { start, end } = record;
  if (start === end) {
    record.state = 'unmapped';
    return;
  }
  const retired = unmapPages(record, start, end);
  disown(record, 'unmapped');
  if (retired) reapLater();
}

/** Gives pages back, and says whether they are kept for a while. Changes no books but an arena's. */
export function unmapPages(record: MappingRecord, start: number, end: number): boolean {
  const answer = native.unmap(start, end - start);
  const retired = typeof answer === 'boolean' ? answer : check(answer, whereOf(record));
  record.home?.freed?.({ start, end }, !retired);
  if (retired) noteRetired(end - start);
  return retired;
}

/** Unmaps a part of a mapping: pages [start, end) of it. */
export function releasePart(record: MappingRecord, start: number, end: number): void {
  const retired = unmapPages(record, start, end);
  carve(record, { start, end }, 'unmapped');
  if (retired) reapLater();
}

/**
 * Pages [start, end) of a mapping are no longer its own. What lies outside of them becomes mappings
 * of their own, in `parts`.
 *
 *   [ left | start .. end | right ]
 */
export function carve(
  record: MappingRecord,
  { start, end }: Span,
  state: 'replaced' | 'unmapped',
): void {
  const owner = record.owner;
  disown(record, state);
  const pieces = [
    partOf(record, record.start, Math.min(start, record.end)),
    partOf(record, Math.max(end, record.start), record.end),
  ];
  const parts = pieces.flatMap((piece) => (piece === undefined ? [] : [inside.create(piece)]));
  if (owner !== undefined && parts.length > 0) inside.setParts(owner, parts);
}

function partOf(record: MappingRecord, start: number, end: number): MappingRecord | undefined {
  if (start >= end) return undefined;
  const address = Math.max(start, record.address);
  const last = Math.min(end, record.address + (record.capacity ?? record.length));
  if (address >= last) return undefined;
  const skipped = address - record.address;
  const { contents } = record;
  const file = contents.fileInode >= 0;
  const shown = file ? { ...contents, fileOffset: contents.fileOffset + skipped } : contents;
  const place = {
    start,
    end,
    lead: address - start,
    length: last - address,
    contents: shown,
    inherit: record.inherit,
    guarded: record.guarded,
    home: record.home,
  };
  const part = new MappingRecord(place, record.ownerId);
  if (record.runs !== undefined) part.setRuns(record.runsMoved(part, part));
  return part;
}
