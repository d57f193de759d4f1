// The Mapping class: checks its arguments and its state, then delegates to the verbs.
import { EventEmitter } from 'node:events';
import { check, checkLater, native, pageSize } from './binding.js';
import { type LongCallOptions, during, inChunks, longCall } from './chunks.js';
import { constants, flags } from './constants.js';
import { misuse } from './errors.js';
import { type Access, type Advice, type Protection, isDestructive } from './flags.js';
import { adopt } from './lifetime.js';
import { inside } from './inside.js';
import { type Span, inward, outward } from './page.js';
import type { MappingRecord, MappingState } from './record.js';
import { inUse } from './registry.js';
import { replaceContents } from './replace.js';
import { resizeMapping } from './resize.js';
import { releaseAll } from './release.js';
import type { Source } from './source.js';
import { type WriteSource, bytesOf, copyIn, copyLater, copyOut, mustBeWritable } from './transfer.js';
import * as validate from './validate.js';
import { makeView } from './views.js';

/** A part of a mapping, in bytes; half-open; the default is the whole of it. */
export interface Range {
  offset?: number | bigint;
  length?: number | bigint;
}

/** Which pages of a range are in memory: one byte a page in `map`, 1 or 0. */
export interface Residency {
  readonly pages: number;
  readonly resident: number;
  readonly map: Uint8Array;
}

/** Keeps a mapping in place: while it is held, `unmap` and `replace` are ERR_MEMMAP_BUSY. */
export interface Pin {
  release(): void;
  [Symbol.dispose](): void;
}

export interface MappingEvents {
  /** Its memory was unmapped. */
  unmap: [];
  /** Its memory, or a part of it, now shows something else. */
  replace: [];
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
export class Mapping extends EventEmitter<MappingEvents> {
  readonly #record: MappingRecord;
  #buffer: Buffer | undefined;
  #parts: Mapping[] | undefined;

  static {
    inside.recordOf = (value) => (#record in value ? value.#record : undefined);
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
      throw misuse('ARGUMENT', 'a Mapping is made by mapFile, mapAnonymous or sys.mmap, not by new');
    }
    super();
    this.#record = record;
  }

  /** Address of the first byte. Never 0, but for the empty mapping of an empty file. */
  get address(): bigint {
    return BigInt(anyOf(this).address);
  }

  /** Bytes that were asked for, not the pages below them. */
  get length(): number {
    return anyOf(this).length;
  }

  get access(): Access {
    return anyOf(this).contents.access;
  }

  /** What the pages allow now; 'mixed' after `protect` of a part. */
  get protection(): Protection | 'mixed' {
    return anyOf(this).protectionWord;
  }

  /** The path it was mapped by, if it was. */
  get path(): string | undefined {
    return anyOf(this).contents.path;
  }

  /** Offset in the file of the first byte; 0 for anonymous memory. */
  get fileOffset(): bigint {
    return BigInt(anyOf(this).contents.fileOffset);
  }

  /** 'kernel' when the kernel shows the file itself; 'copy' for a snapshot of it. */
  get backing(): 'kernel' | 'copy' {
    return anyOf(this).contents.backing;
  }

  get state(): MappingState {
    return anyOf(this).state;
  }

