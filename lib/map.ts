// mapFile, mapFileSync, mapAnonymous: reads the options, makes the call, wraps what it gave.
import type { Arena } from './reservation/arena.js';
import { KEEP, check, checkLater, codeOf, isOutOfRoom, native, pageSize } from './binding.js';
import { flags } from './constants.js';
import { misuse } from './errors.js';
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
import { retry } from './lifetime.js';
import { type Mapping } from './mapping.js';
import { type FilePlan, type Placement, anonymousPlan, filePlan } from './options.js';
import { putOver } from './overlay.js';
import { roundUp } from './page.js';
import { type Contents, MappingRecord, registry, treatment } from './record.js';
import { anonymousContents, fileContents, mapFlagsOf } from './source.js';
import type { AnonymousOptions, MapOptions } from './options.js';
import type * as FileStates from './contents/status.js';

/** What one mmap call needs beside its contents. */
interface Call {
  readonly contents: Contents;
  readonly lead: number;
  readonly length: number;
  /** Bytes to keep addresses for, where those are more. */
  readonly capacity?: number | undefined;
  readonly anonymous: boolean;
  readonly fd: number;
  readonly pageOffset: number;
}

/** The mmap call itself, with its page rounding hidden. */
function place(call: Call, placement: Placement): Mapping {
  const { arena } = placement;
  const mapping =
    arena === undefined ? placeAnywhere(call, placement) : placeIn(arena, call, placement);
  if (placement.hugePages)
    orUnmap(mapping, () => {
      mapping.advise('hugepage');
    });
  return mapping;
}

/** Where the kernel likes, or where the caller said. */
function placeAnywhere(call: Call, placement: Placement): Mapping {
  const { contents, lead, length, capacity } = call;
  const span = spanOf(call);
  const { inherit, guarded } = placement;
  const place = { start: 0, end: 0, lead, length, capacity };
  const record = new MappingRecord({ ...place, contents, inherit, guarded });
  const answer = placeOnce(record, call, placement);
  const settled = isOutOfRoom(answer) ? retry(() => placeOnce(record, call, placement)) : answer;
  const base =
    typeof settled === 'number' ? settled : check(settled, details(settled, call, placement));
  record.start = base;
  record.end = base + span;
  return inside.create(record);
}

const spanOf = ({ lead, length, capacity = length }: Call): number =>
  roundUp(lead + capacity, pageSize);

const NOBODY: readonly MappingRecord[] = [];

/** In pages of an arena, which are its own until then. */
function placeIn(given: Arena, call: Call, placement: Placement): Mapping {
  const arena = inside.arenaSpaceOf(given);
  if (arena === undefined) throw new Error('memmap: an arena without a space');
  const { contents, lead, length, capacity, fd, pageOffset, anonymous } = call;
  const { inherit, guarded, lifetime, noReserve } = placement;
  const span = spanOf(call);
  const start = arena.take(span, lifetime);
  const end = start + span;
  const home = arena.reserve;
  const sharing = mapFlagsOf(contents, anonymous);
  try {
    return putOver({
      record: new MappingRecord({
        ...{ start, end, lead, length, capacity, contents, inherit, guarded, home },
      }),
      flags: noReserve ? sharing | flags.bit('MAP_NORESERVE') : sharing,
      fd,
      offset: pageOffset,
      victims: NOBODY,
      owners: home.owners,
      keep: KEEP.nothing,
    });
  } catch (error) {
    arena.give({ start, end }, native.isVacant(start, span) === true);
    throw error;
  }
}

function placeOnce(record: MappingRecord, call: Call, placement: Placement) {
  const { contents, fd, pageOffset, anonymous } = call;
  const sharing = mapFlagsOf(contents, anonymous);
  return native.map(
    record.ownerId,
    placement.address,
    spanOf(call),
    contents.protection,
    placement.noReserve ? sharing | flags.bit('MAP_NORESERVE') : sharing,
    fd,
    pageOffset,
    treatment(placement, contents),
    placement.exclusive,
  );
}

function details(answer: unknown, { contents, lead, length }: Call, placement: Placement) {
  const { path } = contents;
  if (codeOf(answer) !== 'EEXIST') return { path, length };
  const { address } = placement;
  return {
    path,
    length,
    address: BigInt(address),
    conflicts: registry.ownersIn(address, address + lead + length),
    hint: 'the range is in use, and exclusive placement never replaces',
  };
}

/** Finishes a mapping; when that fails there is none. */
function orUnmap(mapping: Mapping, finish: () => void): void {
  try {
    finish();
  } catch (error) {
    mapping.unmap();
    throw error;
  }
}

function settleSync(mapping: Mapping, placement: Placement, writable: boolean): Mapping {
  const { start, end, contents } = filledPages(recordOf(mapping));
  if (start === end) return mapping;
  orUnmap(mapping, () => {
    if (placement.populate) {
      check(native.populate(start, end - start, writable ? 1 : 0), { path: contents.path });
    }
    if (placement.lock) mapping.lock();
  });
  return mapping;
}

