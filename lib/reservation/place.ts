// Placing things in a reservation: from a source and an offset to pages, one alone or several at once.
import { KEEP, check, native, pageSize } from '../binding.js';
import { constants } from '../constants.js';
import { misuse } from '../errors.js';
import { startGuard } from '../faults.js';
import { type OpenFile, statusOf, tooShort, withFileSync, withFilesSync } from '../file.js';
import { inside } from '../inside.js';
import { withRoom } from '../lifetime.js';
import type { Mapping } from '../mapping.js';
import { putOver } from '../overlay.js';
import { type Span, roundUp } from '../page.js';
import { whereOf } from '../ranges.js';
import { type Contents, MappingRecord, ownersOf, treatment } from '../record.js';
import type { Reserve } from './reserve.js';
import { settings } from '../settings.js';
import {
  type ParsedSource,
  type Source,
  anonymousContents,
  fileContents,
  mapFlagsOf,
  parseSource,
} from '../source.js';
import { type ByteRange, bytes, options, withinReservation, wrongKind } from '../validate.js';

/** One thing to place: what, and where in the reservation. */
export interface Piece {
  /** First byte, in the reservation. */
  offset: number | bigint;
  /** What is shown there. */
  source: Source;
}

export interface ParsedPiece {
  readonly offset: number;
  readonly source: ParsedSource;
}

/** Reads the pieces, each property once. */
export function readPieces(pieces: unknown): ParsedPiece[] {
  if (!Array.isArray(pieces)) throw wrongKind('pieces', 'an array of { offset, source }', pieces);
  // Not its own map(), which is whatever the caller made of it; holes are undefined.
  return Array.from(pieces as unknown[], (piece) => {
    if (typeof piece !== 'object' || piece === null) {
      throw wrongKind('pieces', 'an array of { offset, source }', piece);
    }
    const given = options('piece', piece, ['offset', 'source'] as const);
    return { offset: bytes('piece.offset', given.offset), source: parseSource(given.source) };
  });
}

/** A piece whose file is open and long enough: what mmap needs. */
interface Ready {
  readonly record: MappingRecord;
  readonly flags: number;
  readonly fd: number;
  readonly offset: number;
}

/** What a piece will be. Its record has its place already, and is in no book yet. */
function prepare(reserve: Reserve, piece: ParsedPiece, file: OpenFile | undefined): Ready {
  const { source, offset } = piece;
  if (source.kind === 'anonymous') return prepareMemory(reserve, source, offset);
  if (file === undefined) throw new Error('memmap: a piece whose file is not open');
  return prepareFile(reserve, { source, offset }, file);
}

type MemorySource = Extract<ParsedSource, { kind: 'anonymous' }>;
interface FilePiece {
  source: Extract<ParsedSource, { kind: 'file' }>;
  offset: number;
}

function prepareMemory(reserve: Reserve, source: MemorySource, offset: number): Ready {
  const { length, access } = source;
  if (offset % pageSize !== 0) throw misplaced(offset, 0);
  const contents = anonymousContents(access, false);
  const record = recordIn(reserve, { offset, length }, 0, contents);
  return { record, flags: mapFlagsOf(contents, true), fd: -1, offset: 0 };
}

function prepareFile(reserve: Reserve, { source, offset }: FilePiece, file: OpenFile): Ready {
  const status = statusOf(file);
  const lead = source.offset % pageSize;
  const left = Math.max(0, status.size - source.offset);
  const length = source.length ?? left;
  if (status.regular && length > left) {
    const wanted = `${String(length)} bytes at offset ${String(source.offset)}`;
    throw tooShort(file.path, status.size, wanted);
  }
  if (length === 0) {
    throw misuse('RANGE', 'there is nothing to place: no bytes', {
      argument: 'source.length',
      path: file.path,
    });
  }
  if (offset % pageSize !== lead) throw misplaced(offset, lead);
  const { path, origin } = file;
  const place = { path, origin, offset: source.offset, length };
  const contents = fileContents(source.access, status, place);
  const record = recordIn(reserve, { offset, length }, lead, contents);
  return {
    record,
    flags: mapFlagsOf(contents, false),
    fd: file.fd,
    offset: source.offset - lead,
  };
}

function recordIn(home: Reserve, range: ByteRange, lead: number, contents: Contents) {
  const { inner } = home;
  withinReservation(range, inner.end - inner.start);
  const { length } = range;
  const start = inner.start + range.offset - lead;
  const end = roundUp(start + lead + length, pageSize);
  const { guard: guarded } = settings;
  return new MappingRecord({ start, end, lead, length, contents, guarded, home });
}

const misplaced = (offset: number, lead: number): Error =>
  misuse(
    'RANGE',
    `offset must lie ${String(lead)} bytes into a page, as what is placed does; got ${String(offset)}`,
    { argument: 'offset', hint: `pages are ${String(pageSize)} bytes here` },
  );

