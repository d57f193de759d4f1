// Opening, sizing and closing the file of a mapping. Errors carry the path.
import {
  type PathLike,
  closeSync,
  constants as fsConstants,
  openSync,
  promises,
  unlinkSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { check, checkLater, native } from './binding.js';
import { MapError, errnoOf, misuse } from './errors.js';
import { inside } from './inside.js';
import type { Descriptor } from './shared/descriptor.js';
import { int, wrongKind } from './validate.js';

/** A file to map: its path, a file: URL, a descriptor or a FileHandle. */
export type FileLike =
  | string
  | URL
  | number
  | {
      /** The descriptor, as a FileHandle has it. */
      readonly fd: number;
    };

/** What fstat(2) says, as far as mapping needs it. */
export interface FileStatus {
  readonly size: number;
  readonly inode: number;
  readonly device: number;
  readonly regular: boolean;
  /** The kernel's list of mappings shows this very inode number. */
  readonly stableInode: boolean;
  /** A memfd that can never become shorter: F_SEAL_SHRINK. */
  readonly sealed: boolean;
}

export interface OpenFile {
  readonly fd: number;
  readonly path: string | undefined;
  /** Of shared memory: its path is a name. */
  readonly origin?: Descriptor | undefined;
  /** True when we made it, so that a failure may remove it again. */
  readonly created: boolean;
}

export interface OpenMode {
  readonly writable: boolean;
  readonly create: boolean;
}

function withoutNul(path: string): string {
  if (path.includes('\0')) throw wrongKind('file', 'a path without NUL bytes', path);
  return path;
}

/** The path of a file that we must open; undefined when it is open already. */
function pathOf(file: unknown): string | undefined {
  if (typeof file === 'string') return withoutNul(file);
  if (file instanceof URL) {
    try {
      return withoutNul(fileURLToPath(file));
    } catch (error) {
      throw Object.assign(wrongKind('file', 'a file: URL', file.href), { cause: error });
    }
  }
  return undefined;
}

/** An open file, and how it is closed. */
interface Opened {
  readonly open: OpenFile;
  readonly close: () => void;
}

const leaveOpen = (): void => undefined;

/**
 * A file that the caller has open. Of shared memory a duplicate: once it is closed its number is that
 * of any other file, and a thread of the pool, or a getter's caller, would not know. Not of a plain
 * number: closing a duplicate would take away the locks of POSIX that the process has on the file.
 */
function openedBy(file: unknown): Opened {
  const origin = typeof file === 'object' && file !== null ? inside.sharedFileOf(file) : undefined;
  if (origin === undefined) {
    const open = { fd: descriptorOf(file), path: undefined, created: false };
    return { open, close: leaveOpen };
  }
  const own = origin.duplicate();
  const open = { fd: own.fd, path: origin.name, origin, created: false };
  return { open, close: () => own.close() };
}

function descriptorOf(file: unknown): number {
  if (typeof file === 'number') return int('file', file);
  if (typeof file === 'object' && file !== null && 'fd' in file) return int('file.fd', file.fd);
  throw wrongKind('file', 'a path, a file: URL, a descriptor or a FileHandle', file);
}

// O_NONBLOCK: opening a FIFO must not wait for somebody at its other end.
const openFlags = ({ writable, create }: OpenMode, exclusive: boolean): number =>
  (writable ? fsConstants.O_RDWR : fsConstants.O_RDONLY) |
  fsConstants.O_NONBLOCK |
  fsConstants.O_NOCTTY |
  (create ? fsConstants.O_CREAT : 0) |
  (exclusive ? fsConstants.O_EXCL : 0);

/** Node's own error of `open`, as one of ours. */
function openError(error: unknown, path: string): Error {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (errno === undefined) return error as Error;
  return new MapError(errno, syscall ?? 'open', { path });
}

const exists = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EEXIST';

function openPath(path: PathLike, mode: OpenMode): { fd: number; created: boolean } {
  if (mode.create) {
    try {
      return { fd: openSync(path, openFlags(mode, true), 0o666), created: true };
    } catch (error) {
      if (!exists(error)) throw error;
    }
  }
  return { fd: openSync(path, openFlags(mode, false), 0o666), created: false };
}

/** Runs `use` with all of the files open, none of which is made. All are closed again. */
export function withFilesSync<Result>(
  wanted: readonly ({ readonly file: unknown; readonly writable: boolean } | undefined)[],
  use: (files: readonly (OpenFile | undefined)[]) => Result,
): Result {
  const opened: Opened[] = [];
  try {
    const files = wanted.map((each) => {
      if (each === undefined) return undefined;
      const one = openedNow(each.file, { writable: each.writable, create: false });
      opened.push(one);
      return one.open;
    });
    return use(files);
  } finally {
    for (const { close } of opened) close();
  }
}

function openNow(path: string, mode: OpenMode): { fd: number; created: boolean } {
  try {
    return openPath(path, mode);
  } catch (error) {
    throw openError(error, path);
  }
}

function openedNow(file: unknown, mode: OpenMode): Opened {
  const path = pathOf(file);
  if (path === undefined) return openedBy(file);
  const opened = openNow(path, mode);
  return { open: { ...opened, path }, close: () => closeSync(opened.fd) };
}

/** Runs `use` with the file open. What was opened here is closed again, the mapping stays. */
export function withFileSync<Result>(
  file: unknown,
  mode: OpenMode,
  use: (open: OpenFile) => Result,
): Result {
  const { open, close } = openedNow(file, mode);
  try {
    return use(open);
  } catch (error) {
    if (open.created && open.path !== undefined) unlinkSync(open.path);
    throw error;
  } finally {
    close();
  }
}

/** The file of a mapping once more, for writing. Its caller closes it. ESTALE where the path leads elsewhere now. */
export function openFileAgain(
  path: string | undefined,
  known: { readonly fileInode: number; readonly fileDevice: number },
): number {
  if (path === undefined) {
    throw misuse('UNSUPPORTED', 'the mapping has no path: its file was given by a descriptor', {
      hint: 'map the path',
    });
  }
  const { fd } = openNow(path, { writable: true, create: false });
  const { inode, device } = statusOf({ fd, path });
  if (inode === known.fileInode && device === known.fileDevice) return fd;
  closeSync(fd);
  throw new MapError(errnoOf('ESTALE'), 'open', {
    path,
    hint: 'the path leads to another file now: reload() takes it up',
  });
}

/** `withFileSync` with the file opened on the thread pool. */
export async function withFile<Result>(
  file: unknown,
  mode: OpenMode,
  use: (open: OpenFile) => Promise<Result>,
): Promise<Result> {
  const path = pathOf(file);
  if (path === undefined) {
    const { open, close } = openedBy(file);
    try {
      return await use(open);
    } finally {
      close();
    }
  }
  const { handle, created } = await openPathLater(path, mode);
  try {
    return await use({ fd: handle.fd, path, created });
  } catch (error) {
    if (created) await promises.unlink(path);
    throw error;
  } finally {
    await handle.close();
  }
}

async function openPathLater(path: string, mode: OpenMode) {
  try {
    if (mode.create) {
      try {
        return { handle: await promises.open(path, openFlags(mode, true), 0o666), created: true };
      } catch (error) {
        if (!exists(error)) throw error;
      }
    }
    return { handle: await promises.open(path, openFlags(mode, false), 0o666), created: false };
  } catch (error) {
    throw openError(error, path);
  }
}

/** Filled in by each fstat and read at once: making an array for it would cost more than the call. */
const row = new Float64Array(6);

export function statusOf({ fd, path }: Pick<OpenFile, 'fd' | 'path'>): FileStatus {
  const failure = native.fileStatus(fd, row);
  if (failure !== undefined) check(failure, { path });
  return {
    size: row[0] ?? 0,
    inode: row[1] ?? 0,
    device: row[2] ?? 0,
    regular: row[3] === 1,
    stableInode: row[4] === 1,
    sealed: row[5] === 1,
  };
}

/** True when the bytes below `end` can never go: no fault can happen there. */
export const isSealed = (status: FileStatus | undefined, end: number): boolean =>
  status?.sealed === true && end <= status.size;

/** Whether growing reserves blocks: then a full disk is ENOSPC now, not a signal later. */
export interface Growth {
  readonly size: number;
  readonly allocate: boolean;
}

/** Makes the file at least `size` bytes long; never shorter. A full disk leaves it as it was. */
export function growFileSync(file: OpenFile, growth: Growth): void {
  if (!mustGrow(file, growth)) return;
  check(native.allocateFile(file.fd, growth.size, growth.allocate), { path: file.path });
}

export async function growFile(file: OpenFile, growth: Growth): Promise<void> {
  if (!mustGrow(file, growth)) return;
  const growing = native.allocateFileAsync(file.fd, growth.size, growth.allocate);
  await checkLater(growing, { path: file.path });
}

/** With blocks even where the size is right: a full disk cannot fill the holes of a sparse file. */
function mustGrow(file: OpenFile, { size, allocate }: Growth): boolean {
  const before = statusOf(file).size;
  return allocate ? size > 0 : size > before;
}

export function tooShort(path: string | undefined, size: number, wanted: string): Error {
  return misuse('RANGE', `the file has ${String(size)} bytes: ${wanted} lies beyond its end`, {
    path,
    length: size,
    hint: 'the size option makes it longer',
  });
}
