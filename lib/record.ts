// The registry's record of one mapping: where it is and what it is. Shared by the verbs; must
// never hold its Mapping once that is older than a turn of the event loop.
import { native } from './binding.js';
import { type Access, type Protection } from './flags.js';
import { flags } from './constants.js';
import type { FaultRecord } from './faults.js';
import type { Arena } from './reservation/arena.js';
import type { Mapping } from './mapping.js';
import { misuse } from './errors.js';
import type { Reservation } from './reservation/reservation.js';
import type { Reserve } from './reservation/reserve.js';
import type { Span } from './page.js';
import type { Descriptor } from './shared/descriptor.js';
import { type Entry, Registry } from './registry.js';

/** Whether the memory is still the mapping's own. */
export type MappingState = 'mapped' | 'replaced' | 'unmapped';

/** What is mapped: a file's bytes, or none. */
export interface Contents {
  readonly access: Access;
  readonly protection: number;
  readonly shared: boolean;
  readonly path: string | undefined;
  /** Offset in the file of the mapping's first byte. */
  readonly fileOffset: number;
  /** Inode in the kernel's list; 0 for anonymous memory, -1 where it cannot be known. */
  readonly inode: number;
  /** Inode and device that fstat tells; -1 for anonymous memory. */
  readonly fileInode: number;
  readonly fileDevice: number;
  /** Bytes that the file had when it was mapped, resized or reloaded. */
  readonly fileSize?: number;
  readonly backing: 'kernel' | 'copy';
  /** A device: the kernel shows another offset once it has moved. */
  readonly device?: boolean;
  /** It cannot become shorter: a memfd that is sealed against it. */
  readonly sealed?: boolean;
  /** Of shared memory. */
  readonly origin?: Descriptor;
}

/** A run of pages with one protection, where a mapping has several. */
export interface ProtectedRun {
  readonly start: number;
  readonly end: number;
  readonly protection: number;
}

/** A fault that is not told yet. Claimed: a guarded call will throw it. */
export interface Untold {
  readonly fault: FaultRecord;
  readonly claimed: boolean;
}

/** Faults since it was mapped or repaired; those that nobody was told of; the guarded calls. */
export interface FaultLog {
  faults: FaultRecord[];
  untold: Untold[];
  readonly scopes: Set<FaultRecord[]>;
}

/** The reservation that a mapping lies in: its pages go back there. */
export interface Home extends Span {
  /** The Reservation or Arena, if somebody can still reach it. */
  readonly owner: Reservation | Arena | undefined;
  /** Names the owner to C++. */
  readonly ownerId: number;
  readonly state: 'reserved' | 'released';
  /** An arena's: pages were given back; `now` when nobody can be reading them any more. */
  readonly freed: ((span: Span, now: boolean) => void) | undefined;
}

/** Where a mapping is, in pages, and which of their bytes were asked for. */
export interface Place {
  /** Kept across fork. */
  readonly inherit?: boolean;
  /** Faults under its Buffers are mended. */
  readonly guarded?: boolean;
  readonly home?: Home | undefined;
  readonly start: number;
  readonly end: number;
  readonly lead: number;
  readonly length: number;
  /** Bytes that it may have without moving: the option maxLength. */
  readonly capacity?: number | undefined;
  readonly contents: Contents;
}

/** The addon may serve several registries in one thread: test runners load modules afresh. */
export const firstOwner = native.allocateOwnerIds();

let lastOwner = firstOwner;

/** Names a new owner to C++. */
export const nextOwner = (): number => ++lastOwner;

//   start        start + lead          start + lead + length       end
//     |  hidden  |=====  the bytes that were asked for  =====| hidden |
//     page                                                       page
export class MappingRecord implements Entry<Mapping> {
  /** Names the owner to C++. The parts of a split mapping keep it. */
  readonly ownerId: number;
  start: number;
  end: number;
  lead: number;
  length: number;
  /** Bytes that its pages have room for, where those are more than `length` needs. */
  readonly capacity: number | undefined;
  contents: Contents;
  readonly inherit: boolean;
  readonly guarded: boolean;
  /** Changes where mremap moves it into one. */
  home: Home | undefined;
  state: MappingState = 'mapped';
  /** The Mapping itself in its first turn, then a weak handle. */
  strong: Mapping | undefined = undefined;
  weak = -1;
  pins = 0;
  /** Calls on the thread pool that need it, and what the last of them is called. */
  works = 0;
  pending: string | undefined = undefined;
  /** Most mappings never need one. */
  #log: FaultLog | undefined = undefined;
  #holds = 0;
  #held: Mapping | undefined = undefined;
  runs: readonly ProtectedRun[] | undefined = undefined;

