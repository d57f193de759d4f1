// mmap as the caller says it: at a hint or exclusively, or over what the caller owns and names.
import { readFileSync } from 'node:fs';
import { KEEP, check, native, pageSize } from './binding.js';
import { constants, flags } from './constants.js';
import { misuse } from './errors.js';
import { type FileStatus, isSealed, statusOf } from './file.js';
import { inside } from './inside.js';
import { withRoom } from './lifetime.js';
import type { Mapping } from './mapping.js';
import {
  type RawRange,
  isAligned,
  isBeyondUserSpace,
  pagesOf,
  refuse,
  victimsIn,
} from './owned.js';
import { putOver } from './overlay.js';
import { roundUp } from './page.js';
import {
  type Contents,
  MappingRecord,
  type Owner,
  homeOf,
  ownersOf,
  registry,
  treatment,
} from './record.js';
import { settings } from './settings.js';

/** For a descriptor that is none, mmap itself says so. */
function statusIfOpen(fd: number): FileStatus | undefined {
  try {
    return statusOf({ fd, path: undefined });
  } catch {
    return undefined;
  }
}

/** What a raw mmap shows, from its bits and descriptor. */
function contentsOf(
  protection: number,
  mapFlags: number,
  place: { fd: number; offset: bigint; length: number },
): Contents {
  const type = mapFlags & (constants['MAP_TYPE'] ?? 0xf);
  const shared = type !== flags.bit('MAP_PRIVATE');
  const anonymous = (mapFlags & flags.bit('MAP_ANON')) !== 0;
  const writable = (protection & flags.write) !== 0;
  const status = anonymous ? undefined : statusIfOpen(place.fd);
  // The kernel shows huge pages as those of a file of its own.
  const huge = (mapFlags & (constants['MAP_HUGETLB'] ?? 0)) !== 0;
  const access = !writable ? 'read' : shared || anonymous ? 'read-write' : 'copy-on-write';
  return {
    access,
    protection,
    shared,
    path: undefined,
    fileOffset: anonymous ? 0 : Number(place.offset),
    inode: anonymous && !shared && !huge ? 0 : status?.stableInode === true ? status.inode : -1,
    fileInode: status?.inode ?? -1,
    fileDevice: status?.device ?? -1,
    backing: 'kernel',
    device: status?.regular === false,
    sealed: isSealed(status, Number(place.offset) + place.length),
  };
}

export interface RawMap {
  readonly range: RawRange;
  readonly bits: number;
  readonly flags: number;
  readonly fd: number;
  readonly offset: bigint;
}

/** No address space is longer: the kernel says ENOMEM of this and of all above. */
const clamped = (length: bigint): number => Number(length > 2n ** 62n ? 2n ** 62n : length);

/** The kernel would round the length up, and then refuse every call on less than a huge page. */
function mustBeWholeHugePages({ flags: mapFlags, range }: RawMap): void {
  if ((mapFlags & (constants['MAP_HUGETLB'] ?? 0)) === 0) return;
  const exponent = (mapFlags >>> (constants['MAP_HUGE_SHIFT'] ?? 0)) & 0x3f;
  const size = exponent > 0 ? 2n ** BigInt(exponent) : defaultHugePage();
  if (size === undefined || range.length % size === 0n) return;
  throw misuse('UNSUPPORTED', `with MAP_HUGETLB the length must be a multiple of ${String(size)}`, {
    argument: 'length',
    length: Number(range.length),
  });
}

function defaultHugePage(): bigint | undefined {
  try {
    const found = /^Hugepagesize:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return found === undefined ? undefined : BigInt(found) * 1024n;
  } catch {
    return undefined;
  }
}

function mustNotBeZero({ address }: RawRange): void {
  if (address !== 0n) return;
  throw misuse('RANGE', 'address 0 cannot be mapped: null pointers would stop faulting', {
    argument: 'address',
  });
}

export function mapAt(call: RawMap, exclusive: boolean): Mapping {
  const { range, bits, fd } = call;
  mustBeWholeHugePages(call);
  if (exclusive && range.length > 0n) mustNotBeZero(range);
  if (range.address >= 2n ** 63n || (exclusive && !isAligned(range.address))) {
    if (exclusive) refuse(isAligned(range.address) ? 'ENOMEM' : 'EINVAL', 'mmap', range);
  }
  const hint = range.address >= 2n ** 63n ? 0n : range.address - (range.address % BigInt(pageSize));
  const contents = contentsOf(bits, call.flags, { ...call, length: Number(range.length) });
  const record = new MappingRecord({
    start: 0,
    end: 0,
    lead: 0,
    length: Number(range.length),
    contents,
    guarded: settings.guard,
  });
  const answer = withRoom(() =>
    native.map(
      record.ownerId,
      Number(hint),
      clamped(range.length),
      bits,
      call.flags,
      fd,
      Number(call.offset),
      treatment(record, contents),
      exclusive,
    ),
  );
  const conflicts = exclusive && typeof answer !== 'number' ? conflictsOf(range) : undefined;
  const details = { address: range.address, length: Number(range.length), conflicts };
  record.start = check(answer, details);
  record.end = record.start + roundUp(record.length, pageSize);
  return inside.create(record);
}

const conflictsOf = ({ address, length }: RawRange): Owner[] =>
  registry.ownersIn(Number(address), Number(address + length));

export function mapOver(call: RawMap, names: readonly Owner[]): Mapping {
  const { range, bits, fd } = call;
  const span = pagesOf(range);
  const beyond = span === undefined || isBeyondUserSpace(span.end);
  if (range.length > 0n && beyond) refuse('ENOMEM', 'mmap', range);
  if (range.length === 0n || !isAligned(range.address) || span === undefined) {
    refuse('EINVAL', 'mmap', range);
  }
  mustNotBeZero(range);
  const victims = victimsIn(span, names);
  const contents = contentsOf(bits, call.flags, { ...call, length: Number(range.length) });
  const home = homeOf(span);
  const record = new MappingRecord({
    ...span,
    lead: 0,
    length: Number(range.length),
    contents,
    guarded: settings.guard,
    home,
  });
  return putOver({
    record,
    flags: call.flags,
    fd,
    offset: Number(call.offset),
    victims,
    owners: ownersOf(victims, home),
    keep: KEEP.spans,
  });
}
