// The bytes of a mapping: what it is, Buffers over it, copies in and out of it.
import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { type LongCallOptions, during, longCall } from './chunks.js';
import type * as Hash from './contents/hash.js';
import type { Reloaded } from './contents/reload.js';
import type * as Search from './contents/search.js';
import type * as States from './contents/status.js';
import type { FileState } from './contents/status.js';
import type * as Streams from './contents/stream.js';
import type { LineOptions, StreamOptions } from './contents/stream.js';
import type { Mapping } from './mapping.js';
import type { Range } from './ranges.js';
import type { FaultError } from './errors.js';
import { type FaultRecord, collectFaults } from './faults.js';
import type { Access, Protection } from './flags.js';
import { inside } from './inside.js';
import { anyOf, liveOf } from './live.js';
import { MappingRecord, type MappingState } from './record.js';
import {
  type WriteSource,
  bytesOf,
  copyIn,
  copyLater,
  copyOut,
  mustBeWritable,
} from './transfer.js';
import { byteLengthOf } from './true-bytes.js';
import * as validate from './validate.js';
import { makeSharedView, makeView } from './views.js';

/** The events of a Mapping. */
export interface MappingEvents {
  /** Its memory was unmapped. */
  unmap: [];
  /** Its memory, or a part of it, now shows something else. */
  replace: [];
  /** A page of it could not be read or written as it should; see `faults`. */
  fault: [error: FaultError];
  /** With the option `follow`: its file changed; see `status`. */
  change: [state: FileState];
  /** `reload` has taken up what the path leads to. */
  reload: [done: Reloaded];
}

/* eslint-disable @typescript-eslint/no-require-imports -- loaded with the first call: most programs make none of these */
const late = {
  hash: () => require('./contents/hash.js') as typeof Hash,
  search: () => require('./contents/search.js') as typeof Search,
  status: () => require('./contents/status.js') as typeof States,
  stream: () => require('./contents/stream.js') as typeof Streams,
};
/* eslint-enable @typescript-eslint/no-require-imports */

interface SharedBytes {
  readonly at: number;
  readonly buffer: SharedArrayBuffer;
}

/** What every Mapping is: some bytes at an address. Its other half is in mapping.ts. */
export abstract class MappedMemory extends EventEmitter<MappingEvents> {
  readonly #record: MappingRecord;
  #buffer: Buffer | undefined;
  #shared: SharedBytes | undefined;