  constructor(
    { start, end, lead, length, capacity, contents, inherit, guarded, home }: Place,
    ownerId?: number,
  ) {
    this.start = start;
    this.end = end;
    this.lead = lead;
    this.length = length;
    this.capacity = capacity;
    this.contents = contents;
    this.inherit = inherit ?? false;
    this.guarded = guarded ?? false;
    this.home = home;
    this.ownerId = ownerId ?? nextOwner();
  }

  /** What is known of its faults. */
  get log(): FaultLog {
    return (this.#log ??= { faults: [], untold: [], scopes: new Set() });
  }

  get owner(): Mapping | undefined {
    const known = this.strong ?? this.#held;
    if (known !== undefined || this.weak < 0) return known;
    return native.derefWeakRef(this.weak) as Mapping | undefined;
  }

  /** Keeps the Mapping from being collected until letGo() was called as often. */
  hold(): void {
    this.#holds++;
    this.#held ??= this.owner;
  }

  letGo(): void {
    if (--this.#holds === 0) this.#held = undefined;
  }

  get busy(): string | undefined {
    if (this.pins > 0) return `it is pinned ${String(this.pins)} time(s)`;
    return this.works > 0 ? this.pending : undefined;
  }

  /** Address of the first byte that was asked for. */
  get address(): number {
    return this.start + this.lead;
  }

  /** Runs of equal protection that cover the pages, ascending. */
  protections(): readonly ProtectedRun[] {
    const { start, end, contents } = this;
    return this.runs ?? [{ start, end, protection: contents.protection }];
  }

  setProtection(start: number, end: number, protection: number): void {
    if (start === end) return;
    const outside = this.protections().flatMap((run) => [
      { ...run, end: Math.min(run.end, start) },
      { ...run, start: Math.max(run.start, end) },
    ]);
    const runs = [...outside, { start, end, protection }].filter((run) => run.start < run.end);
    this.setRuns(runs.sort((a, b) => a.start - b.start));
  }

  /** Runs that cover the pages, ascending. */
  setRuns(runs: readonly ProtectedRun[]): void {
    const protection = runs[0]?.protection ?? this.contents.protection;
    const uniform = runs.every((run) => run.protection === protection);
    this.runs = uniform ? undefined : runs;
    if (uniform) this.contents = { ...this.contents, protection };
  }

  /** The runs of pages [from.start, from.end) as they are once moved to `to`; grown at its end. */
  runsMoved(from: Span, to: Span): ProtectedRun[] {
    const by = to.start - from.start;
    const moved = this.protections()
      .filter((run) => run.start < from.end && run.end > from.start)
      .map(({ start, end, protection }) => ({
        start: Math.max(start, from.start) + by,
        end: Math.min(end, from.end) + by,
        protection,
      }))
      .filter((run) => run.start < to.end);
    const last = moved.pop();
    return last === undefined ? [] : [...moved, { ...last, end: to.end }];
  }

  get protectionWord(): Protection | 'mixed' {
    return this.runs === undefined ? flags.protectionWord(this.contents.protection) : 'mixed';
  }

  /** True when every page of [start, end) allows all of `bits`. */
  allows(bits: number, start: number, end: number): boolean {
    if (this.runs === undefined) return (this.contents.protection & bits) === bits;
    return this.runs.every(
      (run) => run.end <= start || run.start >= end || (run.protection & bits) === bits,
    );
  }
}

/** How the addon is to treat a mapping: the bits of map() and overlay(). */
export function treatment(
  { inherit, guarded }: { readonly inherit: boolean; readonly guarded: boolean },
  contents: Contents,
): number {
  return (inherit ? 1 : 0) | (guarded ? 2 : 0) | (contents.sealed === true ? 4 : 0);
}

/** Whoever owns a range of addresses. */
export type Owner = Mapping | Reservation | Arena;

/** What this thread owns. */
export const registry = new Registry<Owner, MappingRecord, Reserve>();

/** Names to C++ whoever may be overwritten: some mappings, and the reserve they lie in. */
export function ownersOf(victims: readonly MappingRecord[], home: Home | undefined): Float64Array {
  const ids = victims.map(({ ownerId }) => ownerId);
  return Float64Array.from(home === undefined ? ids : [...ids, home.ownerId]);
}

/** The reservation that all of these pages lie in. A range that crosses its edge is refused. */
export function homeOf({ start, end }: Span): Reserve | undefined {
  if (registry.reserves.size === 0) return undefined;
  const [first, second] = registry.reserves.overlapping(start, end);
  if (first === undefined) return undefined;
  const inside = first.inner.start <= start && end <= first.inner.end;
  if (inside && second === undefined) return first;
  throw misuse('UNSUPPORTED', 'the range crosses the edge of a reservation', {
    address: BigInt(start),
    length: end - start,
    conflicts: first.owner === undefined ? [] : [first.owner],
    hint: 'a mapping lies in a reservation entirely or not at all',
  });
}