function mustBePlaceable({ access }: ParsedSource): void {
  if (access !== 'snapshot') return;
  throw misuse('UNSUPPORTED', "a 'snapshot' cannot be placed", {
    hint: "'copy-on-write' keeps your changes private",
  });
}

const modeOf = (access: string) => ({ writable: access === 'read-write', create: false });

/** Which entries lie in a span; throws where they may not be overwritten. */
type VictimsIn = (span: Span) => MappingRecord[];

/** `live` gives the reserve, and throws once it is released: it is asked after every getter. */
export function placeOne(live: () => Reserve, piece: ParsedPiece, victimsIn: VictimsIn): Mapping {
  const { source } = piece;
  mustBePlaceable(source);
  const put = (file: OpenFile | undefined): Mapping => {
    const reserve = live();
    const { record, flags, fd, offset } = prepare(reserve, piece, file);
    const victims = victimsIn(record);
    const owners = victims.length === 0 ? reserve.owners : ownersOf(victims, reserve);
    return putOver({ record, flags, fd, offset, victims, owners, keep: KEEP.spans });
  };
  if (source.kind === 'anonymous') return put(undefined);
  return withFileSync(source.file, modeOf(source.access), put);
}

/** All of them or none. */
export function placeTogether(
  live: () => Reserve,
  pieces: readonly ParsedPiece[],
  victimsIn: VictimsIn,
): Mapping[] {
  for (const { source } of pieces) mustBePlaceable(source);
  const wanted = pieces.map(({ source }) =>
    source.kind === 'file'
      ? { file: source.file, writable: source.access === 'read-write' }
      : undefined,
  );
  return withFilesSync(wanted, (files) => {
    const reserve = live();
    const ready = pieces.map((piece, i) => prepare(reserve, piece, files[i]));
    mustBeApart(ready);
    for (const { record } of ready) mustBeVacant(victimsIn(record), record);
    const { owners } = reserve;
    const staged = stage(ready);
    moveAll(ready, staged, owners);
    if (ready.some(({ record }) => record.guarded)) startGuard();
    return ready.map(({ record }) => inside.create(record));
  });
}

function mustBeApart(ready: readonly Ready[]): void {
  const spans = ready.map(({ record }) => record).sort((a, b) => a.start - b.start);
  spans.forEach((span, i) => {
    const next = spans[i + 1];
    if (next === undefined || next.start >= span.end) return;
    throw misuse('OVERLAP', 'two of the pieces share a page', {
      address: BigInt(next.start),
      length: Math.min(span.end, next.end) - next.start,
      hint: `pages are ${String(pageSize)} bytes here`,
    });
  });
}

function mustBeVacant(victims: readonly MappingRecord[], span: Span): void {
  if (victims.length === 0) return;
  throw misuse('OVERLAP', 'something is placed there already', {
    address: BigInt(span.start),
    length: span.end - span.start,
    conflicts: victims.flatMap(({ owner }) => (owner === undefined ? [] : [owner])),
    hint: 'vacate() it first',
  });
}

const isMemory = ({ fd }: Ready): boolean => fd < 0;

/** Maps every file where the kernel likes; memory needs no rehearsal. */
function stage(ready: readonly Ready[]): (number | undefined)[] {
  const staged: (number | undefined)[] = [];
  try {
    for (const each of ready) staged.push(isMemory(each) ? undefined : stageOne(each));
  } catch (error) {
    unstage(ready, staged);
    throw error;
  }
  return staged;
}

function stageOne({ record, flags, fd, offset }: Ready): number {
  const { ownerId, start, end, contents } = record;
  const bits = treatment(record, contents);
  const call = () =>
    native.map(ownerId, 0, end - start, contents.protection, flags, fd, offset, bits, false);
  return check(withRoom(call), whereOf(record));
}

function unstage(ready: readonly Ready[], staged: readonly (number | undefined)[]): void {
  staged.forEach((base, i) => {
    const record = ready[i]?.record;
    if (base !== undefined && record !== undefined) native.unmap(base, record.end - record.start);
  });
}

const MOVE = (constants['MREMAP_MAYMOVE'] ?? 1) | (constants['MREMAP_FIXED'] ?? 2);

function moveAll(
  ready: readonly Ready[],
  staged: (number | undefined)[],
  owners: Float64Array,
): void {
  const placed: MappingRecord[] = [];
  try {
    ready.forEach(({ record, flags }, i) => {
      const { ownerId, start, end, contents } = record;
      const from = staged[i];
      const size = end - start;
      const bits = treatment(record, contents);
      const answer =
        from === undefined
          ? native.overlay(
              ownerId,
              start,
              size,
              contents.protection,
              flags,
              -1,
              0,
              bits,
              owners,
              KEEP.spans,
            )
          : native.remap(ownerId, from, size, size, MOVE, start, owners);
      check(answer, whereOf(record));
      staged[i] = undefined;
      placed.push(record);
    });
  } catch (error) {
    for (const { start, end } of placed) native.unmap(start, end - start);
    unstage(ready, staged);
    throw error;
  }
}