  static {
    inside.recordOf = (value) => (#record in value ? value.#record : undefined);
  }

  /** @internal */
  constructor(record: MappingRecord) {
    if (!(record instanceof MappingRecord)) {
      throw validate.wrongKind('record', 'made by memmap itself', record);
    }
    super();
    this.#record = record;
  }

  /** What console.log shows of it. */
  [inspect.custom](): string {
    // Debuggers and test runners inspect prototypes too.
    if (inside.recordOf(this) === undefined) return 'Mapping {}';
    const { address, length, access, path, state } = this;
    const where = path === undefined ? '' : ` of '${path}'`;
    return `Mapping { ${String(length)} bytes${where}, ${access}, ${state} at 0x${address.toString(16)} }`;
  }

  /** Address of the first byte. Never 0, but for the empty mapping of an empty file. */
  get address(): bigint {
    return BigInt(anyOf(this).address);
  }

  /** Bytes that were asked for, not the pages below them. */
  get length(): number {
    return anyOf(this).length;
  }

  /** The access word it was mapped with. */
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

  /**
   * What happened under its Buffers since it was mapped or repaired, oldest first. A fault is told
   * by the event 'fault'; without a listener it is an uncaught exception.
   */
  get faults(): FaultRecord[] {
    collectFaults();
    return [...anyOf(this).log.faults];
  }

  /** 'unmapped' and 'replaced' also when only a part of it is: `parts` has the rest. */
  get state(): MappingState {
    return anyOf(this).state;
  }

  /**
   * The whole mapping as one Buffer, zero copy, made on first use and then always the same. Throws
   * ERR_MEMMAP_RANGE when it is too long for one Buffer on this runtime (4 GiB on Node 20), and
   * then `view` is the way. After `unmap` the Buffer has length 0.
   *
   * Reading past the end of a file that another program has truncated, or writing into the Buffer
   * of a read-only mapping, is the event 'fault'; `read` and `write` throw at once.
   */
  get buffer(): Buffer {
    const record = liveOf(this);
    if (this.#buffer?.length !== record.length) {
      this.#buffer = makeView(this, record, {
        offset: 0,
        length: record.length,
      });
    }
    return this.#buffer;
  }

  /**
   * A window of the mapping as a Buffer, zero copy. `length` defaults to the end. Once `buffer` was
   * used it is a part of that one, and is detached with it.
   */
  view(offset: number | bigint, length?: number | bigint): Buffer {
    const from = validate.bytes('offset', offset);
    const asked = length === undefined ? undefined : validate.bytes('length', length);
    const record = liveOf(this);
    const size = asked ?? Math.max(0, record.length - from);
    validate.within(from, size, record.length);
    const whole = this.#buffer;
    if (whole !== undefined && whole.length >= from + size && size > 0) {
      return whole.subarray(from, from + size);
    }
    return makeView(this, record, { offset: from, length: size });
  }

  /**
   * The whole mapping as a SharedArrayBuffer, zero copy, made on first use: worker threads that get it
   * see the same bytes, and `Atomics.wait` works between them. Shared mappings only, and a Node that
   * has the call (22.23, 24.21, 26.7 and later): elsewhere ERR_MEMMAP_UNSUPPORTED. It cannot be
   * detached: after `unmap` it shows zeros, and `resize` leaves zeros in it and gives another.
   */
  get sharedArrayBuffer(): SharedArrayBuffer {
    const record = liveOf(this);
    const known = this.#shared;
    if (known?.at === record.address && known.buffer.byteLength === record.length) {
      return known.buffer;
    }
    const buffer = makeSharedView(this, record);
    this.#shared = { at: record.address, buffer };
    return buffer;
  }

  /**
   * Copies bytes out, through the kernel (process_vm_readv(2), or a pipe where that is refused): a page that cannot be read is an
   * EFAULT error, never a signal. Gives a new Buffer of `length` bytes, or fills `target`.
   */
  read(offset: number | bigint, length: number | bigint): Buffer;
  read<Target extends NodeJS.ArrayBufferView>(offset: number | bigint, target: Target): Target;
  read(offset: number | bigint, into: unknown): unknown {
    const from = validate.bytes('offset', offset);
    const { result, bytes } = targetOf(into);
    const record = liveOf(this);
    const length = bytes === undefined ? validate.bytes('length', into) : byteLengthOf(bytes);
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
    const length = bytes === undefined ? validate.bytes('length', into) : byteLengthOf(bytes);
    validate.within(from, length, record.length);
    const target = bytes ?? Buffer.allocUnsafeSlow(length);
    await during(record, 'readAsync()', () =>
      copyLater(record, { offset: from, bytes: target, direction: 'out' }, chosen),
    );
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
    validate.within(from, byteLengthOf(bytes), record.length);
    return copyIn(record, from, bytes);
  }

  /**
   * Offset in the mapping of the first place within the range where the bytes are, or -1. A string is
   * searched as UTF-8. Any length, at the speed of `Buffer.indexOf`. Throws the fault
   * (ERR_MEMMAP_FAULT) of a page that could not be read.
   *
   * @example
   * ```js
   * const m = memmap.mapFileSync(process.execPath);
   * m.indexOf('ELF'); // 1 on Linux
   * ```
   */
  indexOf(bytes: WriteSource, range?: Range): number {
    anyOf(this);
    const wanted = bytesOf(bytes);
    const part = within(this, range);
    const call = { bytes: wanted, range: part, last: false };
    return late.search().search(this as unknown as Mapping, liveOf(this), call);
  }

  /** The same of the last place. */
  lastIndexOf(bytes: WriteSource, range?: Range): number {
    anyOf(this);
    const wanted = bytesOf(bytes);
    const part = within(this, range);
    const call = { bytes: wanted, range: part, last: true };
    return late.search().search(this as unknown as Mapping, liveOf(this), call);
  }

  /**
   * The digest of the range, computed on the thread pool in pieces of 8 MiB. `algorithm` is one of
   * `crypto.getHashes()`. Where OpenSSL cannot be reached from there (Bun, Deno) each piece is hashed
   * on the event loop. Rejects with EFAULT or the fault of a page that cannot be read.
   */
  async hash(algorithm: string, range?: Range, options?: LongCallOptions): Promise<Buffer> {
    const chosen = longCall(options);
    const part = within(this, range);
    return late
      .hash()
      .hashOf(this as unknown as Mapping, algorithm, { range: part, options: chosen });
  }

  /**
   * The range as a stream of chunks that are views, but for the last, which is a copy. The mapping is
   * pinned from the first read until the stream is closed: destroy a stream that you do not read to
   * its end.
   */
  stream(range?: Range, options?: StreamOptions & { kind?: 'node' }): Readable;
  stream(
    range: Range | undefined,
    options: StreamOptions & { kind: 'web' },
  ): ReadableStream<Uint8Array>;
  stream(range?: Range, options?: StreamOptions): Readable | ReadableStream<Uint8Array> {
    liveOf(this);
    return late.stream().streamOf(this as unknown as Mapping, range, options);
  }

  /**
   * The lines of the range, without their line ends (LF or CR LF); what follows the last line end is a
   * line too if it has any bytes. With `{ encoding: 'buffer' }` views instead of strings.
   */
  lines(
    range?: Range,
    options?: LineOptions & { encoding?: 'utf8' | 'latin1' },
  ): AsyncGenerator<string>;
  lines(
    range: Range | undefined,
    options: LineOptions & { encoding: 'buffer' },
  ): AsyncGenerator<Buffer>;
  lines(range?: Range, options?: LineOptions): AsyncGenerator<string | Buffer> {
    liveOf(this);
    return late.stream().linesOf(this as unknown as Mapping, range, options);
  }

  /** Views of `size` bytes each, one after another; the last may be shorter. */
  chunks(size: number | bigint, range?: Range): Generator<Buffer, void, undefined> {
    liveOf(this);
    return late.stream().chunksOf(this as unknown as Mapping, size, range);
  }

  /**
   * The file that the path leads to now, compared with what is mapped. ERR_MEMMAP_UNSUPPORTED where
   * the file was given by a descriptor, and for memory without a file. Source: stat(2).
   */
  status(): FileState {
    liveOf(this);
    return late.status().statusOfFile(this as unknown as Mapping);
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
    const length = byteLengthOf(bytes);
    validate.within(from, length, record.length);
    mustBeWritable(record, from, length);
    return during(record, 'writeAsync()', () =>
      copyLater(record, { offset: from, bytes, direction: 'in' }, chosen),
    );
  }
}

/** The same range of a mapping that is still mapped. */
function within(receiver: unknown, range: Range | undefined): validate.ByteRange {
  const given = validate.givenRange(range);
  return validate.rangeWithin(given, liveOf(receiver).length);
}

/** Where the bytes of a read go: a caller's buffer, or (undefined) a new one. */
function targetOf(into: unknown): { result: unknown; bytes: Uint8Array | undefined } {
  if (typeof into === 'number' || typeof into === 'bigint') {
    return { result: undefined, bytes: undefined };
  }
  return { result: into, bytes: validate.byteView('target', into) };
}
