// Copies into and out of a mapping through the kernel: a bad page is a thrown error, never a
// signal, and never counts as a view that was handed out.
import { check, checkLater, native } from './binding.js';
import { type LongCallOptions } from './chunks.js';
import { flags } from './constants.js';
import { misuse } from './errors.js';
import type { MappingRecord } from './record.js';
import { byteLengthOf } from './true-bytes.js';
import { byteView } from './validate.js';
import { mappingOf } from './views.js';

/** Small enough that copying a piece on the event loop does not hold it up. */
const PIECE = 2 ** 20;

/** What can be written: bytes, or a string as UTF-8. */
export type WriteSource = string | NodeJS.ArrayBufferView;

export function bytesOf(source: unknown): Uint8Array {
  if (typeof source === 'string') return Buffer.from(source, 'utf8');
  return byteView('source', source);
}

const details = (record: MappingRecord, offset: number, length: number) => ({
  address: BigInt(record.address) + BigInt(offset),
  length,
  offset,
  path: record.contents.path,
  fileOffset: BigInt(record.contents.fileOffset) + BigInt(offset),
});

export function copyOut(record: MappingRecord, offset: number, target: Uint8Array): void {
  const answer = native.copyOut(record.start, record.lead + offset, target);
  if (answer !== undefined) check(answer, details(record, offset, byteLengthOf(target)));
}

export function mustBeWritable(record: MappingRecord, offset: number, length: number): void {
  const from = record.address + offset;
  if (record.allows(flags.write, from, from + length)) return;
  throw misuse('READ_ONLY', `the mapping is '${record.protectionWord}'`, {
    ...details(record, offset, length),
    hint: "map it with access 'read-write' or 'copy-on-write', or protect('read-write') first",
  });
}

export function copyIn(record: MappingRecord, offset: number, source: Uint8Array): number {
  const length = byteLengthOf(source);
  mustBeWritable(record, offset, length);
  if (length > 0) {
    const answer = native.copyIn(record.start, record.lead + offset, source);
    if (answer !== undefined) check(answer, details(record, offset, length));
  }
  return length;
}

function mustBeAsLong(bytes: Uint8Array, total: number): void {
  if (byteLengthOf(bytes) === total) return;
  throw misuse('ARGUMENT', 'the buffer was detached or resized while it was being copied');
}

interface Copy {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly direction: 'out' | 'in';
}

/** Copies piece by piece through a buffer that nobody else can detach meanwhile. */
export async function copyLater(
  record: MappingRecord,
  { offset, bytes, direction }: Copy,
  options: LongCallOptions,
): Promise<number> {
  const { signal, onProgress } = options;
  const total = byteLengthOf(bytes);
  if (mappingOf(bytes.buffer) !== undefined) {
    // Maybe of the same mapping, and overlapping: the pieces must not see one another.
    const apart = direction === 'in' ? Buffer.from(bytes) : Buffer.allocUnsafeSlow(total);
    await copyLater(record, { offset, bytes: apart, direction }, options);
    if (direction === 'out') {
      mustBeAsLong(bytes, total);
      bytes.set(apart);
    }
    return total;
  }
  const own = Buffer.allocUnsafeSlow(Math.min(PIECE, total));
  for (let done = 0; done < total; done += PIECE) {
    signal?.throwIfAborted();
    const piece = own.subarray(0, Math.min(PIECE, total - done));
    const at = record.lead + offset + done;
    const where = details(record, offset + done, piece.length);
    if (direction === 'in') {
      mustBeAsLong(bytes, total);
      piece.set(bytes.subarray(done, done + piece.length));
      await checkLater(native.copyInAsync(record.start, at, piece), where);
    } else {
      await checkLater(native.copyOutAsync(record.start, at, piece), where);
      mustBeAsLong(bytes, total);
      bytes.set(piece, done);
    }
    onProgress?.({ done: done + piece.length, total });
  }
  return total;
}
