// Compares what this thread believes it owns with the kernel's own list. VMAs merge and split
// freely, so coverage is compared, never boundaries.
import { check, native } from './binding.js';
import { flags } from './constants.js';
import { damageOf } from './faults.js';
import type { Protection } from './flags.js';
import type { Mapping } from './mapping.js';
import { type MappingRecord, type Owner, type ProtectedRun, registry } from './record.js';
import { uncovered } from './registry.js';
import type { Reserve } from './reservation/reserve.js';

/** A place where the kernel's list disagrees with the registry. */
export interface Drift {
  /**
   * 'missing': nothing is mapped there any more. 'replaced': something else is. 'protection': the
   * pages allow something else than memmap was told.
   */
  readonly kind: 'missing' | 'replaced' | 'protection';
  /** First byte that differs. */
  readonly address: bigint;
  /** Bytes that differ. */
  readonly length: number;
  /** Whose it is, if somebody can still reach it. */
  readonly owner: Owner | undefined;
  /** The same, where that is a mapping. */
  readonly mapping: Mapping | undefined;
  /** What memmap believes. */
  readonly expected: string;
  /** What the kernel says. */
  readonly found: string;
}

/** One row of the kernel's list. */
interface Region {
  readonly start: number;
  readonly end: number;
  readonly protection: number;
  readonly shared: boolean;
  readonly offset: number;
  readonly inode: number;
}

const ROW = 6;

/** The kernel's regions that touch a range of pages, ascending. */
export function regionsIn(start: number, end: number): Region[] {
  const rows = check(native.regions(start, end - start));
  const found: Region[] = [];
  for (let row = 0; row < rows.length; row += ROW) {
    const [begin = 0, last = 0, protection = 0, shared = 0, offset = 0, inode = 0] = rows.subarray(
      row,
      row + ROW,
    );
    found.push({ start: begin, end: last, protection, shared: shared === 1, offset, inode });
  }
  return found;
}

/** Every disagreement; empty when the two lists agree. */
export function verify(): Drift[] {
  const mapped = [...registry.entries()].flatMap((record) =>
    record.protections().flatMap((run) => driftsOf(record, run)),
  );
  return [...mapped, ...[...registry.reserves].flatMap(vacantDrifts)];
}

/** A collected Mapping's, whose ArrayBuffer somebody has transferred. */
function isHeld({ start, end }: Region): boolean {
  const rows = native.ownedRanges();
  for (let row = 0; row < rows.length; row += 4) {
    const [begin = 0, last = 0, , state = 0] = rows.subarray(row, row + 4);
    if (state > 0 && begin < end && start < last) return true;
  }
  return false;
}

/** Vacant pages are private memory; whether native code may still read them makes no difference. */
function vacantDrifts(reserve: Reserve): Drift[] {
  return registry.gaps(reserve.start, reserve.end).flatMap((gap) => {
    const common = { owner: reserve.owner, mapping: undefined, expected: 'reserved' };
    const strangers = regionsIn(gap.start, gap.end)
      .filter((region) => (region.shared || region.inode !== 0) && !isHeld(region))
      .map((region) => ({
        ...common,
        kind: 'replaced' as const,
        address: BigInt(Math.max(region.start, gap.start)),
        length: Math.min(region.end, gap.end) - Math.max(region.start, gap.start),
        found: description(region),
      }));
    const missing = uncovered(gap.start, gap.end, regionsIn(gap.start, gap.end)).map((hole) => ({
      ...common,
      kind: 'missing' as const,
      address: BigInt(hole.start),
      length: hole.end - hole.start,
      found: 'nothing',
    }));
    return [...strangers, ...missing];
  });
}

/**
 * Pages that were made inaccessible under native code at work, and accessible again when it met them.
 * Once no such code is left they get the protection that was asked for.
 */
function openedPages(record: MappingRecord): { start: number; end: number }[] {
  if (record.start === record.end) return [];
  const rows = native.openedLate(record.start, record.end - record.start);
  if (!('length' in rows)) return [];
  const open: { start: number; end: number }[] = [];
  for (let row = 0; row < rows.length; row += 3) {
    const [start = 0, end = 0, late = 0] = rows.subarray(row, row + 3);
    if (late === 1) open.push({ start, end });
    else protectAgain(record, start, end);
  }
  return open;
}

function protectAgain(record: MappingRecord, start: number, end: number): void {
  for (const run of record.protections()) {
    const first = Math.max(run.start, start);
    const last = Math.min(run.end, end);
    if (first < last) native.protect(first, last - first, run.protection);
  }
}

function driftsOf(record: MappingRecord, run: ProtectedRun): Drift[] {
  const drifts: Drift[] = [];
  // What the fault guard put in is known to be another thing.
  const damaged = damageOf(record);
  const opened = openedPages(record);
  const note = (kind: Drift['kind'], start: number, end: number, found: string): void => {
    if (kind === 'protection' && opened.some((part) => part.start <= start && end <= part.end))
      return;
    if (damaged.some((part) => part.start <= start && end <= part.end)) return;
    drifts.push({
      kind,
      address: BigInt(start),
      length: end - start,
      owner: record.owner,
      mapping: record.owner,
      expected: expectation(record, run),
      found,
    });
  };
  let at = run.start;
  for (const region of regionsIn(run.start, run.end)) {
    const start = Math.max(region.start, run.start);
    const end = Math.min(region.end, run.end);
    if (start > at) note('missing', at, start, 'nothing');
    at = end;
    if (!isSame(record, region)) note('replaced', start, end, description(region));
    else if (region.protection !== run.protection)
      note('protection', start, end, description(region));
  }
  if (at < run.end) note('missing', at, run.end, 'nothing');
  return drifts;
}

function isSame({ start, lead, contents }: MappingRecord, region: Region): boolean {
  if (region.shared !== contents.shared) return false;
  if (contents.fileInode < 0) return contents.inode < 0 || region.inode === contents.inode;
  if (region.inode === 0) return false;
  if (contents.inode > 0 && region.inode !== contents.inode) return false;
  if (contents.device === true) return true;
  // The file's byte that is at the region's first page, by the kernel and by us.
  return region.offset - region.start === contents.fileOffset - lead - start;
}

const word = (protection: number): Protection => flags.protectionWord(protection);

const expectation = ({ contents }: MappingRecord, run: ProtectedRun): string =>
  `${word(run.protection)}, ${contents.shared ? 'shared' : 'private'}, ${contents.path ?? (contents.fileInode < 0 ? 'anonymous' : 'a file')}`;

const description = (region: Region): string =>
  `${word(region.protection)}, ${region.shared ? 'shared' : 'private'}, inode ${String(region.inode)}`;
