// The bytes of a mapping in pieces: views of equal size, a Readable, lines of text.
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { callGuarded, throwFaults } from '../faults.js';
import type { Mapping, Pin } from '../mapping.js';
import { liveOf } from '../live.js';
import type { Range } from '../ranges.js';
import * as validate from '../validate.js';

/** How `stream` delivers. */
export interface StreamOptions {
  /** Bytes of a chunk. Default 256 KiB, at most 1 GiB. */
  chunkSize?: number;
  /** 'node' (default): a Readable. 'web': a ReadableStream. */
  kind?: 'node' | 'web';
}

/** How `lines` delivers. */
export interface LineOptions {
  /** 'utf8' (default) or 'latin1': strings. 'buffer': views of the mapping. */
  encoding?: 'utf8' | 'latin1' | 'buffer';
}

const CHUNK = 256 * 1024;
const MOST = 2 ** 30;

export function* chunksOf(
  mapping: Mapping,
  size: unknown,
  range: Range | undefined,
): Generator<Buffer, void, undefined> {
  const step = validate.bytes('size', size, 1);
  const given = validate.givenRange(range);
  const { offset, length } = validate.rangeWithin(given, liveOf(mapping).length);
  for (let at = offset; at < offset + length; at += step) {
    yield mapping.view(at, Math.min(step, offset + length - at));
  }
}

export function streamOf(
  mapping: Mapping,
  range: Range | undefined,
  options: unknown,
): Readable | ReadableStream<Uint8Array> {
  const read = validate.options('options', options, ['chunkSize', 'kind'] as const);
  const size =
    read.chunkSize === undefined ? CHUNK : validate.bytes('options.chunkSize', read.chunkSize, 1);
  const chunkSize = Math.min(size, MOST);
  const web =
    read.kind !== undefined &&
    validate.word('options.kind', read.kind, ['node', 'web'] as const) === 'web';
  const given = validate.givenRange(range);
  const bytes = validate.rangeWithin(given, liveOf(mapping).length);
  const readable = new MappedReadable(mapping, bytes, chunkSize);
  return web ? (Readable.toWeb(readable) as ReadableStream<Uint8Array>) : readable;
}

/**
 * Chunks are views, so nothing is copied but the last one: a destination may still be writing that
 * when the stream has ended and the mapping is no longer pinned. A destination that has not taken a
 * chunk asks for no other, so all earlier chunks have been written by then.
 */
class MappedReadable extends Readable {
  readonly #mapping: Mapping;
  readonly #end: number;
  #at: number;
  #pin: Pin | undefined;

  constructor(mapping: Mapping, { offset, length }: validate.ByteRange, chunkSize: number) {
    super({ highWaterMark: chunkSize });
    this.#mapping = mapping;
    this.#at = offset;
    this.#end = offset + length;
  }

  override _read(wanted: number): void {
    try {
      const record = liveOf(this.#mapping);
      this.#pin ??= this.#mapping.pin();
      throwFaults(record);
      const length = Math.min(wanted, this.#end - this.#at);
      if (length <= 0) {
        this.push(null);
        return;
      }
      const last = this.#at + length === this.#end;
      const chunk = last
        ? this.#mapping.read(this.#at, length)
        : this.#mapping.view(this.#at, length);
      this.#at += length;
      this.push(chunk);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#pin?.release();
    done(error);
  }
}

const LINE_WINDOW = 2 ** 20;
const NEWLINE = 10;
const RETURN = 13;

/** The end of the line at `from` without its terminator. */
const withoutReturn = (bytes: Buffer, from: number, end: number): number =>
  end > from && bytes[end - 1] === RETURN ? end - 1 : end;

type Decode = (bytes: Buffer, from: number, end: number) => string | Buffer;

function decoderFor(encoding: 'utf8' | 'latin1' | 'buffer'): Decode {
  return encoding === 'buffer'
    ? (bytes, from, end) => bytes.subarray(from, end)
    : (bytes, from, end) => bytes.toString(encoding, from, end);
}

export async function* linesOf(
  mapping: Mapping,
  range: Range | undefined,
  options: unknown,
): AsyncGenerator<string | Buffer, void, undefined> {
  const read = validate.options('options', options, ['encoding'] as const);
  const words = ['utf8', 'latin1', 'buffer'] as const;
  const decode = decoderFor(
    read.encoding === undefined ? 'utf8' : validate.word('options.encoding', read.encoding, words),
  );
  const given = validate.givenRange(range);
  const { offset, length } = validate.rangeWithin(given, liveOf(mapping).length);
  const end = offset + length;
  let window = LINE_WINDOW;
  for (let at = offset; at < end;) {
    const size = Math.min(window, end - at);
    const { lines, used } = callGuarded(liveOf(mapping), () =>
      splitLines(mapping.view(at, size), at + size === end, decode),
    );
    // A line that is longer than the window: once more with a longer one.
    window = used === 0 ? window * 2 : LINE_WINDOW;
    at += used;
    yield* lines;
    // Long runs must not keep the loop from its other work.
    if (lines.length > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

function splitLines(
  bytes: Buffer,
  isLast: boolean,
  decode: Decode,
): { lines: (string | Buffer)[]; used: number } {
  const lines: (string | Buffer)[] = [];
  let from = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
    lines.push(decode(bytes, from, withoutReturn(bytes, from, at)));
    from = at + 1;
  }
  if (isLast && from < bytes.length) {
    lines.push(decode(bytes, from, withoutReturn(bytes, from, bytes.length)));
    from = bytes.length;
  }
  return { lines, used: from };
}
