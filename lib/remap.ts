// mremap: what the kernel is asked, and what becomes of the mappings it moved.
import { check, isDestroyed, native, pageSize } from './binding.js';
import { constants } from './constants.js';
import { inside } from './inside.js';
import { keepPlaced, reapLater, withRoom } from './lifetime.js';
import type { Mapping } from './mapping.js';
import {
  type RawRange,
  isAligned,
  mustBeIdle,
  ownedIn,
  pagesOf,
  refuse,
  victimsIn,
} from './owned.js';
import { type Span, roundUp } from './page.js';
import { whereOf } from './ranges.js';
import {
  MappingRecord,
  type Owner,
  type ProtectedRun,
  homeOf,
  ownersOf,
  registry,
} from './record.js';
import { carve, emitAll } from './release.js';

interface RemapCall {
  readonly range: RawRange;
  readonly size: bigint;
  readonly flags: number;
  readonly to: bigint;
}

const MAYMOVE = constants['MREMAP_MAYMOVE'] ?? 0;
const FIXED = constants['MREMAP_FIXED'] ?? 0;
const DONTUNMAP = constants['MREMAP_DONTUNMAP'] ?? 0;

/** What the kernel refuses from the arguments alone. */
function argumentsAreBad({ range, size, flags, to }: RemapCall): boolean {
  const fixed = (flags & FIXED) !== 0;
  const known = MAYMOVE | FIXED | DONTUNMAP;
  return (
    !isAligned(range.address) ||
    size === 0n ||
    (flags & ~known) !== 0 ||
    (fixed && (flags & MAYMOVE) === 0) ||
    (fixed && !isAligned(to)) ||
    ((flags & DONTUNMAP) !== 0 && (range.length !== size || (flags & MAYMOVE) === 0))
  );
}

/** Longer than any address space: what the kernel says of this length it says of all above. */
const MOST = 2n ** 62n;

const overlaps = (a: Span, b: Span): boolean => a.start < b.end && b.start < a.end;

export function remapRange(call: RemapCall, names: readonly Owner[]): Mapping {
  const { range, size, flags, to } = call;
  const from = pagesOf(range);
  const target = pagesOf({ address: to, length: size < MOST ? size : MOST });
  if (argumentsAreBad(call) || from === undefined || target === undefined) {
    refuse('EINVAL', 'mremap', range);
  }
  const fixed = (flags & FIXED) !== 0;
  if (fixed && overlaps(from, target)) refuse('EINVAL', 'mremap', range);
  const source = sourceOf(range, from);
  const duplicates = range.length === 0n;
  const stays = duplicates || (flags & DONTUNMAP) !== 0;
  if (!stays) mustBeIdle(source);
  const victims = fixed ? victimsIn(target, names) : [];
  const home = fixed ? homeOf(target) : undefined;
  // Held from here on: a Mapping that was collected cannot be handed out again.
  const owner = source.owner;
  const covers = from.start === source.start && from.end === source.end;
  const whole = !stays && covers && owner !== undefined;
  const moved = whole ? source : copyOf(source, from, Number(size));
  const span = Math.min(roundUp(Number(size), pageSize), Number(MOST));
  const answer = withRoom(() =>
    native.remap(
      moved.ownerId,
      from.start,
      from.end - from.start,
      span,
      flags,
      fixed ? target.start : 0,
      ownersOf(victims, home),
    ),
  );
  const destroyed = isDestroyed(answer);
  if (destroyed) for (const victim of victims) carve(victim, target, 'unmapped');
  if (destroyed && !fixed) carve(source, from, 'unmapped');
  const base = check(answer, { ...whereOf(source), length: Number(size) });
  const place = { start: base, end: base + span };
  // Of a duplicate only the first page is asked: the kernel gives all new pages its protection.
  const shown = { start: from.start, end: Math.max(from.end, from.start + pageSize) };
  const runs = source.runsMoved(shown, place);
  const replaced = victims.flatMap(({ owner: each }) => (each === undefined ? [] : [each]));
  for (const victim of victims) carve(victim, target, 'replaced');
  if (!stays || home !== undefined) moved.home = home;
  const mapping = settle(source, moved, { from, to: place, runs, stays, owner });
  unhide(moved, Number(size));
  reapLater();
  emitAll(replaced, 'replace');
  return mapping;
}

/** The caller spoke of pages: what lay hidden before the first byte is in the mapping now. */
function unhide(record: MappingRecord, length: number): void {
  const { contents, lead } = record;
  if (contents.fileInode >= 0 && lead > 0) {
    record.contents = { ...contents, fileOffset: contents.fileOffset - lead };
  }
  record.lead = 0;
  record.length = length;
}

/** The one mapping that the range lies in. */
function sourceOf(range: RawRange, from: Span): MappingRecord {
  const touched = { start: from.start, end: Math.max(from.end, from.start + pageSize) };
  const { parts, whole } = ownedIn(touched);
  const [part, second] = parts;
  if (part === undefined || !whole || second !== undefined) refuse('EFAULT', 'mremap', range);
  return part.record;
}

function copyOf(source: MappingRecord, from: Span, length: number): MappingRecord {
  const { contents } = source;
  const skipped = from.start - source.start;
  const offset = contents.fileInode < 0 ? 0 : contents.fileOffset - source.lead + skipped;
  const shown = { ...contents, fileOffset: offset };
  const { inherit, guarded } = source;
  return new MappingRecord({ ...from, lead: 0, length, contents: shown, inherit, guarded });
}

interface Move {
  readonly from: Span;
  readonly to: Span;
  readonly runs: readonly ProtectedRun[];
  readonly stays: boolean;
  readonly owner: Mapping | undefined;
}

function settle(
  source: MappingRecord,
  moved: MappingRecord,
  { owner, from, to, runs, stays }: Move,
): Mapping {
  if (moved === source && owner !== undefined) {
    registry.remove(source);
    source.start = to.start;
    source.end = to.end;
    registry.insert(source);
    source.setRuns(runs);
    keepPlaced(owner, source);
    return owner;
  }
  // A source that was also a victim is in parts by now, and one of them is what moved.
  if (!stays) carve(registry.entryAt(from.start) ?? source, from, 'unmapped');
  moved.start = to.start;
  moved.end = to.end;
  moved.setRuns(runs);
  return inside.create(moved);
}
