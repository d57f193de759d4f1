// The JSON that the commands print and that the page is given. Types only: the page's own sources read them, too.

/** Whose memory a region is. */
export type OwnerKind =
  | 'mapping'
  | 'reservation'
  | 'retired'
  | 'v8-heap'
  | 'v8-code'
  | 'v8-cage'
  | 'wasm'
  | 'executable'
  | 'library'
  | 'stack'
  | 'thread-stack'
  | 'libc-heap'
  | 'libc-arena'
  | 'kernel'
  | 'file'
  | 'shared-memory'
  | 'guard'
  | 'anonymous';

/** One region; addresses in hexadecimal, sizes in bytes, half-open. */
export interface RegionJson {
  start: string;
  end: string;
  length: number;
  /** 'rwx', with '-' for what is not allowed. */
  protection: string;
  shared: boolean;
  path?: string;
  offset: number;
  inode: number;
  device: string;
  owner: { kind: OwnerKind; label: string; certain: boolean };
  resident?: number;
  dirty?: number;
  swapped?: number;
  hugePages?: number;
}

/** One call that the helper of `memmap run` saw. */
export interface TraceEvent {
  /** Milliseconds since the start. */
  time: number;
  thread: number;
  /** The path of the library that called. */
  caller: string;
  call: 'mmap' | 'munmap' | 'mremap' | 'mprotect' | 'madvise';
  address: string;
  length: number;
  newLength?: number;
  newAddress?: string;
  protection?: number;
  flags?: number;
  advice?: number;
  fd?: number;
  offset?: number;
  /** An address, or null where the call failed. */
  result: string | null;
  error?: string;
  verdict: 'done' | 'placed' | 'reported' | 'refused';
}

/** The regions at one moment. */
export interface Snapshot {
  time: number;
  regions: RegionJson[];
}

/** The life of a process, as `memmap run --trace` writes it. */
export interface Trace {
  version: 1;
  pid: number;
  command: string[];
  started: string;
  durationMs: number;
  pageSize: number;
  events: TraceEvent[];
  lost: number;
  snapshots: Snapshot[];
  unseen: { regions: number; bytes: number };
}

/** What the page draws. */
export interface PageData {
  title: string;
  pid: number;
  command: string;
  /** When, in ISO 8601. */
  taken: string;
  pageSize: number;
  regions: RegionJson[];
  trace?: Trace;
}