  /** What is left of it after a part was replaced or unmapped: mappings of their own. */
  get parts(): Mapping[] {
    anyOf(this);
    return [...(this.#parts ?? [])];
  }

  /**
   * The whole mapping as one Buffer, zero copy, made on first use and then always the same. Throws
   * ERR_MEMMAP_RANGE when it is too long for one Buffer on this runtime (4 GiB on Node 20), and
   * then `view` is the way. After `unmap` the Buffer has length 0.
   *
   * Writing into the Buffer of a read-only mapping, or reading past the end of a file that another
   * program has truncated, is a signal; `read` and `write` throw instead.
   */
  get buffer(): Buffer {
    const record = liveOf(this);
    if (this.#buffer === undefined || (this.#buffer.length === 0 && record.length > 0)) {
      this.#buffer = makeView(this, record, 0, record.length);
    }
    return this.#buffer;
  }

  /** A window of the mapping as a Buffer, zero copy. `length` defaults to the end. */
  view(offset: number | bigint, length?: number | bigint): Buffer {
    const from = validate.bytes('offset', offset);
    const asked = length === undefined ? undefined : validate.bytes('length', length);
    const record = liveOf(this);
    const size = asked ?? Math.max(0, record.length - from);
    validate.within(from, size, record.length);
    const whole = this.#buffer;
    if (whole !== undefined && whole.length > 0) return whole.subarray(from, from + size);
    return makeView(this, record, from, size);
  }

  /**
   * Copies bytes out, through the kernel (process_vm_readv(2)): a page that cannot be read is an
   * EFAULT error, never a signal. Gives a new Buffer of `length` bytes, or fills `target`.
   */
  read(offset: number | bigint, length: number | bigint): Buffer;
  read<Target extends NodeJS.ArrayBufferView>(offset: number | bigint, target: Target): Target;
  read(offset: number | bigint, into: unknown): unknown {
    const from = validate.bytes('offset', offset);
    const { result, bytes } = targetOf(into);
    const record = liveOf(this);
    const length = bytes === undefined ? validate.bytes('length', into) : validate.byteLengthOf(bytes);
    validate.within(from, length, record.length);
    const target = bytes ?? Buffer.allocUnsafe(length);
    if (length > 0) copyOut(record, from, target);
    return result ?? target;
  }

  /** `read` on the thread pool, in pieces of 1 MiB. */
  async readAsync(
    offset: number | bigint,
    length: number | bigint,
    options?: LongCallOptions,
  ): Promise<Buffer>;
  async readAsync<Target extends NodeJS.ArrayBufferView>(
    offset: number | bigint,
    target: Target,
    options?: LongCallOptions,
  ): Promise<Target>;
  async readAsync(
    offset: number | bigint,
    into: unknown,
    options?: LongCallOptions,
  ): Promise<unknown> {
    const from = validate.bytes('offset', offset);
    const { result, bytes } = targetOf(into);
    const chosen = longCall(options);
    const record = liveOf(this);
    const length = bytes === undefined ? validate.bytes('length', into) : validate.byteLengthOf(bytes);
    validate.within(from, length, record.length);
    const target = bytes ?? Buffer.allocUnsafeSlow(length);
    await during(record, 'readAsync()', () => copyLater(record, from, target, 'out', chosen));
    return result ?? target;
  }

  /**
   * Copies bytes in, through the kernel (process_vm_writev(2)), and gives how many. ERR_MEMMAP_READ_ONLY
   * when the pages do not allow it; a page that cannot be written is an EFAULT error, never a signal.
   */
  write(offset: number | bigint, source: WriteSource): number {
    const from = validate.bytes('offset', offset);
    const bytes = bytesOf(source);
    const record = liveOf(this);
    validate.within(from, validate.byteLengthOf(bytes), record.length);
    return copyIn(record, from, bytes);
  }

  /** `write` on the thread pool, in pieces of 1 MiB. The source must not change meanwhile. */
  async writeAsync(
    offset: number | bigint,
    source: WriteSource,
    options?: LongCallOptions,
  ): Promise<number> {
    const from = validate.bytes('offset', offset);
    const bytes = bytesOf(source);
    const chosen = longCall(options);
    const record = liveOf(this);
    const length = validate.byteLengthOf(bytes);
    validate.within(from, length, record.length);
    mustBeWritable(record, from, length);
    return during(record, 'writeAsync()', () => copyLater(record, from, bytes, 'in', chosen));
  }

  /**
   * Writes changed pages of the range to the file and waits for the disk, on the thread pool, in
   * pieces of 32 MiB. Rounds outward to pages. Rejects with the disk's error. Source: msync(2).
   */
  async flush(range?: Range, options?: LongCallOptions): Promise<void> {
    const { record, span } = pagesOf(this, range, outward);
    const chosen = longCall(options);
    const sync = (start: number, length: number) =>
      checkLater(native.syncAsync(start, length, constants['MS_SYNC'] ?? 0), whereOf(record));
    await during(record, 'flush()', () => inChunks(span, sync, chosen));
  }

  /** `flush` at once, blocking. */
  flushSync(range?: Range): void {
    const { record, span } = pagesOf(this, range, outward);
    check(
      native.sync(span.start, span.end - span.start, flags.bit('MS_SYNC')),
      whereOf(record),
    );
  }

  /**
   * Changes what the pages of the range allow, rounding outward. Views over pages that can no
   * longer be read are detached; a pinned mapping must stay readable. EACCES when the file was not opened for it. Source: mprotect(2).
   */
  protect(access: Protection, range?: Range): void {
    const word = validate.word('access', access, flags.protectionWords);
    const { record, span } = pagesOf(this, range, outward);
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
    const word = validate.word('advice', advice, flags.adviceWords()) as Advice;
    const bits = flags.advice(word);
    const { record, span } = pagesOf(this, range, isDestructive(word) ? inwardToEdges : outward);
    if (span.start === span.end) return;
    check(native.advise(span.start, span.end - span.start, bits), whereOf(record));
  }

  /** Keeps the pages of the range in memory, faulting them in now. Rounds outward. Source: mlock(2). */
  lock(range?: Range): void {
    const { record, span } = pagesOf(this, range, outward);
    check(native.lock(span.start, span.end - span.start, 0), lockDetails(record));
  }

  /** `lock` on the thread pool, in pieces of 32 MiB. */
  async lockAsync(range?: Range, options?: LongCallOptions): Promise<void> {
    const { record, span } = pagesOf(this, range, outward);
    const chosen = longCall(options);
    const lock = (start: number, length: number) =>
      checkLater(native.lockAsync(start, length, 0), lockDetails(record));
    await during(record, 'lockAsync()', () => inChunks(span, lock, chosen));
  }

  /** Undoes `lock`. Rounds outward. Source: munlock(2). */
  unlock(range?: Range): void {
    const { record, span } = pagesOf(this, range, outward);
    check(native.unlock(span.start, span.end - span.start, 0), whereOf(record));
  }

  /**
   * Reads the pages of the range into memory, on the thread pool, in pieces of 32 MiB. Rounds
   * outward. EFAULT where the file is shorter than the range. Source: madvise(2), MADV_POPULATE_READ.
   */
  async prefetch(range?: Range, options?: LongCallOptions): Promise<void> {
    const { record, span } = pagesOf(this, range, outward);
    const chosen = longCall(options);
    const populate = (start: number, length: number) =>
      checkLater(native.populateAsync(start, length, 0), whereOf(record));
    await during(record, 'prefetch()', () => inChunks(span, populate, chosen));
  }

  /** Which pages of the range are in memory. Rounds outward. Source: mincore(2). */
  residency(range?: Range): Residency {
    const { record, span } = pagesOf(this, range, outward);
    const map = new Uint8Array((span.end - span.start) / pageSize);
    if (map.length > 0) {
      check(native.residency(span.start, span.end - span.start, map), whereOf(record));
    }
    let resident = 0;
    for (let page = 0; page < map.length; page++) resident += map[page] = (map[page] ?? 0) & 1;
    return { pages: map.length, resident, map };
  }

  /** Keeps the mapping in place for native code that works on a view of it. */
  pin(): Pin {
    const record = liveOf(this);
    record.pins++;
    let held = true;
    const release = (): void => {
      if (held) record.pins--;
      held = false;
      void this; // a pinned mapping is not collected
    };
    return { release, [Symbol.dispose]: release };
  }

  /**
   * Makes the mapping `length` bytes long; it may move. Every view of it is detached first. A
   * writable mapping of a file makes the file longer where that is needed. Source: mremap(2).
   */
  resize(length: number | bigint): void {
    const size = validate.bytes('length', length, 1);
    const record = liveOf(this);
    if (record.busy !== undefined) throw inUse(record.busy);
    this.#buffer = undefined;
    resizeMapping(record, size);
  }

  /**
   * dup2 for memory: shows `source` at the same address, atomically, in the Buffers that were
   * already handed out. A reader on another thread sees the old bytes or the new, never a hole.
   * What cannot be mapped leaves everything as it was. Source: mremap(2), MREMAP_FIXED.
   */
  replace(source: Source): void {
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
      releaseAll(record);
      this.#buffer = undefined;
      this.emit('unmap');
    } else if (this.#parts !== undefined) {
      for (const part of this.#parts) part.unmap();
    }
  }

  [Symbol.dispose](): void {
    this.unmap();
  }

  /** Flushes what was changed, then unmaps. */
  async [Symbol.asyncDispose](): Promise<void> {
    const record = anyOf(this);
    if (record.state === 'mapped' && record.contents.shared) await this.flush();
    this.unmap();
  }
}

function anyOf(mapping: Mapping): MappingRecord {
  // The receiver is whatever the caller chose: Mapping.prototype.unmap.call({}).
  const receiver: unknown = mapping;
  const record =
    typeof receiver === 'object' && receiver !== null ? inside.recordOf(receiver) : undefined;
  if (record === undefined) throw validate.wrongKind('this', 'a Mapping', receiver);
  return record;
}

function liveOf(mapping: Mapping): MappingRecord {
  const record = anyOf(mapping);
  if (record.state === 'mapped') return record;
  throw misuse('UNMAPPED', `the mapping was ${record.state}`, {
    address: BigInt(record.address),
    length: record.length,
    path: record.contents.path,
  });
}

/** Where the bytes of a read go: a caller's buffer, or (undefined) a new one. */
function targetOf(into: unknown): { result: unknown; bytes: Uint8Array | undefined } {
  if (typeof into === 'number' || typeof into === 'bigint') {
    return { result: undefined, bytes: undefined };
  }
  return { result: into, bytes: validate.byteView('target', into) };
}

type Rounding = (start: number, end: number, page: number, record: MappingRecord) => Span;

/** A range of bytes as pages of a live mapping. The range is read before the state is looked at. */
function pagesOf(
  mapping: Mapping,
  range: Range | undefined,
  round: Rounding,
): { record: MappingRecord; span: Span } {
  const given = validate.givenRange(range);
  const record = liveOf(mapping);
  const { offset, length } = validate.rangeWithin(given, record.length);
  if (length === 0) return { record, span: { start: record.start, end: record.start } };
  const from = record.address + offset;
  return { record, span: round(from, from + length, pageSize, record) };
}

/** Inward, but the hidden bytes at the mapping's own edges belong to nobody else. */
function inwardToEdges(start: number, end: number, page: number, record: MappingRecord): Span {
  const first = start === record.address ? record.start : start;
  const last = end === record.address + record.length ? record.end : end;
  return inward(first, last, page);
}

const whereOf = (record: MappingRecord) => ({
  address: BigInt(record.address),
  length: record.length,
  path: record.contents.path,
});

const lockDetails = (record: MappingRecord) => ({
  ...whereOf(record),
  hint: 'RLIMIT_MEMLOCK limits how much an ordinary user may lock (ulimit -l)',
});
