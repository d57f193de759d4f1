// The calls themselves, for people who port C: the kernel's arguments, the kernel's answers, and
// the registry's one rule on top. Addresses and lengths are `number | bigint`.
import { check, native, pageSize } from './binding.js';
import { constants, flags } from './constants.js';
import { misuse } from './errors.js';
import type { Mapping } from './mapping.js';
import {
  type Owned,
  type RawRange,
  type ReplaceOption,
  isAligned,
  isBeyondUserSpace,
  mustBeIdle,
  named,
  ownedIn,
  pagesOf,
  refuse,
  victimsIn,
} from './owned.js';
import { mapAt, mapOver } from './raw-map.js';
import type { Span } from './page.js';
import { emitAll, releaseAll, releasePart } from './release.js';
import { remapRange } from './remap.js';
import { int, raw } from './validate.js';

/** An address, a length or an offset; a bigint above 2^53 - 1. */
export type Numeric = number | bigint;

const MAP_FIXED = constants['MAP_FIXED'] ?? 0;
const GROWSDOWN = constants['MAP_GROWSDOWN'] ?? 0;
const MAP_FIXED_NOREPLACE = constants['MAP_FIXED_NOREPLACE'] ?? 0;

const rawRange = (address: unknown, length: unknown): RawRange => ({
  address: raw('address', address),
  length: raw('length', length),
});

/**
 * mmap(2). `address` is a hint, unless `flags` has MAP_FIXED_NOREPLACE (EEXIST when anything is
 * there) or MAP_FIXED: then each page of the range must be owned and each owner be named in
 * `options.replace`, else ERR_MEMMAP_FOREIGN or ERR_MEMMAP_OVERLAP and nothing is called. A fixed
 * map is staged elsewhere and moved into place: what cannot be mapped destroys nothing.
 *
 * @example
 * ```js
 * const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
 * const prot = PROT_READ | PROT_WRITE;
 * const kind = MAP_PRIVATE | MAP_ANONYMOUS;
 * const a = memmap.sys.mmap(0, 8192, prot, kind, -1, 0);
 * const b = memmap.sys.mmap(a.address, 8192, prot, kind | MAP_FIXED, -1, 0, { replace: a });
 * b.address === a.address; // and a.state is 'replaced'
 * ```
 */
export function mmap(
  address: Numeric,
  length: Numeric,
  protection: number,
  mapFlags: number,
  fd: number,
  offset: Numeric,
  options?: ReplaceOption,
): Mapping {
  const range = rawRange(address, length);
  const bits = int('protection', protection);
  const given = int('flags', mapFlags);
  const from = { fd: int('fd', fd), offset: raw('offset', offset) };
  const names = named(options);
  if (!isAligned(from.offset)) refuse('EINVAL', 'mmap', range);
  if ((given & GROWSDOWN) !== 0) {
    throw misuse(
      'UNSUPPORTED',
      'MAP_GROWSDOWN regions grow into addresses that were not asked for',
      {
        argument: 'flags',
        hint: 'reserve() the whole range and place() in it',
      },
    );
  }
  const exclusive = MAP_FIXED_NOREPLACE !== 0 && (given & MAP_FIXED_NOREPLACE) !== 0;
  const fixed = (given & MAP_FIXED) !== 0 && !exclusive;
  const call = { range, bits, flags: given & ~MAP_FIXED & ~MAP_FIXED_NOREPLACE, ...from };
  if (fixed) return mapOver(call, names);
  return mapAt(call, exclusive);
}

/**
 * munmap(2). Each page must be owned and each owner be named in `options.replace`, as for MAP_FIXED.
 * What nobody has mapped is no error. What is left of a mapping becomes its `parts`.
 */
