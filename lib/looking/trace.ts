// The life of a process as `memmap run` saw it: from the helper's table to data.
import { getSystemErrorMap } from 'node:util';
import type { RegionJson } from './region.js';
import { replay, unexplained } from './replay.js';
import type { TraceCall, TraceTable, Verdict } from './trace-table.js';

/** One call that the helper saw. Addresses are hexadecimal; lengths and offsets are in bytes. */
export interface TraceEvent {
  /** Milliseconds since the start, with a fraction. */
  time: number;
  /** The system's number for the thread. */
  thread: number;
  /** Path of the library that called, '[anonymous]' for code that is in no file. */
  caller: string;
  /** mmap64 is mmap. */
  call: TraceCall;
  /** As asked. */
  address: string;
  /** As asked; of mremap the old one. */
  length: number;
  /** mremap: what it shall be. */
  newLength?: number;
  /** mremap with MREMAP_FIXED: where it shall be. */
  newAddress?: string;
  /** PROT_* of mmap and mprotect. */
  protection?: number;
  /** MAP_* of mmap, MREMAP_* of mremap. */
  flags?: number;
  /** MADV_* of madvise. */
  advice?: number;
  /** mmap of a file: its descriptor. */
  fd?: number;
  /** mmap of a file: where in it. */
  offset?: number;
  /** An address, '0x0' for success of the others; null where it failed. */
  result: string | null;
  /** Why it failed: 'EEXIST'. */
  error?: string;
  /** What the helper did about it. */
  verdict: Verdict;
}

/** The life of a process. */
export interface Trace {
  /** Of this format. */
  version: 1;
  /** The process. */
  pid: number;
  /** What was run. */
  command: string[];
  /** When, in ISO 8601. */
  started: string;
  /** Milliseconds from the first to the last that is known of it. */
  durationMs: number;
  /** Bytes. */
  pageSize: number;
  /** In the order of time. */
  events: TraceEvent[];
  /** Calls for which there was no room. */
  lost: number;
  /** The kernel's own list at some moments, ascending. */
  snapshots: TraceSnapshot[];
  /** What no event explains of the last of them. */
  unseen: Unseen;
}

/** The kernel's own list at one moment. */
export interface TraceSnapshot {
  /** Milliseconds since the start. */
  time: number;
  /** By address. */
  regions: RegionJson[];
}

/** What is in the kernel's list and in no event: libc's own calls, system calls made directly. */
export interface Unseen {
  /** How many regions, wholly or in part. */
  regions: number;
  /** How many bytes of them. */
  bytes: number;
}

const hex = (address: number): string => `0x${address.toString(16)}`;

const nameOf = (errno: number): string =>
  getSystemErrorMap().get(errno)?.[0] ?? `errno ${String(-errno)}`;

/** One record as data. */
export function eventOf(table: TraceTable, index: number): TraceEvent {
  const call = table.call(index);
  const result = table.result(index);
  const fd = call === 'mmap' ? table.fd(index) : -1;
  const newAddress = call === 'mremap' ? table.newAddress(index) : 0;
  return {
    time: table.time(index) / 1e6,
    thread: table.thread(index),
    caller: table.library(index),
    call,
    address: table.addressText(index),
    length: table.length(index),
    ...(call === 'mremap' && { newLength: table.more(index) }),
    ...(newAddress !== 0 && { newAddress: hex(newAddress) }),
    ...((call === 'mmap' || call === 'mprotect') && { protection: table.protection(index) }),
    ...((call === 'mmap' || call === 'mremap') && { flags: table.flags(index) }),
    ...(call === 'madvise' && { advice: table.protection(index) }),
    ...(fd >= 0 && { fd, offset: table.more(index) }),
    result: result < 0 ? null : hex(result),
    ...(result < 0 && { error: nameOf(result) }),
    verdict: table.verdict(index),
  };
}

/** What is known of a process beside its table. */
export interface TraceContext {
  readonly command: readonly string[];
  readonly durationMs: number;
  readonly snapshots: Trace['snapshots'];
}

/** A trace without what is long: its events, the kernel's lists. */
export type TraceHead = Omit<Trace, 'events' | 'snapshots'>;

/** `unseen` is what no event explains of the last list. */
export function headOf(
  table: TraceTable,
  { command, durationMs }: Pick<TraceContext, 'command' | 'durationMs'>,
  unseen: Unseen,
): TraceHead {
  return {
    version: 1,
    pid: table.pid,
    command: [...command],
    started: new Date(table.started).toISOString(),
    durationMs,
    pageSize: table.pageSize,
    lost: table.lost,
    unseen,
  };
}

/** All of it. */
export function traceOf(table: TraceTable, context: TraceContext): Trace {
  const order = table.order();
  const { explained } = replay(table, order);
  const unseen = unexplained(explained, context.snapshots.at(-1)?.regions ?? []);
  const events = Array.from(order, (index) => eventOf(table, index));
  return { ...headOf(table, context, unseen), snapshots: context.snapshots, events };
}
