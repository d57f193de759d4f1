// What has become of the file of a mapping, and the event that says so.
import { type BigIntStats, type FSWatcher, fstatSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { MapError, misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import { anyOf, liveOf } from '../live.js';
import type { MappingRecord } from '../record.js';
import { whereOf } from '../ranges.js';

/** The file of a mapping, as it is now. */
export interface FileState {
  /**
   * 'same': as long as when it was mapped or reloaded. 'grown', 'shrunk': the same file with another
   * length. 'replaced': the path leads to another file. 'deleted': the path leads to no file.
   */
  readonly change: 'same' | 'grown' | 'shrunk' | 'replaced' | 'deleted';
  /** Bytes of the file that the path leads to; 0 once it is deleted. */
  readonly size: number;
  /** Its inode number; 0 once it is deleted. */
  readonly inode: bigint;
  /** Time of its last modification, in milliseconds as of `Date.now()`; 0 once it is deleted. */
  readonly mtimeMs: number;
}

function statOf(record: MappingRecord): BigIntStats | undefined {
  const { path, origin, fileInode } = record.contents;
  if (origin !== undefined && !origin.closed) return fstatSync(origin.fd, { bigint: true });
  if (path === undefined || fileInode < 0 || origin !== undefined) {
    throw misuse('UNSUPPORTED', 'status() needs a mapping of a file that was mapped by its path', {
      ...whereOf(record),
      hint: 'map the path instead of a descriptor',
    });
  }
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw errno === undefined ? error : new MapError(errno, 'stat', { path });
  }
}

function changeOf(record: MappingRecord, stat: BigIntStats): FileState['change'] {
  const { contents, length } = record;
  const same = Number(stat.ino) === contents.fileInode && Number(stat.dev) === contents.fileDevice;
  if (!same) return stat.nlink === 0n ? 'deleted' : 'replaced';
  const size = Number(stat.size);
  const end = contents.fileOffset + length;
  const known = contents.fileSize ?? end;
  if (size < known) return 'shrunk';
  return size > known ? 'grown' : 'same';
}

export function statusOfFile(mapping: Mapping): FileState {
  const record = liveOf(mapping);
  const stat = statOf(record);
  if (stat === undefined) return { change: 'deleted', size: 0, inode: 0n, mtimeMs: 0 };
  return {
    change: changeOf(record, stat),
    size: Number(stat.size),
    inode: stat.ino,
    mtimeMs: Number(stat.mtimeMs),
  };
}

/** How often the file is looked at: where the system reports changes that is only to be sure. */
const POLL_MS = 500;

const isEqual = (a: FileState, b: FileState): boolean =>
  a.change === b.change && a.size === b.size && a.inode === b.inode && a.mtimeMs === b.mtimeMs;

/**
 * Emits 'change' until the mapping is unmapped. Keeps the mapping, and the process while 'change' has
 * a listener. Watches the
 * folder, since a rename replaces the file in it, and looks every half second where no event comes
 * (NFS, FUSE, a missing inotify watch).
 */
export function followFile(mapping: Mapping): void {
  let last = statusOfFile(mapping);
  let watcher: FSWatcher | undefined;
  const look = (): void => {
    if (anyOf(mapping).state !== 'mapped') {
      stop();
      return;
    }
    let now: FileState;
    try {
      now = statusOfFile(mapping);
    } catch {
      // The folder cannot be searched just now: the next look may succeed.
      return;
    }
    if (isEqual(now, last)) return;
    last = now;
    mapping.emit('change', now);
  };
  const timer = setInterval(look, POLL_MS).unref();
  const stop = (): void => {
    clearInterval(timer);
    watcher?.close();
  };
  mapping.once('unmap', stop);
  // Node's own two events, which MappingEvents does not list.
  const events: NodeJS.EventEmitter = mapping;
  events.on('newListener', (event) => {
    if (event === 'change') timer.ref();
  });
  events.on('removeListener', (event) => {
    if (event === 'change' && mapping.listenerCount('change') === 0) timer.unref();
  });
  const { path = '' } = mapping;
  try {
    watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(path)) look();
    });
    watcher.on('error', () => watcher?.close());
  } catch {
    // No watches are left (ENOSPC, EMFILE): the interval remains.
  }
}
