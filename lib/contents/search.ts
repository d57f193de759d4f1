// Searching the bytes of a mapping of any length: Buffer's own search, window by window.
import { callGuarded } from '../faults.js';
import type { Mapping } from '../mapping.js';
import type { MappingRecord } from '../record.js';
import { copyOut } from '../transfer.js';
import { byteLengthOf } from '../true-bytes.js';
import type { ByteRange } from '../validate.js';
import { LONGEST_VIEW, makeView } from '../views.js';

// Buffer.indexOf gives wrong answers beyond 2 GiB on Node 20 and 24.
const WINDOW = 2 ** 30;
const COPY_WINDOW = 2 ** 22;

/** The bytes of a part of the mapping, for as long as one synchronous call uses them. */
type Window = (offset: number, length: number) => Buffer;

/** Views of a guarded mapping; copies of one whose faults would end the process. */
function windowsOf(mapping: Mapping, record: MappingRecord): Window {
  if (!record.guarded) {
    return (offset, length) => {
      const bytes = Buffer.allocUnsafeSlow(length);
      copyOut(record, offset, bytes);
      return bytes;
    };
  }
  // One view for all searches where one Buffer can hold the mapping.
  const whole = record.length <= Math.min(LONGEST_VIEW, 4 * WINDOW);
  return whole
    ? (offset, length) => mapping.buffer.subarray(offset, offset + length)
    : (offset, length) => makeView(mapping, record, { offset, length });
}

/** Offset of the first or last occurrence that lies within the range, or -1. */
export function search(
  mapping: Mapping,
  record: MappingRecord,
  call: { readonly bytes: Uint8Array; readonly range: ByteRange; readonly last: boolean },
): number {
  const { bytes, range, last } = call;
  const size = byteLengthOf(bytes);
  const end = range.offset + range.length;
  if (size > range.length) return -1;
  if (size === 0) return last ? end : range.offset;
  const step = Math.max(record.guarded ? WINDOW : COPY_WINDOW, size);
  const window = windowsOf(mapping, record);
  const count = Math.ceil((range.length - size + 1) / step);
  const find = (): number => {
    for (let turn = 0; turn < count; turn++) {
      const from = range.offset + (last ? count - 1 - turn : turn) * step;
      const part = window(from, Math.min(step + size - 1, end - from));
      const found = last ? part.lastIndexOf(bytes) : part.indexOf(bytes);
      if (found >= 0) return from + found;
    }
    return -1;
  };
  return record.guarded ? callGuarded(record, find) : find();
}