async function settle(mapping: Mapping, placement: Placement, writable: boolean): Promise<Mapping> {
  const { start, end, contents } = filledPages(recordOf(mapping));
  if (start === end) return mapping;
  const pin = mapping.pin();
  try {
    if (placement.populate) {
      const populating = native.populateAsync(start, end - start, writable ? 1 : 0);
      await checkLater(populating, { path: contents.path });
    }
    if (placement.lock) await mapping.lockAsync();
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

/** The pages of its bytes, without those that maxLength keeps. */
function filledPages({ start, end, lead, length, contents, capacity }: MappingRecord) {
  const filled = capacity === undefined ? end : start + roundUp(lead + length, pageSize);
  return { start, end: filled, contents };
}

/** Populating for writing gives private pages their copies and holes their blocks. */
const populatesForWriting = ({ access }: FilePlan): boolean =>
  access === 'read-write' || access === 'copy-on-write';

/** Of a mapping that is gone at once. */
const INHERIT = 1;

/** A file that seems empty may be a pipe, or one of /proc: the kernel says why it cannot be mapped. */
function mustBeMappable({ fd, path }: OpenFile): void {
  const probe = native.map(
    0,
    0,
    pageSize,
    flags.read,
    flags.bit('MAP_SHARED'),
    fd,
    0,
    INHERIT,
    false,
  );
  check(native.unmap(check(probe, { path }), pageSize));
}

/** Where a mapping of the file ends, from what was asked and how long the file is. */
function lengthOf(file: OpenFile, plan: FilePlan, status: FileStatus): number {
  const { offset, length } = plan;
  if (!status.regular) {
    if (length !== undefined) return length;
    mustBeMappable(file);
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
      : fileContents(access, status, {
          path: file.path,
          offset,
          length: plan.maxLength ?? length,
          origin: file.origin,
        });
  if (plan.maxLength !== undefined && length > plan.maxLength) {
    throw misuse('RANGE', `the file has ${String(length)} bytes, more than maxLength`, {
      argument: 'options.maxLength',
      path: file.path,
      length,
      hint: 'raise maxLength, or pass length',
    });
  }
  if (length === 0 && plan.maxLength === undefined) {
    mustBeMappable(file);
    return {
      mapping: inside.create(new MappingRecord({ start: 0, end: 0, lead: 0, length: 0, contents })),
      length,
    };
  }
  const snapshot = access === 'snapshot';
  const lead = snapshot ? 0 : offset % pageSize;
  const call: Call = {
    contents,
    lead,
    length,
    capacity: plan.maxLength,
    anonymous: snapshot,
    fd: snapshot ? -1 : file.fd,
    pageOffset: snapshot ? 0 : offset - lead,
  };
  return { mapping: place(call, plan.placement), length };
}

function mustBeWhole(got: number, length: number, file: OpenFile): void {
  if (got < length) throw tooShort(file.path, got, 'what was to be copied');
}

/**
 * Maps a file, opening it on the thread pool. `options` say which part, with what access and where;
 * see MapOptions. The file may be closed or deleted afterwards.
 *
 * Errors: the system's own, with `path` (ENOENT, EACCES, ENODEV for what cannot be mapped, EISDIR
 * for a directory with 'read-write',
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
    await settle(mapping, plan.placement, populatesForWriting(plan));
    if (plan.follow) follow(mapping);
    return mapping;
  });
}

/** `mapFile` at once, blocking. */
export function mapFileSync(file: FileLike, options?: MapOptions): Mapping {
  const plan = filePlan(options);
  return withFileSync(file, plan, (open) => {
    if (plan.size !== undefined) growFileSync(open, { size: plan.size, allocate: plan.allocate });
    return mapOpenSync(open, plan);
  });
}

/** The mapping of a file that is open and long enough. */
export function mapOpenSync(open: OpenFile, plan: FilePlan): Mapping {
  const { mapping, length } = mapOpen(open, plan);
  if (plan.access === 'snapshot' && length > 0) {
    orUnmap(mapping, () => {
      const loaded = native.loadFile(open.fd, plan.offset, recordOf(mapping).start, length);
      mustBeWhole(check(loaded, { path: open.path }), length, open);
    });
  }
  settleSync(mapping, plan.placement, populatesForWriting(plan));
  if (plan.follow) follow(mapping);
  return mapping;
}

function follow(mapping: Mapping): void {
  orUnmap(mapping, () => {
    // Loaded only here: most programs follow no file.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { followFile } = require('./contents/status.js') as typeof FileStates;
    followFile(mapping);
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
  const plan = anonymousPlan(length, options);
  const { placement, access } = plan;
  const contents = anonymousContents(access, plan.shared);
  const mapping = place(
    { contents, lead: 0, length: plan.length, anonymous: true, fd: -1, pageOffset: 0 },
    placement,
  );
  if (!placement.populate && !placement.lock) return mapping;
  return settleSync(mapping, placement, access !== 'read');
}
