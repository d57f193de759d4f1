// How a raw call's range becomes calls on owned pages only. A page that somebody else has mapped is
// refused before anything is called; where nobody has mapped one, the owned parts are done in order
// and the answer is what the kernel would have said for the whole.
import { pageSize } from './binding.js';
import { MapError, errnoOf, misuse } from './errors.js';
import { type Span, roundDown, roundUp } from './page.js';
import { type MappingRecord, type Owner, registry } from './record.js';
import { foreign, hex, inUse } from './registry.js';
import { options as readOptions, wrongKind } from './validate.js';
import { collectFaults } from './faults.js';
import { inside } from './inside.js';
import { regionsIn } from './verify.js';

/** A raw call's address and length. */
export interface RawRange {
  readonly address: bigint;
  readonly length: bigint;
}

const PAGE = BigInt(pageSize);

/** No kernel that Node runs on gives addresses above this one. */
const HIGHEST = 2n ** 63n;

export const isAligned = (value: bigint): boolean => value % PAGE === 0n;

/** The kernel's answer to bad arguments, which it gives before it looks at any page. */
export function refuse(code: string, syscall: string, { address, length }: RawRange): never {
  throw new MapError(errnoOf(code), syscall, { address, length: Number(length) });
}

/** The pages of a range; undefined when it leaves every address space. */
export function pagesOf({ address, length }: RawRange): Span | undefined {
  if (address + length > HIGHEST) return undefined;
  const start = roundDown(Number(address), pageSize);
  return { start, end: roundUp(Number(address + length), pageSize) };
}

/** 47 bits on x86-64, where larger addresses come only to those who ask; 48 and more elsewhere. */
const USER_SPACE_END = process.arch === 'x64' ? 2 ** 47 - pageSize : 2 ** 48;
export const isBeyondUserSpace = (end: number): boolean => end > USER_SPACE_END;

export interface Owned {
  readonly record: MappingRecord;
  readonly start: number;
  readonly end: number;
}

/** What of the span this thread owns, and whether that is all of it. */
export function ownedIn(span: Span): { parts: Owned[]; whole: boolean } {
  collectFaults();
  const gaps = registry.gaps(span.start, span.end);
  for (const gap of gaps) {
    mustNotBeVacant(gap);
    const [region] = regionsIn(gap.start, gap.end);
    if (region === undefined) continue;
    const start = Math.max(gap.start, region.start);
    throw foreign(start, Math.min(gap.end, region.end), 'is mapped by other code of this process');
  }
  const parts = registry.entriesIn(span.start, span.end).map((record) => ({
    record,
    start: Math.max(record.start, span.start),
    end: Math.min(record.end, span.end),
  }));
  return { parts, whole: gaps.length === 0 };
}

/** A reservation's own pages are not a mapping's: nothing is there to protect, lock or unmap. */
function mustNotBeVacant({ start, end }: Span): void {
  if (registry.reserves.size === 0) return;
  const [reserve] = registry.reserves.overlapping(start, end);
  if (reserve === undefined) return;
  const at = Math.max(start, reserve.start);
  throw misuse('FOREIGN', `${hex(at)} is reserved, and nothing is placed there`, {
    address: BigInt(at),
    length: Math.min(end, reserve.end) - at,
    conflicts: reserve.owner === undefined ? [] : [reserve.owner],
    hint: 'place() puts something there; release() gives the reservation back',
  });
}

/** The option of raw calls that overwrite or unmap. */
export interface ReplaceOption {
  /** Every mapping, or reservation with vacant pages, that may be overwritten or unmapped. */
  replace?: Owner | readonly Owner[];
}

const isOwner = (value: unknown): value is Owner =>
  typeof value === 'object' &&
  value !== null &&
  (inside.recordOf(value) ?? inside.reserveOf(value)) !== undefined;

/** The owners that the caller named. Reads the option once. */
export function named(options: unknown): readonly Owner[] {
  const { replace } = readOptions('options', options, ['replace'] as const);
  if (replace === undefined) return [];
  const list: unknown[] = Array.isArray(replace) ? [...(replace as unknown[])] : [replace];
  return list.map((each) => {
    if (typeof each === 'object' && each !== null && inside.arenaSpaceOf(each) !== undefined) {
      throw misuse('UNSUPPORTED', 'an arena chooses the places in it itself', {
        hint: 'mapFile and mapAnonymous take { arena }; reserve() is for places of your own choice',
      });
    }
    if (!isOwner(each)) {
      throw wrongKind('options.replace', 'a Mapping or a Reservation, or an array of them', each);
    }
    return each;
  });
}

/** The naming rule, for the pages of a fixed call. */
export function victimsIn(span: Span, names: readonly Owner[]): MappingRecord[] {
  collectFaults();
  return registry.mayOverwrite(span.start, span.end, names);
}

export function mustBeIdle(record: MappingRecord): void {
  if (record.busy !== undefined) throw inUse(record.busy);
}