export function munmap(address: Numeric, length: Numeric, options?: ReplaceOption): void {
  const range = rawRange(address, length);
  const names = named(options);
  const span = pagesOf(range);
  if (range.length === 0n || !isAligned(range.address) || span === undefined) {
    refuse('EINVAL', 'munmap', range);
  }
  const { parts } = ownedIn(span);
  if (parts.length === 0 && isBeyondUserSpace(span.end)) refuse('EINVAL', 'munmap', range);
  for (const part of parts) victimsIn(part, names);
  const owners = parts.flatMap(({ record: { owner } }) => (owner === undefined ? [] : [owner]));
  for (const { record, start, end } of parts) {
    if (start === record.start && end === record.end) releaseAll(record);
    else releasePart(record, start, end);
  }
  // Only now: a listener may map and unmap as it likes.
  emitAll(owners, 'unmap');
}

/** mprotect(2). Views over pages that can no longer be read are detached. */
export function mprotect(address: Numeric, length: Numeric, protection: number): void {
  const range = rawRange(address, length);
  const bits = int('protection', protection);
  if (!isAligned(range.address)) refuse('EINVAL', 'mprotect', range);
  if ((bits & GROWING) !== 0) {
    throw misuse(
      'UNSUPPORTED',
      'PROT_GROWSDOWN and PROT_GROWSUP change more than the given range',
      {
        argument: 'protection',
        hint: 'pass the whole range without the flag',
      },
    );
  }
  const judge = (): void => {
    // Linux looks at the bits only when there are pages.
    const known = range.length === 0n || (bits & ~PROTECTIONS) === 0;
    if (!known) refuse('EINVAL', 'mprotect', range);
  };
  onEach(range, { syscall: 'mprotect', judge, stops: true }, ({ record, start, end }) => {
    if ((bits & flags.read) === 0) mustBeIdle(record);
    check(native.protect(start, end - start, bits), { address: range.address });
    record.setProtection(start, end, bits);
  });
}

const GROWING = (constants['PROT_GROWSDOWN'] ?? 0) | (constants['PROT_GROWSUP'] ?? 0);

const PROTECTIONS = Object.entries(constants).reduce(
  (bits, [name, value]) => (name.startsWith('PROT_') ? bits | value : bits),
  0,
);

/** msync(2): MS_SYNC waits for the disk, MS_ASYNC does not. Blocks; `Mapping.flush` does not. */
export function msync(address: Numeric, length: Numeric, syncFlags: number): void {
  const range = rawRange(address, length);
  const bits = int('flags', syncFlags);
  if (!isAligned(range.address)) refuse('EINVAL', 'msync', range);
  const judge = (): void => {
    check(native.sync(0, 0, bits));
  };
  // Linux rounds the length up before it looks at it: the last page of lengths wraps to 0.
  if (range.length > 2n ** 64n - BigInt(pageSize)) {
    judge();
    return;
  }
  onEach(range, { syscall: 'msync', judge }, ({ start, end }) => {
    check(native.sync(start, end - start, bits), { address: range.address });
  });
}

/** madvise(2), on owned pages only: advice that destroys contents destroys only one's own. */
export function madvise(address: Numeric, length: Numeric, advice: number): void {
  const range = rawRange(address, length);
  const bits = int('advice', advice);
  if (!isAligned(range.address)) refuse('EINVAL', 'madvise', range);
  refuseWrapped(range, 'madvise');
  if (POISONING.has(bits)) {
    throw misuse('UNSUPPORTED', 'MADV_HWPOISON and MADV_SOFT_OFFLINE act on physical memory', {
      argument: 'advice',
    });
  }
  const judge = (): void => {
    check(native.advise(0, 0, bits));
  };
  onEach(range, { syscall: 'madvise', judge }, ({ record, start, end }) => {
    if (mustStay.has(bits)) mustBeIdle(record);
    check(native.advise(start, end - start, bits), { address: range.address });
  });
}

/** MADV_HWPOISON and MADV_SOFT_OFFLINE of Linux, which fail memory of the whole machine. */
const POISONING: ReadonlySet<number> = new Set(process.platform === 'linux' ? [100, 101] : []);

