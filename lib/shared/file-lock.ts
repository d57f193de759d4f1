// Locks beside a mapped file, of open files and not of processes: two mappings in one process can
// exclude one another, and a lock goes with its process however that ends.
import { setTimeout as later } from 'node:timers/promises';
import { check, codeOf, native } from '../binding.js';
import { MapError, errnoOf, misuse } from '../errors.js';
import { statusOf, withFileSync } from '../file.js';
import { liveOf } from '../live.js';
import { type Range, whereOf } from '../ranges.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import { Descriptor } from './descriptor.js';
import { isMarked, joinUsers } from './presence.js';
import { milliseconds } from './shared-options.js';

/** Who may have a lock at the same time: several 'shared' ones, or one that is 'exclusive'. */
export type LockKind = 'shared' | 'exclusive';

/** How `lockFile` waits. */
export interface LockFileOptions {
  /** True: gives a Promise. False (default): EAGAIN when somebody else has it. */
  wait?: boolean;
  /** With `wait`: milliseconds until ERR_MEMMAP_TIMEOUT. Default: for ever. */
  timeout?: number;
  /** With `wait`: rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** A lock on bytes of a file, until `unlock`. Keep it: one that nobody can reach is unlocked. */
export interface FileLock {
  /** What it was taken as. */
  readonly kind: LockKind;
  /** First byte, in the file. */
  readonly fileOffset: bigint;
  /** Bytes. */
  readonly length: number;
  /** False once it was unlocked. */
  readonly held: boolean;
  /** Gives it back. Doing it again does nothing. */
  unlock(): void;
  /** `unlock`, at the end of a `using` block. */
  [Symbol.dispose](): void;
}

interface Wanted {
  readonly kind: LockKind;
  readonly start: number;
  readonly length: number;
}

class HeldLock implements FileLock {
  readonly kind: LockKind;
  readonly fileOffset: bigint;
  readonly length: number;
  readonly #file: Descriptor;

  constructor(file: Descriptor, { kind, start, length }: Wanted) {
    this.#file = file;
    this.kind = kind;
    this.fileOffset = BigInt(start);
    this.length = length;
  }

  get held(): boolean {
    return !this.#file.closed;
  }

  unlock(): void {
    if (!this.held) return;
    // Not by closing alone: a child that is just being started has the same open file until it runs its program.
    native.lockRange(this.#file.fd, UNLOCKED, Number(this.fileOffset), this.length);
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.unlock();
  }
}

const KINDS: readonly LockKind[] = ['shared', 'exclusive'];
const UNLOCKED = 0;

interface Plan {
  readonly wait: boolean;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

function planOf(options: unknown): Plan {
  const given = validate.options('options', options, ['wait', 'timeout', 'signal'] as const);
  const wait = given.wait !== undefined && validate.boolean('options.wait', given.wait);
  const timeout = milliseconds('options.timeout', given.timeout, Infinity);
  const signal = validate.signal(given.signal);
  if (wait || (given.timeout === undefined && signal === undefined)) {
    return { wait, timeout, signal };
  }
  throw misuse('ARGUMENT', 'timeout and signal are for waiting: { wait: true }', {
    argument: 'options.wait',
  });
}

/** Mapping.lockFile. The range is read before the state is looked at. */
export function lockFile(
  mapping: object,
  given: { readonly kind: unknown; readonly range: Range | undefined; readonly options: unknown },
): FileLock | Promise<FileLock> {
  const kind = validate.word('kind', given.kind, KINDS);
  const range = validate.givenRange(given.range);
  const plan = planOf(given.options);
  const record = liveOf(mapping);
  const { offset, length } = validate.rangeWithin(range, record.length);
  if (length === 0) {
    throw misuse('RANGE', 'a lock needs at least one byte', { argument: 'range.length' });
  }
  const wanted = { kind, start: record.contents.fileOffset + offset, length };
  const file = openAgain(record, kind === 'exclusive');
  if (plan.wait) return waitFor(file, wanted, plan);
  const lock = tryLock(file, wanted);
  if (lock !== undefined) return lock;
  file.close();
  throw new MapError(errnoOf('EAGAIN'), 'fcntl', {
    ...whereOf(record),
    hint: 'another open file has locked a part of the range: { wait: true } waits',
  });
}

/** undefined while somebody else has it. On any other failure the file is closed. */
function tryLock(file: Descriptor, wanted: Wanted): FileLock | undefined {
  const { kind, start, length } = wanted;
  const answer = native.lockRange(file.fd, KINDS.indexOf(kind) + 1, start, length);
  if (answer === undefined) return new HeldLock(file, wanted);
  if (['EAGAIN', 'EACCES'].includes(codeOf(answer) ?? '')) return undefined;
  file.close();
  check(answer, { path: file.name });
  return undefined;
}

const FIRST_MS = 1;
const MOST_MS = 50;

// A call that waits in the kernel can be neither timed nor aborted, and would take a thread of the
// pool for as long as it likes.
async function waitFor(file: Descriptor, wanted: Wanted, plan: Plan): Promise<FileLock> {
  const { timeout, signal } = plan;
  const until = performance.now() + timeout;
  try {
    for (let ms = FIRST_MS; ; ms = Math.min(2 * ms, MOST_MS)) {
      signal?.throwIfAborted();
      const lock = tryLock(file, wanted);
      if (lock !== undefined) return lock;
      const left = until - performance.now();
      if (left <= 0) {
        throw misuse('TIMEOUT', `timed out waiting for the file lock after ${String(timeout)} ms`, {
          path: file.name,
        });
      }
      await later(Math.min(ms, left), undefined, signal === undefined ? {} : { signal });
    }
  } catch (error) {
    file.close();
    signal?.throwIfAborted();
    throw error;
  }
}

/** A mapping keeps no descriptor, and a lock is of an open file: its file, opened anew. */
function openAgain(record: MappingRecord, writable: boolean): Descriptor {
  const { path, origin, fileInode } = record.contents;
  if (fileInode < 0) {
    throw cannot(record, 'it has no file that could be locked', undefined);
  }
  if (origin !== undefined) {
    const again = origin.reopen(writable);
    if (again !== undefined) return counted(again);
    if (!origin.closed) throw cannot(record, 'without /proc it cannot be opened anew', undefined);
    throw cannot(record, 'the shared memory was closed, and its name is gone', 'keep it open');
  }
  if (path === undefined) {
    const hint = 'map it by its path; a mapping keeps no descriptor';
    throw cannot(record, 'its file was given by a descriptor, and cannot be found again', hint);
  }
  return openPath(path, record, writable);
}

/** Who has nothing but a lock of an object of lifetime 'processes' is a user of it too. */
function counted(file: Descriptor): Descriptor {
  try {
    const status = file.status();
    if (isMarked(status)) joinUsers(file, status);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

const cannot = (record: MappingRecord, why: string, hint: string | undefined): Error =>
  misuse('UNSUPPORTED', `the mapping cannot be locked: ${why}`, { ...whereOf(record), hint });

function openPath(path: string, record: MappingRecord, writable: boolean): Descriptor {
  const { fileInode, fileDevice } = record.contents;
  return withFileSync(path, { writable, create: false }, (open) => {
    const { inode, device } = statusOf(open);
    if (inode !== fileInode || device !== fileDevice) {
      throw new MapError(errnoOf('ESTALE'), 'open', {
        path,
        hint: 'another file has this name now',
      });
    }
    return new Descriptor(native.duplicate(open.fd), path);
  });
}
