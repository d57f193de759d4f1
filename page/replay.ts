// What one recorded call does to a list of regions. The list is sorted; a call changes it in place.

import type { TraceEvent } from '../lib/cli/data.js';
import { fileName } from './format.js';
import { indexBelow, isUserSpace, type Hole, type Region } from './model.js';

const PROTECTIONS = ['---', 'r--', '-w-', 'rw-', '--x', 'r-x', '-wx', 'rwx'];
const MAP_SHARED = 1;
const MAP_ANONYMOUS = 0x20;
/** Advice after which the pages are gone: MADV_DONTNEED, MADV_REMOVE. */
const DROPS = new Set([4, 9]);

export interface ReplayContext {
  pageSize: number;
  /** What a later snapshot says about an address: the event does not know whose memory it makes. */
  later(address: number): Region | undefined;
}

/** The half-open index range of the regions that overlap an address range. */
function overlapping(list: readonly Region[], { start, end }: Hole): [number, number] {
  let first = Math.max(0, indexBelow(list, start));
  const found = list[first];
  if (found !== undefined && found.end <= start) first++;
  const after = Math.max(first, indexBelow(list, end - 1) + 1);
  return [first, after];
}

/** A part of a region; how much of it is resident is not known any more, unless all or nothing was. */
function part(region: Region, start: number, end: number): Region {
  const all = region.end - region.start;
  const share = (count: number | undefined) =>
    count === 0 || count === all ? (count / all) * (end - start) : undefined;
  return {
    ...region,
    start,
    end,
    offset: region.path === undefined ? 0 : region.offset + (start - region.start),
    resident: share(region.resident),
    dirty: share(region.dirty),
    swapped: share(region.swapped),
    hugePages: share(region.hugePages),
  };
}

const sizeOf = (regions: readonly Region[]): number =>
  regions.reduce((total, { start, end }) => total + end - start, 0);

/**
 * Replaces what overlaps a range: what sticks out stays, what is inside becomes `put(inside)`. Gives by how much the mapped
 * bytes changed.
 */
function change(list: Region[], range: Hole, put: (inside: Region[]) => Region[]): number {
  const [from, to] = overlapping(list, range);
  const touched = list.slice(from, to);
  const kept: Region[] = [];
  const inside: Region[] = [];
  const after: Region[] = [];
  for (const region of touched) {
    const start = Math.max(region.start, range.start);
    const end = Math.min(region.end, range.end);
    if (region.start < start) kept.push(part(region, region.start, start));
    const whole = start === region.start && end === region.end;
    inside.push(whole ? region : part(region, start, end));
    if (region.end > end) after.push(part(region, end, region.end));
  }
  const before = sizeOf(inside);
  const now = put(inside);
  list.splice(from, to - from, ...kept, ...now, ...after);
  return sizeOf(now) - before;
}

function made(event: TraceEvent, range: Hole, context: ReplayContext): Region {
  const { protection = 3, flags = 0, fd = -1, caller, offset = 0 } = event;
  const known = context.later(range.start);
  const ofFile = fd >= 0 && (flags & MAP_ANONYMOUS) === 0;
  const guess = { kind: ofFile ? 'file' : 'anonymous', label: `by ${fileName(caller)}` } as const;
  return {
    ...range,
    protection: PROTECTIONS[protection & 7] ?? '---',
    shared: (flags & MAP_SHARED) !== 0,
    path: ofFile ? known?.path : undefined,
    offset,
    kind: known?.kind ?? guess.kind,
    label: known?.label ?? guess.label,
    certain: false,
    resident: undefined,
    dirty: undefined,
    swapped: undefined,
    hugePages: undefined,
  };
}

function moved(list: Region[], { from, to }: { from: Hole; to: Hole }): number {
  const [at] = overlapping(list, from);
  const model = list[at];
  if (from.start === to.start && to.end < from.end) {
    return change(list, { start: to.end, end: from.end }, () => []);
  }
  const gone = from.start === to.start ? 0 : change(list, from, () => []);
  if (model === undefined || model.start >= from.end) return gone;
  const unknown = { resident: undefined, dirty: undefined, swapped: undefined };
  const region = { ...model, ...unknown, hugePages: undefined, ...to, certain: false };
  return gone + change(list, to, () => [region]);
}

/** Whether the call was made and changed something. */
const happened = ({ result, error, verdict }: TraceEvent): boolean =>
  result !== null && error === undefined && verdict !== 'refused';

/** Applies a call; by how much it changed the mapped bytes. */
export function apply(list: Region[], event: TraceEvent, context: ReplayContext): number {
  if (!happened(event)) return 0;
  const pages = (length: number) => Math.ceil(length / context.pageSize) * context.pageSize;
  const rangeAt = (start: number, length: number): Hole => ({ start, end: start + pages(length) });
  const at = rangeAt(Number(event.address), event.length);
  if (!isUserSpace(at)) return 0;
  const result = Number(event.result);
  switch (event.call) {
    case 'mmap': {
      const range = rangeAt(result, event.length);
      return change(list, range, () => [made(event, range, context)]);
    }
    case 'munmap':
      return change(list, at, () => []);
    case 'mprotect': {
      const protection = PROTECTIONS[(event.protection ?? 0) & 7] ?? '---';
      return change(list, at, (inside) => inside.map((region) => ({ ...region, protection })));
    }
    case 'mremap': {
      const to = rangeAt(result, event.newLength ?? event.length);
      return moved(list, { from: at, to });
    }
    case 'madvise': {
      const gone = { resident: 0, dirty: 0, swapped: 0 };
      if (!DROPS.has(event.advice ?? 0)) return 0;
      return change(list, at, (inside) => inside.map((region) => ({ ...region, ...gone })));
    }
  }
}
