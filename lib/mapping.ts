// The Mapping class: checks its arguments and its state, then delegates to the verbs.
import { check, checkLater, native, pageSize } from './binding.js';
import { type LongCallOptions, during, inChunks, longCall } from './chunks.js';
import { constants, flags } from './constants.js';
import { misuse } from './errors.js';
import { callGuarded, collectFaults, repairMapping } from './faults.js';
import { ADVICE_WORDS, type Advice, type Protection, isDestructive } from './flags.js';
import { adopt } from './lifetime.js';
import { inside } from './inside.js';
import { anyOf, liveOf } from './live.js';
import { MappedMemory } from './memory.js';
import { type Range, everyPage, lockDetails, pagesOf, whereOf, wholePages } from './ranges.js';
import type { MappingRecord } from './record.js';
import { inUse } from './registry.js';
import { replaceContents } from './replace.js';
import { resizeMapping } from './resize.js';
import { releaseAll } from './release.js';
import type * as FileLocks from './shared/file-lock.js';
import type { FileLock, LockFileOptions, LockKind } from './shared/file-lock.js';
import type { Source } from './source.js';
import type { WriteSource } from './transfer.js';
import type * as Appends from './contents/append.js';
import type { Appender } from './contents/append.js';
import type * as Reloads from './contents/reload.js';
import type { ReloadOptions, Reloaded } from './contents/reload.js';
import * as validate from './validate.js';

/** Which pages of a range are in memory: one byte a page in `map`, 1 or 0. */
export interface Residency {
  /** Pages in the range. */
  readonly pages: number;
  /** How many of them are in memory. */
  readonly resident: number;
  /** One byte a page: 1 in memory, 0 not. */
  readonly map: Uint8Array;
}

/** Keeps a mapping in place: while it is held, `unmap` and `replace` are ERR_MEMMAP_BUSY. */
export interface Pin {
  /** Lets the mapping go. Doing it again does nothing. */
  release(): void;
  /** `release`, at the end of a `using` block. */
  [Symbol.dispose](): void;
}

const key = Symbol('memmap');

/**
 * A piece of the address space and what it shows: a file's bytes, or memory of its own. Made by
 * `mapFile`, `mapFileSync`, `mapAnonymous` and `sys.mmap`. Source: mmap(2).
 *
 * Every method is ERR_MEMMAP_UNMAPPED once the mapping is gone, and checks its range: outside of
 * the mapping is ERR_MEMMAP_RANGE. A Mapping that nobody can reach is unmapped when its last Buffer
 * has gone too.
 *
 * @example
 * ```js
 * const m = memmap.mapAnonymous(100);
 * m.buffer.write('hello');
 * m.unmap(); // the Buffer has length 0 now; using it can no longer hurt
 * ```
 */
export class Mapping extends MappedMemory {
  #parts: Mapping[] | undefined;
  #appender: Appender | undefined;

  static {
    inside.create = (record) => {
      const mapping = new Mapping(key, record);
      if (record.start !== record.end) adopt(mapping, record);
      return mapping;
    };
    inside.setParts = (mapping, parts) => {
      mapping.#parts = parts;
    };
  }

  /** @internal Mappings are made by the functions above, not by `new`. */
  constructor(secret: symbol, record: MappingRecord) {
    if (secret !== key) {
      throw misuse(
        'ARGUMENT',
        'a Mapping is made by mapFile, mapAnonymous or sys.mmap, not by new',
      );
    }
    super(record);
  }

