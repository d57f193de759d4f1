// dup2 for memory: new contents below the same address and the same Buffers.
import { KEEP, check, isDestroyed, native, pageSize } from './binding.js';
import { misuse } from './errors.js';
import { type OpenFile, statusOf, tooShort, withFileSync } from './file.js';
import { collectFaults } from './faults.js';
import { disown } from './lifetime.js';
import { type Contents, type MappingRecord, treatment } from './record.js';
import { inUse } from './registry.js';
import {
  type ParsedSource,
  anonymousContents,
  fileContents,
  mapFlagsOf,
  parseSource,
} from './source.js';

/** `live` gives the record, and throws once the mapping is gone: it is asked after every getter. */
export function replaceContents(live: () => MappingRecord, source: unknown): void {
  const parsed = parseSource(source);
  if (parsed.access === 'snapshot') {
    throw misuse('UNSUPPORTED', "replace cannot take a 'snapshot'", {
      hint: "'copy-on-write' keeps your changes private",
    });
  }
  if (parsed.kind === 'anonymous') {
    replaceByMemory(live(), parsed.length, anonymousContents(parsed.access, false));
    return;
  }
  const mode = { writable: parsed.access === 'read-write', create: false };
  withFileSync(parsed.file, mode, (file) => {
    replaceByFile(live(), parsed, file);
  });
}

function replaceByMemory(record: MappingRecord, length: number, contents: Contents): void {
  sameLength(record, length);
  put(record, contents, { flags: mapFlagsOf(contents, true), fd: -1, offset: 0 });
}

function replaceByFile(
  record: MappingRecord,
  source: Extract<ParsedSource, { kind: 'file' }>,
  file: OpenFile,
): void {
  const { offset, access } = source;
  if (offset % pageSize !== record.lead) {
    throw misuse(
      'RANGE',
      `source.offset must lie ${String(record.lead)} bytes into a page, as the mapping does; got ${String(offset)}`,
      { argument: 'source.offset' },
    );
  }
  const status = statusOf(file);
  const fits = offset <= status.size && record.length <= status.size - offset;
  if (status.regular && !fits) {
    throw tooShort(file.path, status.size, `${String(record.length)} bytes at ${String(offset)}`);
  }
  // A longer file would be cut short without a word: its end must be asked away by name.
  const rest = status.regular ? status.size - offset : record.length;
  sameLength(record, source.length ?? rest);
  const contents = fileContents(access, status, {
    path: file.path,
    origin: file.origin,
    offset,
    length: record.capacity ?? record.length,
  });
  const pageOffset = offset - record.lead;
  put(record, contents, { flags: mapFlagsOf(contents, false), fd: file.fd, offset: pageOffset });
}

function sameLength(record: MappingRecord, length: number): void {
  if (length === record.length) return;
  throw misuse(
    'RANGE',
    `the source must be as long as the mapping: ${String(record.length)} bytes; got ${String(length)}`,
    {
      argument: 'source.length',
      length: record.length,
      hint: 'pass source.length for a part of a longer file; reload() takes another length',
    },
  );
}

interface Place {
  readonly flags: number;
  readonly fd: number;
  readonly offset: number;
}

/** Shows other contents in all of its pages, and in the views over them. */
export function put(record: MappingRecord, contents: Contents, place: Place): void {
  if (record.busy !== undefined) throw inUse(record.busy);
  const { start, end, ownerId } = record;
  if (start === end) throw misuse('RANGE', 'an empty mapping has no memory to replace');
  collectFaults();
  const answer = native.overlay(
    ownerId,
    start,
    end - start,
    contents.protection,
    place.flags,
    place.fd,
    place.offset,
    treatment(record, contents),
    Float64Array.of(ownerId),
    KEEP.views,
  );
  if (isDestroyed(answer)) disown(record, 'unmapped');
  check(answer, { address: BigInt(record.address), length: record.length, path: contents.path });
  record.contents = contents;
  record.runs = undefined;
  record.log.faults = [];
}
