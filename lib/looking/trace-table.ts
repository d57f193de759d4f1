// The table of the LD_PRELOAD helper, as native/interpose/trace_buffer.h lays it out: its head is written
// here, its records are read here. Pure: knows no addon.
import { misuse } from '../errors.js';

const MAGIC = 0x6e75722d6d656d6dn;
const VERSION = 1;
const RECORD_SIZE = 64;
const CONFIGURED = 64;
const NAMES = 1024;
const NAME_SIZE = 256;
const MOST_NAMES = 256;
const RECORDS = 131072;
const COMPLETE = 0x656e6f64;

export const PROTECT_MODES = ['off', 'report', 'refuse'] as const;
export type ProtectMode = (typeof PROTECT_MODES)[number];
export const POLICIES = ['kernel', 'first-fit', 'best-fit', 'top-down'] as const;
export type Policy = (typeof POLICIES)[number];
/** What the helper of `memmap run` sees. */
export type TraceCall = 'mmap' | 'munmap' | 'mremap' | 'mprotect' | 'madvise';
export const CALLS: readonly TraceCall[] = ['mmap', 'munmap', 'mremap', 'mprotect', 'madvise'];
/** What the helper did about a call: let it be, placed it, reported it, refused it. */
export type Verdict = 'done' | 'placed' | 'reported' | 'refused';
export const VERDICTS: readonly Verdict[] = ['done', 'placed', 'reported', 'refused'];

/** What the helper is to do. */
export interface TableOptions {
  readonly events: number;
  readonly pageSize: number;
  readonly protect: ProtectMode;
  readonly policy: Policy;
  /** 0: anywhere. */
  readonly base: bigint;
  readonly arena: number;
  readonly children: boolean;
}

/** Bytes of a table with room for so many events. */
export const tableSize = (events: number): number => RECORDS + events * RECORD_SIZE;

/** Bytes before the first record, and how many bytes of a file are in use, by these. */
export const headSize = RECORDS;
export function usedSize(head: Uint8Array): number {
  const table = new TraceTable(head);
  return tableSize(Math.min(table.begun, table.ready));
}

/** The first bytes of a new table; the rest of it is zeros. */
export function tableHead(options: TableOptions): Uint8Array {
  const bytes = new Uint8Array(CONFIGURED);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, MAGIC, true);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, RECORD_SIZE, true);
  view.setBigUint64(16, BigInt(options.events), true);
  view.setBigUint64(24, BigInt(options.pageSize), true);
  view.setUint32(32, PROTECT_MODES.indexOf(options.protect), true);
  view.setUint32(36, POLICIES.indexOf(options.policy), true);
  view.setBigUint64(40, options.base, true);
  view.setBigUint64(48, BigInt(options.arena), true);
  view.setUint32(56, options.children ? 1 : 0, true);
  return bytes;
}

const bad = (why: string): Error =>
  misuse('ARGUMENT', `this is no trace of memmap run: ${why}`, { argument: 'table' });

/** An unsigned number of 64 bits: exact up to 2^53, which no address of a program reaches. */
const wide = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);

/** The head of a table, and its records by their place in it. */
export class TraceTable {
  readonly #view: DataView;
  readonly libraries: readonly string[];
  readonly capacity: number;
  readonly pageSize: number;
  /** Of what was asked for. */
  readonly policy: Policy;
  readonly protect: ProtectMode;
  /** 0: no process ever came; the helper was not loaded. */
  readonly pid: number;
  /** How many programs ran in the process, one after another; the records are the last one's. */
  readonly images: number;
  /** Unix milliseconds. */
  readonly started: number;
  /** Nanoseconds of the monotonic clock. */
  readonly startedAt: bigint;
  /** The same; undefined where the process did not get to its end. */
  readonly endedAt: bigint | undefined;
  readonly arena: { readonly start: number; readonly length: number; readonly errno: number };
  /** Calls that the arena had no room for, and calls that could not be checked. */
  readonly full: number;
  readonly unchecked: number;
  /** First record, and the one after the last. */
  readonly first: number;
  readonly end: number;
  /** Records that were begun, whether there was room for them or not. */
  readonly begun: number;
  /** Records for which the disk had room; more are made ready when they are needed. */
  readonly ready: number;
  readonly #lost: number;
  readonly #from: readonly [number, number];