/** Advice that makes pages unreadable. */
const mustStay: ReadonlySet<number> = new Set(
  ['MADV_GUARD_INSTALL'].flatMap((name) => constants[name] ?? []),
);

/** mlock(2). The address need not be aligned: it is rounded down, as Linux does. */
export function mlock(address: Numeric, length: Numeric): void {
  const range = rawRange(address, length);
  refuseWrapped(range, 'mlock');
  onEach(range, { syscall: 'mlock', stops: true }, ({ start, end }) => {
    check(native.lock(start, end - start, 0), { address: range.address, length: end - start });
  });
}

/** munlock(2). */
export function munlock(address: Numeric, length: Numeric): void {
  const range = rawRange(address, length);
  refuseWrapped(range, 'munlock');
  onEach(range, { syscall: 'munlock', stops: true }, ({ start, end }) => {
    check(native.unlock(start, end - start, 0), { address: range.address, length: end - start });
  });
}

/** mincore(2): one byte a page, whose lowest bit says that the page is in memory. */
export function mincore(address: Numeric, length: Numeric): Uint8Array {
  const range = rawRange(address, length);
  if (!isAligned(range.address)) refuse('EINVAL', 'mincore', range);
  const span = pagesOf(range);
  if (span === undefined) refuse('ENOMEM', 'mincore', range);
  const { parts, whole } = ownedIn(span);
  if (!whole) refuse('ENOMEM', 'mincore', range);
  const states = new Uint8Array((span.end - span.start) / pageSize);
  for (const { start, end } of parts) {
    const first = (start - span.start) / pageSize;
    check(native.residency(start, end - start, states.subarray(first)));
  }
  return states;
}

interface Calling {
  readonly syscall: string;
  /** Asks the kernel about the arguments alone. */
  readonly judge?: () => void;
  /** The kernel does nothing behind the first hole of the range. */
  readonly stops?: boolean;
}

/** The parts from the beginning of the span to its first hole. */
function beforeHole({ start }: Span, parts: readonly Owned[]): Owned[] {
  let at = start;
  return parts.filter((part) => {
    const follows = part.start === at;
    if (follows) at = part.end;
    return follows;
  });
}

/** Runs a call on each owned part of a range; a hole is ENOMEM once the parts are done. */
function onEach(
  range: RawRange,
  { syscall, judge, stops = false }: Calling,
  call: (part: Owned) => void,
): void {
  if (range.length === 0n) {
    judge?.();
    return;
  }
  const span = pagesOf(range);
  const { parts, whole } = span === undefined ? { parts: [], whole: false } : ownedIn(span);
  const reached = stops && span !== undefined ? beforeHole(span, parts) : parts;
  for (const part of reached) call(part);
  if (whole) return;
  judge?.();
  refuse('ENOMEM', syscall, range);
}

/** address + length past 2^64: EINVAL where Linux checks it before it looks for pages. */
function refuseWrapped(range: RawRange, syscall: string): void {
  if (range.address + range.length >= 2n ** 64n) refuse('EINVAL', syscall, range);
}

/**
 * mremap(2). Gives the same Mapping with its new address or length, its views detached first; or a
 * new Mapping where the old one stays (old length 0, MREMAP_DONTUNMAP) or only a part moved.
 * MREMAP_FIXED follows the rule of MAP_FIXED: what it replaces must be owned and named.
 */
export function mremap(
  address: Numeric,
  oldLength: Numeric,
  newLength: Numeric,
  remapFlags: number,
  newAddress: Numeric = 0,
  options?: ReplaceOption,
): Mapping {
  const range = rawRange(address, oldLength);
  const size = raw('newLength', newLength);
  const bits = int('flags', remapFlags);
  const to = raw('newAddress', newAddress);
  return remapRange({ range, size, flags: bits, to }, named(options));
}