  /** What is left of it after a part was replaced or unmapped: mappings of their own. */
  get parts(): Mapping[] {
    anyOf(this);
    return (this.#parts ?? []).flatMap((part) => (part.state === 'mapped' ? [part] : part.parts));
  }

  /**
   * Writes changed pages of the range to the file and waits for the disk, on the thread pool, in
   * pieces of 32 MiB. Rounds outward to pages. Rejects with the disk's error, and with the fault
   * (ERR_MEMMAP_FAULT) where a page of the range cannot reach the file. Source: msync(2).
   */
  async flush(range?: Range, options?: LongCallOptions): Promise<void> {
    const chosen = longCall(options);
    const { record, span } = pagesOf(this, range, everyPage);
    const sync = (start: number, length: number) =>
      checkLater(native.syncAsync(start, length, constants['MS_SYNC'] ?? 0), whereOf(record));
    await during(record, 'flush()', () => inChunks(span, sync, chosen));
  }

  /** `flush` at once, blocking. */
  flushSync(range?: Range): void {
    const { record, span } = pagesOf(this, range, everyPage);
    check(native.sync(span.start, span.end - span.start, flags.bit('MS_SYNC')), whereOf(record));
  }

  /**
   * Changes what the pages of the range allow, rounding outward. Views over pages that can no
   * longer be read are detached; a pinned mapping must stay readable. EACCES when the file was not opened for it. Source: mprotect(2).
   */
  protect(access: Protection, range?: Range): void {
    const word = validate.word('access', access, flags.protectionWords);
    const { record, span } = pagesOf(this, range, everyPage);
    const bits = flags.protection(word);
    if ((bits & flags.read) === 0 && record.busy !== undefined) throw inUse(record.busy);
    check(native.protect(span.start, span.end - span.start, bits), whereOf(record));
    record.setProtection(span.start, span.end, bits);
  }

  /**
   * Tells the kernel what the range will be used for. Advice that throws contents away ('dontneed',
   * 'free', 'wipeonfork') rounds inward, the rest outward; the mapping's own edges count as page
   * edges. ERR_MEMMAP_UNSUPPORTED for a word this platform does not have. Source: madvise(2).
   */
  advise(advice: Advice, range?: Range): void {
    const word = validate.word('advice', advice, ADVICE_WORDS);
    const bits = flags.advice(word);
    const { record, span } = pagesOf(this, range, isDestructive(word) ? wholePages : everyPage);
    if (span.start === span.end) return;
    check(native.advise(span.start, span.end - span.start, bits), whereOf(record));
  }

  /** Keeps the pages of the range in memory, faulting them in now. Rounds outward. Source: mlock(2). */
  lock(range?: Range): void {
    const { record, span } = pagesOf(this, range, everyPage);
    check(native.lock(span.start, span.end - span.start, 0), lockDetails(record));
  }

  /** `lock` on the thread pool, in pieces of 32 MiB. */
  async lockAsync(range?: Range, options?: LongCallOptions): Promise<void> {
    const chosen = longCall(options);
    const { record, span } = pagesOf(this, range, everyPage);
    const lock = (start: number, length: number) =>
      checkLater(native.lockAsync(start, length, 0), lockDetails(record));
    await during(record, 'lockAsync()', () => inChunks(span, lock, chosen));
  }

  /** Undoes `lock`. Rounds outward. Source: munlock(2). */
  unlock(range?: Range): void {
    const { record, span } = pagesOf(this, range, everyPage);
    check(native.unlock(span.start, span.end - span.start, 0), whereOf(record));
  }

  /**
   * Locks bytes of the file for those who lock them too, in this process or another: an advisory lock
   * of an open file of its own, whatever else this process has locked. It lasts until `unlock`, also
   * when the mapping is gone. Throws EAGAIN when somebody else has it; with `{ wait: true }` it gives
   * a Promise, and asks again after 1 to 50 ms. Also: ESTALE when the path leads to another file now;
   * EACCES for 'exclusive' where the file may not be written; ERR_MEMMAP_UNSUPPORTED for memory without
   * a file, or whose file was given by its descriptor. Source: fcntl(2), F_OFD_SETLK.
   */
  lockFile(
    kind: LockKind,
    range: Range | undefined,
    options: LockFileOptions & { wait: true },
  ): Promise<FileLock>;
  lockFile(kind: LockKind, range?: Range, options?: LockFileOptions & { wait?: false }): FileLock;
  lockFile(kind: LockKind, range?: Range, options?: LockFileOptions): FileLock | Promise<FileLock> {
    // Loaded only here: most programs lock no file.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { lockFile } = require('./shared/file-lock.js') as typeof FileLocks;
    return lockFile(this, { kind, range, options });
  }

  /**
   * Reads the pages of the range into memory, on the thread pool, in pieces of 32 MiB. Rounds
   * outward. EFAULT where the file is shorter than the range. Source: madvise(2), MADV_POPULATE_READ.
   */
  async prefetch(range?: Range, options?: LongCallOptions): Promise<void> {
    const chosen = longCall(options);
    const { record, span } = pagesOf(this, range, everyPage);
    const populate = (start: number, length: number) =>
      checkLater(native.populateAsync(start, length, 0), whereOf(record));
    await during(record, 'prefetch()', () => inChunks(span, populate, chosen));
  }

  /** Which pages of the range are in memory. Rounds outward. Source: mincore(2). */
  residency(range?: Range): Residency {
    const { record, span } = pagesOf(this, range, everyPage);
    const map = new Uint8Array((span.end - span.start) / pageSize);
    if (map.length > 0) {
      check(native.residency(span.start, span.end - span.start, map), whereOf(record));
    }
    let resident = 0;
    for (let page = 0; page < map.length; page++) resident += map[page] = (map[page] ?? 0) & 1;
    return { pages: map.length, resident, map };
  }

  /**
   * Runs `fn` and gives what it gives; throws the first fault (ERR_MEMMAP_FAULT) when one happened
   * in this mapping meanwhile, so that what was read is known to be right before it is used. What
   * `fn` threw is then its `cause`. Waits for a promise.
   *
   * @example
   * ```js
   * const m = memmap.mapFileSync(process.execPath);
   * m.guarded(() => m.buffer.readUInt32BE(0)); // 0x7f454c46 on Linux
   * ```
   */
  guarded<Result>(fn: () => Result): Result {
    if (typeof fn !== 'function') throw validate.wrongKind('fn', 'a function', fn);
    return callGuarded(liveOf(this), fn);
  }

  /**
   * Makes a mapping right again after faults, on the thread pool: what only its private pages hold
   * is written to the file, the pages are given back to it, and `faults` is empty. Rejects with the
   * fault while the file is still too short or its disk still full or broken, and keeps everything.
   * What was written where the file had ended is written over what is there now; bytes that were
   * not written keep what is there. For memory without a file there is nothing to do but forget.
   */
  async repair(): Promise<void> {
    await repairMapping(liveOf(this));
  }

  /** Keeps the mapping in place for native code that works on a view of it. */
  pin(): Pin {
    const record = liveOf(this);
    record.pins++;
    record.hold();
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      record.pins--;
      record.letGo();
    };
    return { release, [Symbol.dispose]: release };
  }

