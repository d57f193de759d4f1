// The range of addresses below a Reservation or an Arena: taking it and giving it back.
import { check, native } from '../binding.js';
import { flags } from '../constants.js';
import { collectFaults } from '../faults.js';
import { track, untrack, withRoom } from '../lifetime.js';
import type { Mapping } from '../mapping.js';
import type { Span } from '../page.js';
import { type MappingRecord, type Owner, nextOwner, registry } from '../record.js';
import { inUse } from '../registry.js';
import { emitAll, releaseAll, releasePart } from '../release.js';
import { Reserve } from './reserve.js';
import type { ReservePlan } from './reserve-options.js';

const RESERVED = flags.bit('MAP_PRIVATE') | flags.bit('MAP_ANON') | flags.bit('MAP_NORESERVE');

/** Reserves a range; `wrap` makes the object that owns it. */
export function makeReserve<Wrapped extends Owner>(
  plan: ReservePlan,
  wrap: (reserve: Reserve) => Wrapped,
): Wrapped {
  const { address, exclusive, slack, guard, span, alignment } = plan;
  const ownerId = nextOwner();
  const size = span + 2 * guard + slack;
  const answer = withRoom(() =>
    native.map(ownerId, address, size, 0, RESERVED, -1, 0, 0, exclusive),
  );
  const base = check(answer, exclusive ? inTheWay(address, size) : { length: span, hint: LIMITS });
  // Alignment is bought by asking for too much, and what is too much goes back at once.
  const start = base + ((alignment - ((base + guard) % alignment)) % alignment);
  const end = start + span + 2 * guard;
  if (start > base) check(native.unmap(base, start - base));
  if (end < base + size) check(native.unmap(end, base + size - end));
  check(native.reserve(start, end - start));
  const reserve = new Reserve(ownerId, { start, end }, { start: start + guard, end: end - guard });
  // The kernel has just given these pages: what is noted there was unmapped behind our back.
  for (const stale of registry.reserves.overlapping(start, end)) registry.reserves.remove(stale);
  registry.reserves.insert(reserve);
  const wrapped = wrap(reserve);
  track(wrapped, reserve);
  return wrapped;
}

const LIMITS = 'RLIMIT_AS (ulimit -v) limits the address space, reserved or not';

const inTheWay = (address: number, size: number) => ({
  address: BigInt(address),
  length: size,
  conflicts: registry.ownersIn(address, address + size),
  hint: 'the range is in use, and exclusive placement never replaces',
});

/** Unmaps everything that lies in it and gives the range back. */
export function releaseReserve(reserve: Reserve): void {
  if (reserve.state === 'released') return;
  const { start, end } = reserve;
  const { gone, failure } = unmapIn({ start, end });
  try {
    if (failure !== undefined) throw failure.error;
    check(native.release(start, end - start));
    reserve.state = 'released';
    registry.reserves.remove(reserve);
    untrack(reserve);
  } finally {
    // Only now: a listener may place and release as it likes.
    emitAll(gone, 'unmap');
  }
}

/** Unmaps what lies in pages of a reservation. */
export function vacateReserve(span: Span): void {
  const { gone, failure } = unmapIn(span);
  emitAll(gone, 'unmap');
  if (failure !== undefined) throw failure.error;
}

interface Unmapped {
  readonly gone: readonly Mapping[];
  readonly failure: { readonly error: unknown } | undefined;
}

/** Parts of mappings go first: only a part can be refused. */
function unmapIn(span: Span): Unmapped {
  collectFaults();
  const entries = registry.entriesIn(span.start, span.end);
  for (const { busy } of entries) if (busy !== undefined) throw inUse(busy);
  const isWhole = (record: MappingRecord): boolean =>
    span.start <= record.start && record.end <= span.end;
  const gone: Mapping[] = [];
  const take = (record: MappingRecord): void => {
    const { owner } = record;
    if (isWhole(record)) releaseAll(record);
    else releasePart(record, Math.max(record.start, span.start), Math.min(record.end, span.end));
    if (owner !== undefined) gone.push(owner);
  };
  try {
    for (const record of entries) if (!isWhole(record)) take(record);
    for (const record of entries) if (isWhole(record)) take(record);
  } catch (error) {
    return { gone, failure: { error } };
  }
  return { gone, failure: undefined };
}
