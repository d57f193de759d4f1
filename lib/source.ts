// What can be put at an address: a part of a file, or memory of its own.
import { flags } from './constants.js';
import { misuse } from './errors.js';
import { ACCESS_WORDS, type Access } from './flags.js';
import { type FileLike, type FileStatus, isSealed } from './file.js';
import type { Contents, Origin } from './record.js';
import { bytes, options, word, wrongKind } from './validate.js';

/** What `replace` shows: a part of a file, or zeroed memory. */
export type Source = FileSource | AnonymousSource;

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

/** Zeroed memory. */
export interface AnonymousSource {
  /** Length of the zeroed memory: as many bytes as the mapping has. */
  anonymous: number | bigint;
  /** Default 'read-write'. */
  access?: Access;
}

export type ParsedSource =
  | { kind: 'file'; file: FileLike; offset: number; length: number | undefined; access: Access }
  | { kind: 'anonymous'; length: number; access: Access };

const accessOf = (value: unknown, otherwise: Access): Access =>
  value === undefined ? otherwise : word('source.access', value, ACCESS_WORDS);

/** Reads a source, each property once. */
export function parseSource(source: unknown): ParsedSource {
  const names = ['file', 'offset', 'length', 'anonymous', 'access'] as const;
  if (typeof source !== 'object' || source === null) throw wrongKind('source', 'an object', source);
  const given = options('source', source, names);
  if (given.anonymous !== undefined) {
    if (given.file !== undefined) {
      throw misuse('ARGUMENT', 'source must have file or anonymous, not both', {
        argument: 'source',
      });
    }
    return {
      kind: 'anonymous',
      length: bytes('source.anonymous', given.anonymous, 1),
      access: accessOf(given.access, 'read-write'),
    };
  }
  if (given.file === undefined) throw wrongKind('source.file', 'a file', given.file);
  return {
    kind: 'file',
    file: given.file as FileLike,
    offset: given.offset === undefined ? 0 : bytes('source.offset', given.offset),
    length: given.length === undefined ? undefined : bytes('source.length', given.length),
    access: accessOf(given.access, 'read'),
  };
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
    origin?: Origin | undefined;
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
