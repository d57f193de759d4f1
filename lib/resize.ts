// Makes a mapping longer or shorter, and its file longer where that is needed.
import { cannotLeave, check, codeOf, isDestroyed, native, pageSize } from './binding.js';
import { flags } from './constants.js';
import { misuse } from './errors.js';
import { type OpenFile, growFileSync, statusOf, tooShort, withFileSync } from './file.js';
import { mustBeWhole } from './faults.js';
import { disown, reapLater, withRoom } from './lifetime.js';
import { type Span, roundUp } from './page.js';
import { whereOf } from './ranges.js';
import { type MappingRecord, registry } from './record.js';
import { unmapPages } from './release.js';
import type { Descriptor } from './shared/descriptor.js';

export function resizeMapping(record: MappingRecord, length: number): void {
  const span = roundUp(record.lead + length, pageSize);
  if (record.start === record.end) {
    throw misuse('RANGE', 'the mapping of an empty file cannot be resized', {
      hint: 'map the file again once it has bytes',
    });
  }
  mustBeWhole(record);
  if (record.capacity !== undefined) {
    resizeInPlace(record, length, record.capacity);
    return;
  }
  // Before the file is made longer for nothing.
  const grows = span > record.end - record.start;
  if (grows && record.home?.state === 'reserved') throw cannotLeave(whereOf(record));
  const before = record.length;
  const checkLast = length > before && makeFileLongEnough(record, length);
  if (span <= record.end - record.start) shrink(record, length, span);
  else grow(record, length, span);
  if (checkLast) undoIfTooLong(record, before);
}

/** The bytes that a mapping may have without moving, where maxLength says so. */
export const fileCapacity = ({ capacity }: MappingRecord): number | undefined => capacity;

/** With maxLength its pages are all there: only the file becomes longer, and views stay. */
function resizeInPlace(record: MappingRecord, length: number, capacity: number): void {
  if (length > capacity) {
    throw misuse(
      'RANGE',
      `the mapping cannot become longer than maxLength: ${String(capacity)} bytes`,
      {
        ...whereOf(record),
        length: capacity,
        hint: 'map the file again with a larger maxLength',
      },
    );
  }
  const before = record.length;
  const checkLast = length > before && makeFileLongEnough(record, length);
  takeLength(record, length);
  if (checkLast) undoIfTooLong(record, before);
}

/** Gives a mapping another length, whatever its file has. Views stay where it grows in place. */
export function takeLength(record: MappingRecord, length: number): void {
  const span = roundUp(record.lead + length, pageSize);
  if (record.capacity === undefined && span > record.end - record.start) {
    grow(record, length, span);
  } else if (length < record.length) {
    shrink(record, length, record.capacity === undefined ? span : record.end - record.start);
  } else {
    record.length = length;
  }
}

/** Brings the books up to date: the pages of `record` are at `to` now, cut or grown at the end. */
function move(record: MappingRecord, to: Span): void {
  const runs = record.runsMoved(record, to);
  registry.remove(record);
  record.start = to.start;
  record.end = to.end;
  registry.insert(record);
  record.setRuns(runs);
}

function grow(record: MappingRecord, length: number, span: number): void {
  const { start, end } = record;
  const answer = withRoom(() => native.grow(start, end - start, span, true));
  if (isDestroyed(answer)) disown(record, 'unmapped');
  const base = check(answer, { ...whereOf(record), length });
  move(record, { start: base, end: base + span });
  record.length = length;
  reapLater();
}

function shrink(record: MappingRecord, length: number, span: number): void {
  const cut = record.start + span;
  if (cut < record.end) {
    unmapPages(record, cut, record.end);
    move(record, { start: record.start, end: cut });
    reapLater();
  }
  native.detach(record.start, record.end - record.start);
  record.length = length;
}

/** True when only the mapping itself can tell whether the file is long enough. */
function makeFileLongEnough(record: MappingRecord, length: number): boolean {
  const { contents } = record;
  if (contents.fileInode < 0) return contents.shared;
  const { path, origin } = contents;
  const writable = contents.access === 'read-write';
  try {
    if (origin !== undefined) return sharedLongEnough(record, length, origin);
    if (path === undefined) return true;
    return withFileSync(path, { writable, create: false }, (file) =>
      sameFileLongEnough(record, length, file),
    );
  } catch (error) {
    // The name is gone, or no longer ours to open: only the mapping itself can be asked.
    const { syscall } = error as { syscall?: string };
    if (syscall === 'open' || syscall === 'shm_open') return true;
    throw error;
  }
}

function sharedLongEnough(record: MappingRecord, length: number, origin: Descriptor): boolean {
  const { path, access } = record.contents;
  const enough = ({ fd }: Descriptor): boolean =>
    sameFileLongEnough(record, length, { fd, path, created: false });
  // Asks for no other right than the one it was opened with.
  if (!origin.closed) return enough(origin);
  const again = origin.reopen(access === 'read-write');
  // It has lost its name: only the mapping itself can be asked.
  if (again === undefined) return true;
  try {
    return enough(again);
  } finally {
    again.close();
  }
}

function sameFileLongEnough(record: MappingRecord, length: number, file: OpenFile): boolean {
  const { contents } = record;
  const status = statusOf(file);
  // Another file has this name now: ours can only be asked through the mapping.
  if (status.inode !== contents.fileInode || status.device !== contents.fileDevice) return true;
  const size = contents.fileOffset + length;
  if (size <= status.size) return false;
  if (contents.access !== 'read-write') {
    throw tooShort(file.path, status.size, `a mapping of ${String(length)} bytes`);
  }
  growFileSync(file, { size, allocate: true });
  record.contents = { ...contents, fileSize: size };
  return false;
}

/** Touches the last page through the kernel: EFAULT says that it lies past the end of the file. */
function undoIfTooLong(record: MappingRecord, before: number): void {
  const { length, lead } = record;
  const last = record.address + length - 1;
  if (!record.allows(flags.read, last, last + 1)) return;
  const probe = native.copyOut(record.start, lead + length - 1, new Uint8Array(1));
  if (codeOf(probe) !== 'EFAULT') return;
  takeLength(record, before);
  throw misuse('RANGE', `what is mapped ends before ${String(length)} bytes`, {
    path: record.contents.path,
    length: before,
    hint: 'make the file longer first; the mapping is as long as it was',
  });
}