  constructor(bytes: Uint8Array) {
    if (bytes.byteLength < RECORDS) throw bad(`${String(bytes.byteLength)} bytes are too few`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = view;
    if (view.getBigUint64(0, true) !== MAGIC) throw bad('it begins differently');
    const version = view.getUint32(8, true);
    if (version !== VERSION) throw bad(`version ${String(version)} is not known`);
    if (view.getUint32(12, true) !== RECORD_SIZE) throw bad('its records have another size');
    this.capacity = wide(view, 16);
    this.pageSize = wide(view, 24);
    if (!(this.pageSize > 0 && Number.isInteger(Math.log2(this.pageSize)))) {
      throw bad(`${String(this.pageSize)} is no page size`);
    }
    this.protect = PROTECT_MODES[view.getUint32(32, true)] ?? 'off';
    this.policy = POLICIES[view.getUint32(36, true)] ?? 'kernel';
    this.pid = view.getUint32(64, true);
    this.images = view.getUint32(68, true);
    this.startedAt = view.getBigUint64(72, true);
    this.#from = [view.getUint32(72, true), view.getUint32(76, true)];
    this.started = Number(view.getBigUint64(80, true) / 1_000_000n);
    const ended = view.getBigUint64(88, true);
    this.endedAt = ended === 0n ? undefined : ended;
    this.arena = {
      start: wide(view, 104),
      length: wide(view, 112),
      errno: view.getUint32(120, true),
    };
    this.#lost = wide(view, 136);
    this.full = wide(view, 144);
    this.unchecked = wide(view, 152);
    const room = Math.floor((bytes.byteLength - RECORDS) / RECORD_SIZE);
    this.begun = wide(view, 128);
    this.ready = Math.min(wide(view, 176), this.capacity);
    this.end = Math.min(this.begun, this.ready, room);
    this.first = Math.min(wide(view, 96), this.end);
    this.libraries = this.#readLibraries(view.getUint32(124, true));
  }

  #readLibraries(count: number): string[] {
    return Array.from({ length: Math.min(count, MOST_NAMES) }, (_, index) => {
      const at = NAMES + index * NAME_SIZE;
      const length = Math.min(this.#view.getUint16(at, true), NAME_SIZE - 2);
      const { buffer, byteOffset } = this.#view;
      return Buffer.from(buffer, byteOffset + at + 2, length).toString('utf8');
    });
  }

  /** Records that are not there: for want of room, or cut off while they were written. */
  get lost(): number {
    let unfinished = 0;
    for (let index = this.first; index < this.end; index++) {
      if (!this.isComplete(index)) unfinished++;
    }
    return Math.max(this.#lost, unfinished);
  }

  #at(index: number): number {
    return RECORDS + index * RECORD_SIZE;
  }

  /** Written to its end, and one that the helper can have written. */
  isComplete(index: number): boolean {
    const at = this.#at(index);
    const call = this.#view.getUint8(at + 54);
    const verdict = this.#view.getUint8(at + 55);
    return (
      this.#view.getUint32(at + 60, true) === COMPLETE &&
      call >= 1 &&
      call <= CALLS.length &&
      verdict >= 1 &&
      verdict <= VERDICTS.length
    );
  }

  /** Nanoseconds since the start. */
  time(index: number): number {
    const at = this.#at(index);
    const [low, high] = this.#from;
    const seconds = (this.#view.getUint32(at + 4, true) - high) * 2 ** 32;
    return Math.max(0, seconds + this.#view.getUint32(at, true) - low);
  }

  call(index: number): TraceCall {
    return CALLS[this.#view.getUint8(this.#at(index) + 54) - 1] ?? 'mmap';
  }

  verdict(index: number): Verdict {
    return VERDICTS[this.#view.getUint8(this.#at(index) + 55) - 1] ?? 'done';
  }

  library(index: number): string {
    return this.libraries[this.#view.getUint16(this.#at(index) + 52, true) - 1] ?? '[unknown]';
  }

  thread(index: number): number {
    return this.#view.getUint32(this.#at(index) + 48, true);
  }

  /** As asked; a number above 2^53 is garbage that somebody handed over, and exact only as text. */
  address(index: number): number {
    return wide(this.#view, this.#at(index) + 8);
  }

  addressText(index: number): string {
    return `0x${this.#view.getBigUint64(this.#at(index) + 8, true).toString(16)}`;
  }

  length(index: number): number {
    return wide(this.#view, this.#at(index) + 16);
  }

  /** An address or 0, or -errno. */
  result(index: number): number {
    const at = this.#at(index) + 24;
    return this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  /** mmap: the offset; mremap: the new length. */
  more(index: number): number {
    return wide(this.#view, this.#at(index) + 32);
  }

  newAddress(index: number): number {
    return wide(this.#view, this.#at(index) + 40);
  }

  /** madvise: the advice. */
  protection(index: number): number {
    return this.#view.getInt32(this.#at(index) + 40, true);
  }

  fd(index: number): number {
    return this.#view.getInt32(this.#at(index) + 44, true);
  }

  flags(index: number): number {
    return this.#view.getInt32(this.#at(index) + 56, true);
  }

  /** The complete records in the order of time. */
  order(): Uint32Array {
    const times = new Float64Array(this.end);
    const found = new Uint32Array(this.end - this.first);
    let count = 0;
    let sorted = true;
    let latest = 0;
    for (let index = this.first; index < this.end; index++) {
      if (!this.isComplete(index)) continue;
      const time = this.time(index);
      sorted &&= time >= latest;
      latest = time;
      times[index] = time;
      found[count++] = index;
    }
    const order = found.subarray(0, count);
    if (!sorted) order.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b);
    return order;
  }
}
