// From a range of a mapping's bytes to pages, and what an error says of where.
import { pageSize } from './binding.js';
import { liveOf } from './live.js';
import { type Span, inward, outward } from './page.js';
import type { MappingRecord } from './record.js';
import * as validate from './validate.js';

/** A part of a mapping, in bytes; half-open; the default is the whole of it. */
export interface Range {
  /** First byte. Default 0. */
  offset?: number | bigint;
  /** Bytes. Default: to the end of the mapping. */
  length?: number | bigint;
}

type Rounding = (bytes: Span, record: MappingRecord) => Span;

/** A range of bytes as pages of a live mapping. The range is read before the state is looked at. */
export function pagesOf(
  mapping: object,
  range: Range | undefined,
  round: Rounding,
): { record: MappingRecord; span: Span } {
  const given = validate.givenRange(range);
  const record = liveOf(mapping);
  const { offset, length } = validate.rangeWithin(given, record.length);
  if (length === 0) return { record, span: { start: record.start, end: record.start } };
  const start = record.address + offset;
  return { record, span: round({ start, end: start + length }, record) };
}

/** For calls that keep contents: every page with a byte of the range. */
export const everyPage: Rounding = ({ start, end }) => outward(start, end, pageSize);

/**
 * For calls that destroy contents: only whole pages. The hidden bytes at the mapping's own edges
 * belong to nobody else, so those edges count as page edges.
 */
export const wholePages: Rounding = ({ start, end }, record) => {
  const first = start === record.address ? record.start : start;
  const last = end === record.address + record.length ? record.end : end;
  return inward(first, last, pageSize);
};

export interface Where {
  readonly address: bigint;
  readonly length: number;
  readonly path: string | undefined;
  readonly fileOffset: bigint;
}

export const whereOf = (record: MappingRecord): Where => ({
  address: BigInt(record.address),
  length: record.length,
  path: record.contents.path,
  fileOffset: BigInt(record.contents.fileOffset),
});

export const lockDetails = (record: MappingRecord): Where & { hint: string } => ({
  ...whereOf(record),
  hint: 'RLIMIT_MEMLOCK limits how much may be locked (ulimit -l); past the end of its file nothing can be',
});