  /**
   * Makes the mapping `length` bytes long; it may move. Every view of it is detached first. A
   * writable mapping of a file that was mapped by its path makes the file longer where that is
   * needed. Source: mremap(2).
   */
  resize(length: number | bigint): void {
    const size = validate.bytes('length', length, 1);
    const record = liveOf(this);
    if (record.busy !== undefined) throw inUse(record.busy);
    resizeMapping(record, size);
  }

  /**
   * Takes up what the path leads to now: a file that became longer or shorter, another file, one that
   * was empty or was cut short and begun again. Buffers stay valid where the address stays and the
   * mapping does not become shorter; else they are detached. Emits 'reload' with what it gives.
   *
   * Errors: those of opening the file; ERR_MEMMAP_RANGE where it ends before the mapping's offset or
   * has more than maxLength; ERR_MEMMAP_FAULT while written bytes would be lost (`repair` first);
   * ERR_MEMMAP_BUSY. All leave the mapping as it was. Source: mmap(2), mremap(2).
   */
  reload(options?: ReloadOptions): Reloaded {
    liveOf(this);
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { reloadMapping } = require('./contents/reload.js') as typeof Reloads;
    this.#closeAppender();
    const done = reloadMapping(this, options);
    this.emit('reload', done);
    return done;
  }

  /**
   * Writes bytes behind the last byte and makes the mapping as much longer; gives the offset of the
   * first. The file grows in steps, with its blocks allocated, so that most calls are a memory copy:
   * until `trim`, `unmap` or the end of the process it is longer than the mapping, with zeros at its
   * end. Needs the option `maxLength`, and one writer: others must not append at the same time.
   *
   * Errors: ERR_MEMMAP_RANGE at maxLength, ENOSPC, ERR_MEMMAP_READ_ONLY, ESTALE when the path leads to
   * another file. Nothing was appended then.
   */
  append(source: WriteSource): number {
    anyOf(this);
    return (this.#appender ??= this.#newAppender()).append(source);
  }

  /** Cuts the file to what was written, after `append`. `unmap` does it too. Source: ftruncate(2). */
  trim(): void {
    liveOf(this);
    this.#appender?.trim();
  }

  #newAppender(): Appender {
    liveOf(this);
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { Appender } = require('./contents/append.js') as typeof Appends;
    return new Appender(this);
  }

  #closeAppender(): void {
    const appender = this.#appender;
    this.#appender = undefined;
    appender?.close();
  }

  /**
   * dup2 for memory: shows `source` at the same address, atomically, in the Buffers that were
   * already handed out. A reader on another thread sees the old bytes or the new, never a hole.
   * What cannot be mapped leaves everything as it was. A lock or huge pages asked for earlier
   * belonged to the old pages. Source: mremap(2), MREMAP_FIXED.
   */
  replace(source: Source): void {
    anyOf(this);
    this.#closeAppender();
    replaceContents(() => liveOf(this), source);
    this.emit('replace');
  }

  /**
   * Unmaps it. Every Buffer over it has length 0 from here on, also in code that kept one. Doing it
   * again does nothing. ERR_MEMMAP_BUSY while it is pinned or a call on the thread pool works on it.
   * What a part was replaced by stays; the `parts` that were left go. Source: munmap(2).
   */
  unmap(): void {
    const record = anyOf(this);
    if (record.state === 'mapped') {
      if (record.busy !== undefined) throw inUse(record.busy);
      collectFaults();
      try {
        this.#closeAppender();
      } finally {
        releaseAll(record);
      }
      this.emit('unmap');
    } else if (this.#parts !== undefined) {
      for (const part of this.#parts) part.unmap();
    }
  }

  /** Unmaps it, at the end of a `using` block. */
  [Symbol.dispose](): void {
    anyOf(this);
    this.unmap();
  }

  /** Flushes what was changed, then unmaps. */
  async [Symbol.asyncDispose](): Promise<void> {
    const record = anyOf(this);
    if (record.state === 'mapped' && record.contents.shared) await this.flush();
    this.unmap();
  }
}
