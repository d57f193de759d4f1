// Takes up what the path of a mapping leads to now.
import { cannotLeave, check, native, pageSize } from '../binding.js';
import { misuse } from '../errors.js';
import { collectFaults, damageOf, mustBeWhole } from '../faults.js';
import { type OpenFile, statusOf, tooShort, withFileSync } from '../file.js';
import { adopt, untrack, withRoom } from '../lifetime.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import { roundUp } from '../page.js';
import { whereOf } from '../ranges.js';
import { type Contents, type MappingRecord, registry, treatment } from '../record.js';
import { inUse } from '../registry.js';
import { unmapPages } from '../release.js';
import { put } from '../replace.js';
import { fileCapacity, takeLength } from '../resize.js';
import { fileContents, mapFlagsOf } from '../source.js';
import { bytes, options as readOptions, wrongKind } from '../validate.js';

/** What `reload` takes up. */
export interface ReloadOptions {
  /** Another path than the one it was mapped by, which it has from then on. */
  path?: string;
  /** Bytes to map. Default: to the end of the file. */
  length?: number | bigint;
}

/** What `reload` did. */
export interface Reloaded {
  /** True when Buffers over the mapping were detached: it has moved or became shorter. */
  readonly detached: boolean;
  /** Bytes of the mapping before. */
  readonly previousLength: number;
  /** Bytes of the mapping now. */
  readonly length: number;
}

interface Plan {
  readonly path: string;
  readonly length: number | undefined;
}

function pathOf(value: unknown): string {
  if (typeof value === 'string' && !value.includes('\0')) return value;
  throw wrongKind('options.path', 'a path without NUL bytes', value);
}

function planOf(record: MappingRecord, options: unknown): Plan {
  const given = readOptions('options', options, ['path', 'length'] as const);
  const other = given.path === undefined ? undefined : pathOf(given.path);
  const length = given.length === undefined ? undefined : bytes('options.length', given.length);
  const { contents } = record;
  if (contents.access === 'snapshot' || contents.fileInode < 0 || contents.origin !== undefined) {
    throw misuse('UNSUPPORTED', 'only a mapping of a file by its path can be reloaded', {
      ...whereOf(record),
      hint: 'map it again',
    });
  }
  const path = other ?? contents.path;
  if (path === undefined) {
    throw misuse('UNSUPPORTED', 'the mapping has no path: its file was given by a descriptor', {
      ...whereOf(record),
      hint: 'pass { path }',
    });
  }
  return { path, length };
}

export function reloadMapping(mapping: Mapping, options: unknown): Reloaded {
  const plan = planOf(liveOf(mapping), options);
  const record = liveOf(mapping);
  if (record.busy !== undefined) throw inUse(record.busy);
  collectFaults();
  // What was written to pages that have no file yet must not be lost.
  if (record.contents.access !== 'read') mustBeWhole(record);
  const mode = { writable: record.contents.access === 'read-write', create: false };
  return withFileSync(plan.path, mode, (file) => reloadFrom(mapping, record, { file, plan }));
}

function lengthFor(record: MappingRecord, file: OpenFile, asked: number | undefined): number {
  const { size, regular } = statusOf(file);
  const { fileOffset } = record.contents;
  if (!regular) {
    throw misuse('UNSUPPORTED', 'the path leads to something that is no regular file', {
      path: file.path,
    });
  }
  const left = size - fileOffset;
  if (left < 0 || (asked !== undefined && asked > left)) {
    const wanted = asked === undefined ? 'the first byte of the mapping' : `${String(asked)} bytes`;
    throw tooShort(file.path, size, `${wanted} at offset ${String(fileOffset)}`);
  }
  const length = asked ?? left;
  const most = fileCapacity(record);
  if (most === undefined || length <= most) return length;
  throw misuse('RANGE', `${String(length)} bytes are more than maxLength: ${String(most)}`, {
    path: file.path,
    length: most,
    hint: 'map it again with a larger maxLength, or pass { length }',
  });
}

function reloadFrom(
  mapping: Mapping,
  record: MappingRecord,
  { file, plan }: { readonly file: OpenFile; readonly plan: Plan },
): Reloaded {
  const length = lengthFor(record, file, plan.length);
  const status = statusOf(file);
  const { contents: old, length: previousLength, address } = record;
  const offset = old.fileOffset;
  const contents = fileContents(old.access, status, {
    path: plan.path,
    offset,
    length: Math.max(length, fileCapacity(record) ?? 0),
  });
  const isSame = status.inode === old.fileInode && status.device === old.fileDevice;
  if (record.start === record.end) {
    if (length > 0) mapFresh(mapping, record, { contents, length, fd: file.fd });
    else record.contents = contents;
  } else if (length === 0 && fileCapacity(record) === undefined) {
    becomeEmpty(record, contents);
  } else {
    const grows = roundUp(record.lead + length, pageSize) > record.end - record.start;
    if (grows && record.home?.state === 'reserved') throw cannotLeave(whereOf(record));
    if (!isSame || damageOf(record).length > 0 || record.runs !== undefined) {
      const pageOffset = offset - record.lead;
      put(record, contents, {
        flags: mapFlagsOf(contents, false),
        fd: file.fd,
        offset: pageOffset,
      });
    }
    record.contents = { ...contents, protection: record.contents.protection };
    takeLength(record, length);
  }
  const detached = previousLength > 0 && (length < previousLength || record.address !== address);
  return { detached, previousLength, length };
}

/** The mapping of a file that was empty until now. */
function mapFresh(
  mapping: Mapping,
  record: MappingRecord,
  {
    contents,
    length,
    fd,
  }: { readonly contents: Contents; readonly length: number; readonly fd: number },
): void {
  const lead = contents.fileOffset % pageSize;
  const span = roundUp(lead + length, pageSize);
  const answer = withRoom(() =>
    native.map(
      record.ownerId,
      0,
      span,
      contents.protection,
      mapFlagsOf(contents, false),
      fd,
      contents.fileOffset - lead,
      treatment(record, contents),
      false,
    ),
  );
  record.start = check(answer, { path: contents.path, length });
  record.end = record.start + span;
  record.lead = lead;
  record.length = length;
  record.contents = contents;
  record.runs = undefined;
  adopt(mapping, record);
}

/** The file is empty now: no pages are left, but the mapping stays for the next reload. */
function becomeEmpty(record: MappingRecord, contents: Contents): void {
  unmapPages(record, record.start, record.end);
  registry.remove(record);
  untrack(record);
  record.start = 0;
  record.end = 0;
  record.lead = 0;
  record.length = 0;
  record.contents = contents;
  record.runs = undefined;
  record.log.faults = [];
}
