// mapFile, mapFileSync, mapAnonymous: reads the options, makes the call, wraps what it gave.
import { check, checkLater, native, pageSize } from './binding.js';
import { flags } from './constants.js';
import { MapError, errnoOf, misuse } from './errors.js';
import {
  type FileLike,
  type FileStatus,
  type OpenFile,
  growFile,
  growFileSync,
  statusOf,
  tooShort,
  withFile,
  withFileSync,
} from './file.js';
import { inside } from './inside.js';
import { withRoom } from './lifetime.js';
import { type Mapping } from './mapping.js';
import { type AnonymousPlan, type FilePlan, type Plan, anonymousPlan, filePlan } from './options.js';
import { roundUp } from './page.js';
import { type Contents, MappingRecord, registry } from './record.js';
import { anonymousContents, fileContents, mapFlagsOf } from './source.js';
import type { AnonymousOptions, MapOptions } from './options.js';

/** What one mmap call needs beside its contents. */
interface Call {
  readonly lead: number;
  readonly length: number;
  readonly mapFlags: number;
  readonly fd: number;
  readonly pageOffset: number;
}

/** The mmap call itself, with its page rounding hidden. */
function place(contents: Contents, call: Call, plan: Plan): Mapping {
  const { lead, length } = call;
  const span = roundUp(lead + length, pageSize);
  const record = new MappingRecord(0, 0, lead, length, contents);
  const mapFlags = call.mapFlags | (plan.noReserve ? flags.bit('MAP_NORESERVE') : 0);
  const exclusive = plan.placement === 'exclusive';
  const answer = withRoom(() =>
    native.map(
      record.ownerId,
      plan.address,
      span,
      contents.protection,
      mapFlags,
      call.fd,
      call.pageOffset,
      plan.inherit,
      exclusive,
    ),
  );
  if (typeof answer !== 'number') throw placementError(answer, contents, call, plan);
  record.start = answer;
  record.end = answer + span;
  const mapping = inside.create(record);
  if (plan.hugePages) orUnmap(mapping, () => { mapping.advise('hugepage'); });
  return mapping;
}

function placementError(answer: unknown, contents: Contents, call: Call, plan: Plan): unknown {
  const { lead, length } = call;
  const exclusive = plan.placement === 'exclusive';
  const details = {
    path: contents.path,
    length,
    ...(exclusive && {
      address: BigInt(plan.address),
      conflicts: registry.ownersIn(plan.address, plan.address + lead + length),
      hint: 'something is mapped there already, and exclusive placement never replaces',
    }),
  };
  try {
    check(answer as never, exclusive && isOccupied(answer) ? details : { ...details, hint: undefined });
  } catch (error) {
    return error;
  }
  return undefined;
}

const isOccupied = (answer: unknown): boolean =>
  (answer as { errno?: number }).errno === errnoOf('EEXIST');

/** Finishes a mapping; when that fails there is none. */
function orUnmap(mapping: Mapping, finish: () => void): void {
  try {
    finish();
  } catch (error) {
    mapping.unmap();
    throw error;
  }
}

function settleSync(mapping: Mapping, plan: Plan, writable: boolean): Mapping {
  const { start, end, contents } = recordOf(mapping);
  if (start === end) return mapping;
  orUnmap(mapping, () => {
    if (plan.populate) {
      check(native.populate(start, end - start, writable ? 1 : 0), { path: contents.path });
    }
    if (plan.lock) mapping.lock();
  });
  return mapping;
}

async function settle(mapping: Mapping, plan: Plan, writable: boolean): Promise<Mapping> {
  const { start, end, contents } = recordOf(mapping);
  if (start === end) return mapping;
  const pin = mapping.pin();
  try {
    if (plan.populate) {
      const populating = native.populateAsync(start, end - start, writable ? 1 : 0);
      await checkLater(populating, { path: contents.path });
    }
    if (plan.lock) await mapping.lockAsync();
  } catch (error) {
    pin.release();
    mapping.unmap();
    throw error;
  }
  pin.release();
  return mapping;
}

function recordOf(mapping: Mapping): MappingRecord {
  const record = inside.recordOf(mapping);
  if (record === undefined) throw new Error('memmap: a mapping without a record');
  return record;
}

/** Populating for writing gives private pages their copies and holes their blocks. */
const populatesForWriting = ({ access }: FilePlan): boolean =>
  access === 'read-write' || access === 'copy-on-write';

