// What can be put at an address: a part of a file, or memory of its own.
import { flags } from './constants.js';
import { misuse } from './errors.js';
import { ACCESS_WORDS, type Access } from './flags.js';
import { type FileLike, type FileStatus, isSealed } from './file.js';
import { inside } from './inside.js';
import type { Contents } from './record.js';
import type { Descriptor } from './shared/descriptor.js';
import type { SharedMemory } from './shared/shared-memory.js';
import { bytes, options, word, wrongKind } from './validate.js';

/** What `replace` and `place` show: a part of a file, shared memory, or zeroed memory. */
export type Source = FileSource | SharedSource | AnonymousSource;

/** A part of a file. */
export interface FileSource {
  /** The file to show. */
  file: FileLike;
  /** First byte of it. Default 0. */
  offset?: number | bigint;
  /** Bytes: as many as the mapping has, which is the default. */
  length?: number | bigint;
  /** Default 'read'. */
  access?: Access;
}

/** Memory that processes share, or a part of it. */
export interface SharedSource {
  /** The memory to show; it may be closed afterwards. */
  shared: SharedMemory;
  /** First byte of it. Default 0. */
  offset?: number | bigint;
  /** Bytes. Default: with `replace` as many as the mapping has, with `place` to its end. */
  length?: number | bigint;
  /** Default: what it was opened for. */
  access?: Access;
}

/** Zeroed memory. */
export interface AnonymousSource {
  /** Length of the zeroed memory: as many bytes as the mapping has. */
  anonymous: number | bigint;
  /** Default 'read-write'. */
  access?: Access;
}

export type ParsedSource =
  | {
      kind: 'file';
      file: FileLike | SharedMemory;
      offset: number;
      length: number | undefined;
      access: Access;
    }
  | { kind: 'anonymous'; length: number; access: Access };

const accessOf = (value: unknown, otherwise: Access): Access =>
  value === undefined ? otherwise : word('source.access', value, ACCESS_WORDS);

/** Reads a source, each property once. */
export function parseSource(source: unknown): ParsedSource {
  const names = ['file', 'shared', 'offset', 'length', 'anonymous', 'access'] as const;
  if (typeof source !== 'object' || source === null) throw wrongKind('source', 'an object', source);
  const given = options('source', source, names);
  const kinds = [given.file, given.shared, given.anonymous].filter((each) => each !== undefined);
  if (kinds.length > 1) {
    throw misuse('ARGUMENT', 'source must have one of file, shared and anonymous', {
      argument: 'source',
    });
  }
  if (given.anonymous !== undefined) {
    return {
      kind: 'anonymous',
      length: bytes('source.anonymous', given.anonymous, 1),
      access: accessOf(given.access, 'read-write'),
    };
  }
  const shared = given.shared === undefined ? undefined : sharedOf(given.shared);
  if (shared === undefined && given.file === undefined) {
    throw wrongKind('source.file', 'a file', given.file);
  }
  return {
    kind: 'file',
    file: shared ?? (given.file as FileLike),
    offset: given.offset === undefined ? 0 : bytes('source.offset', given.offset),
    length: given.length === undefined ? undefined : bytes('source.length', given.length),
    // Its own answer is checked too: the caller may have put another property over it.
    access: accessOf(given.access === undefined ? shared?.access : given.access, 'read'),
  };
}

function sharedOf(value: unknown): SharedMemory {
  const is = typeof value === 'object' && value !== null;
  if (is && inside.sharedFileOf(value) !== undefined) return value as SharedMemory;
  throw wrongKind('source.shared', 'a SharedMemory', value);
}

const anonymous = (access: Access, shared: boolean): Contents => ({
  access,
  protection: access === 'read' ? flags.read : flags.read | flags.write,
  shared,
  path: undefined,
  fileOffset: 0,
  inode: shared ? -1 : 0,
  fileInode: -1,
  fileDevice: -1,
  backing: access === 'snapshot' ? 'copy' : 'kernel',
});

const PRIVATE_MEMORY = anonymous('read-write', false);

export const anonymousContents = (access: Access, shared: boolean): Contents =>
  access === 'read-write' && !shared ? PRIVATE_MEMORY : anonymous(access, shared);

export function fileContents(
  access: Access,
  status: FileStatus,
  place: {
    path: string | undefined;
    offset: number;
    length: number;
    origin?: Descriptor | undefined;
  },
): Contents {
  const contents = {
    access,
    protection: access === 'read' ? flags.read : flags.read | flags.write,
    shared: access !== 'copy-on-write',
    path: place.path,
    fileOffset: place.offset,
    inode: status.stableInode ? status.inode : -1,
    fileInode: status.inode,
    fileDevice: status.device,
    fileSize: status.size,
    backing: 'kernel',
    device: !status.regular,
    sealed: isSealed(status, place.offset + place.length),
  } as const;
  return place.origin === undefined ? contents : { ...contents, origin: place.origin };
}

const SHARED = flags.bit('MAP_SHARED');
const PRIVATE = flags.bit('MAP_PRIVATE');
const ANON = flags.bit('MAP_ANON');

/** The MAP_* bits of some contents. */
export const mapFlagsOf = (contents: Contents, isAnonymous: boolean): number =>
  (contents.shared ? SHARED : PRIVATE) | (isAnonymous ? ANON : 0);