/** Where a mapping of the file ends, from what was asked and how long the file is. */
function lengthOf(file: OpenFile, plan: FilePlan, status: FileStatus): number {
  const { offset, length } = plan;
  if (!status.regular) {
    if (length !== undefined) return length;
    // Not a regular file: a page that the kernel refuses says why better than we could.
    const probe = native.map(0, 0, pageSize, flags.read, flags.bit('MAP_SHARED'), file.fd, 0, true, false);
    const base = check(probe, { path: file.path });
    check(native.unmap(base, pageSize));
    throw misuse('ARGUMENT', 'the length of a device must be given', {
      argument: 'options.length',
      path: file.path,
    });
  }
  if (offset > status.size) throw tooShort(file.path, status.size, `offset ${String(offset)}`);
  const left = status.size - offset;
  if (length !== undefined && length > left) {
    throw tooShort(file.path, status.size, `${String(length)} bytes at offset ${String(offset)}`);
  }
  return length ?? left;
}

/** The mapping of an open file of the right size. Of a snapshot, the memory that it will fill. */
function mapOpen(file: OpenFile, plan: FilePlan): { mapping: Mapping; length: number } {
  const status = statusOf(file);
  const length = lengthOf(file, plan, status);
  const { offset, access } = plan;
  const contents: Contents =
    access === 'snapshot'
      ? { ...anonymousContents(access, false), path: file.path, fileOffset: offset }
      : fileContents(access, status, { path: file.path, offset });
  if (length === 0) {
    if (!status.readable) throw new MapError(errnoOf('EACCES'), 'mmap', { path: file.path });
    return { mapping: inside.create(new MappingRecord(0, 0, 0, 0, contents)), length };
  }
  const snapshot = access === 'snapshot';
  const lead = snapshot ? 0 : offset % pageSize;
  const mapping = place(
    contents,
    {
      lead,
      length,
      mapFlags: mapFlagsOf(contents, snapshot),
      fd: snapshot ? -1 : file.fd,
      pageOffset: snapshot ? 0 : offset - lead,
    },
    plan,
  );
  return { mapping, length };
}

function mustBeWhole(got: number, length: number, file: OpenFile): void {
  if (got < length) throw tooShort(file.path, got, 'what was to be copied');
}

/**
 * Maps a file, opening it on the thread pool. `options` say which part, with what access and where;
 * see MapOptions. The file may be closed or deleted afterwards.
 *
 * Errors: the system's own, with `path` (ENOENT, EACCES, ENODEV for what cannot be mapped, EISDIR,
 * EBADF, ENOSPC with `size`); ERR_MEMMAP_RANGE when the file is shorter than what was asked for.
 *
 * @example
 * ```js
 * const m = await memmap.mapFile(process.execPath);
 * m.buffer.subarray(1, 4).toString(); // 'ELF' on Linux
 * m.unmap();
 * ```
 *
 * Source: mmap(2).
 */
export async function mapFile(file: FileLike, options?: MapOptions): Promise<Mapping> {
  const plan = filePlan(options);
  return withFile(file, plan, async (open) => {
    if (plan.size !== undefined) await growFile(open, { size: plan.size, allocate: plan.allocate });
    const { mapping, length } = mapOpen(open, plan);
    if (plan.access === 'snapshot' && length > 0) {
      const pin = mapping.pin();
      try {
        const loading = native.loadFileAsync(open.fd, plan.offset, recordOf(mapping).start, length);
        mustBeWhole(await checkLater(loading, { path: open.path }), length, open);
      } catch (error) {
        pin.release();
        mapping.unmap();
        throw error;
      }
      pin.release();
    }
    return settle(mapping, plan, populatesForWriting(plan));
  });
}

/** `mapFile` at once, blocking. */
export function mapFileSync(file: FileLike, options?: MapOptions): Mapping {
  const plan = filePlan(options);
  return withFileSync(file, plan, (open) => {
    if (plan.size !== undefined) growFileSync(open, { size: plan.size, allocate: plan.allocate });
    const { mapping, length } = mapOpen(open, plan);
    if (plan.access === 'snapshot' && length > 0) {
      orUnmap(mapping, () => {
        const loaded = native.loadFile(open.fd, plan.offset, recordOf(mapping).start, length);
        mustBeWhole(check(loaded, { path: open.path }), length, open);
      });
    }
    return settleSync(mapping, plan, populatesForWriting(plan));
  });
}

/**
 * Maps zeroed memory that no file is behind: private, or with `{ shared: true }` MAP_SHARED.
 * `length` in bytes, at least 1.
 *
 * Errors: ENOMEM, with the limit's name when it is `vm.max_map_count`; EEXIST with
 * `placement: 'exclusive'`. Source: mmap(2).
 */
export function mapAnonymous(length: number | bigint, options?: AnonymousOptions): Mapping {
  const plan: AnonymousPlan = anonymousPlan(length, options);
  const contents = anonymousContents(plan.access, plan.shared);
  const mapFlags = mapFlagsOf(contents, true);
  const call = { lead: 0, length: plan.length, mapFlags, fd: -1, pageOffset: 0 };
  const mapping = place(contents, call, plan);
  if (!plan.populate && !plan.lock) return mapping;
  return settleSync(mapping, plan, plan.access !== 'read');
}
