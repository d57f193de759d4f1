// What the addon exports, in types. Only binding.ts has it; what it answers passes through there.
import type { ConstantTable } from './flags.js';
import type { Survey } from './looking/survey.js';

/** What C++ answers instead of a value. */
export interface Failure {
  readonly errno: number;
  readonly syscall: string;
  readonly refusal?:
    | 'foreign'
    | 'retired'
    | 'unnamed'
    | 'argument'
    | 'no-external'
    | 'no-shared'
    | 'busy'
    | 'limit'
    | 'unreadable'
    | 'fault'
    | 'placed'
    | 'private'
    | 'no-way-back';
  readonly at?: number;
  readonly destroyed?: true;
}

export type Maybe<Value> = Value | Failure;
type Nothing = Maybe<undefined>;

/** A descriptor, closed at the latest when nobody can reach it or its thread ends. */
export interface Handle {
  readonly handle: unique symbol;
}

/** Addresses are page-aligned numbers, lengths and offsets whole numbers of bytes. */
export interface Native {
  readonly constants: ConstantTable;
  readonly pageSize: number;
  map(
    owner: number,
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
    treatment: number,
    exclusive: boolean,
  ): Maybe<number>;
  overlay(
    owner: number,
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
    treatment: number,
    owners: Float64Array,
    keep: number,
  ): Nothing;
  unmap(address: number, length: number): Maybe<boolean>;
  unmapCollected(address: number, length: number): Nothing;
  /** Makes a reserve of a whole, inaccessible mapping; gives its vacant pages back; asks for them. */
  reserve(address: number, length: number): Nothing;
  release(address: number, length: number): Nothing;
  isVacant(address: number, length: number): Maybe<boolean>;
  protect(address: number, length: number, protection: number): Nothing;
  advise(address: number, length: number, advice: number): Nothing;
  sync(address: number, length: number, flags: number): Nothing;
  syncAsync(address: number, length: number, flags: number): Maybe<Promise<Nothing>>;
  lock(address: number, length: number, unused: number): Nothing;
  lockAsync(address: number, length: number, unused: number): Maybe<Promise<Nothing>>;
  unlock(address: number, length: number, unused: number): Nothing;
  populate(address: number, length: number, write: number): Nothing;
  populateAsync(address: number, length: number, write: number): Maybe<Promise<Nothing>>;
  residency(address: number, length: number, states: Uint8Array): Nothing;
  copyOut(base: number, offset: number, target: Uint8Array): Nothing;
  copyOutAsync(base: number, offset: number, target: Uint8Array): Maybe<Promise<Maybe<number>>>;
  copyIn(base: number, offset: number, source: Uint8Array): Nothing;
  copyInAsync(base: number, offset: number, source: Uint8Array): Maybe<Promise<Maybe<number>>>;
  detach(address: number, length: number): Nothing;
  view(base: number, offset: number, length: number): Maybe<Buffer>;
  /** Of a reserve, over whatever lies in it. */
  reserveView(base: number, offset: number, length: number): Maybe<Buffer>;
  sharedView(base: number, offset: number, length: number): Maybe<SharedArrayBuffer>;
  grow(address: number, length: number, newLength: number, mayMove: boolean): Maybe<number>;
  remap(
    owner: number,
    from: number,
    oldLength: number,
    newLength: number,
    flags: number,
    to: number,
    owners: Float64Array,
  ): Maybe<number>;
  /** Rows of begin, end, protection, shared, offset, inode. */
  regions(address: number, length: number): Maybe<Float64Array>;
  /** Fills in size, inode, device, regular, stable inode. */
  fileStatus(fd: number, row: Float64Array): Nothing;
  allocateFile(fd: number, size: number, blocks: boolean): Nothing;
  allocateFileAsync(fd: number, size: number, blocks: boolean): Maybe<Promise<Nothing>>;
  loadFile(fd: number, offset: number, address: number, length: number): Maybe<number>;
  loadFileAsync(
    fd: number,
    offset: number,
    address: number,
    length: number,
  ): Maybe<Promise<Maybe<number>>>;
  /** A message digest of OpenSSL; undefined where that cannot be reached or does not know the name. */
  openDigest(name: string): Maybe<object> | undefined;
  updateDigestAsync(
    digest: object,
    base: number,
    offset: number,
    length: number,
  ): Maybe<Promise<Nothing>>;
  finishDigest(digest: object): Maybe<Uint8Array>;
  /** Shared memory by name. Every descriptor that is given is new. */
  shmOpen(name: string, writable: boolean): Maybe<Handle>;
  /** Without a name one that shmPublish gives. */
  shmCreate(name: string, mode: number): Maybe<Handle>;
  shmPublish(fd: number, temporary: string, name: string): Nothing;
  shmCanPublish(): boolean;
  shmUnlink(name: string): Nothing;
  /** Those that a string can be. */
  shmNames(): Maybe<string[]>;
  /** Fills in size, inode, device, links, mode, user, group, access, mark, changed. */
  shmStatus(fd: number, row: Float64Array): Nothing;
  shmNamed(name: string, row: Float64Array): Nothing;
  memoryFile(): Maybe<Handle>;
  canHold(size: number): Nothing;
  seals(fd: number): Maybe<number>;
  addSeals(fd: number, bits: number): Nothing;
  duplicate(fd: number): Maybe<Handle>;
  reopen(fd: number, writable: boolean): Maybe<Handle>;
  openOfProcess(pid: number, fd: number, writable: boolean): Maybe<Handle>;
  /** Kind 0 none, 1 shared, 2 exclusive; of the open file, never waits. */
  lockRange(fd: number, kind: number, start: number, length: number): Nothing;
  lockPresence(fd: number, kind: number): Nothing;
  /** 0: nobody has it open through memmap; 1: somebody has; 2: it is being removed. */
  presenceOf(fd: number): Maybe<number>;
  /** Excludes others who remove its name. */
  lockRemoval(fd: number, kind: number): Nothing;
  markAndReap(fd: number, program: string, temporary: string, name: string): Nothing;
  /** Of the reapers that are children of this process; gives how many have not ended. */
  waitForReapers(): number;
  /** -1 once it is closed. */
  descriptorOf(handle: Handle): Maybe<number>;
  closeDescriptor(handle: Handle): Nothing;
  /** The first owner id of a registry; the next 2^32 are its own. */
  allocateOwnerIds(): number;
  /** Installs the handler, or again where somebody else has; `deliver` is called after a fault. */
  startGuard(owner: number, deliver: () => void): Nothing;
  /** Rows of address, kind, signal, thread, file offset, length, count, Unix milliseconds; each once. */
  /** Its only element grows with every fault of the process. */
  faultCount(): Uint32Array | undefined;
  takeFaults(owner: number): Float64Array | undefined;
  discardStrays(address: number, length: number): Nothing;
  restoreAsync(address: number, length: number): Maybe<Promise<Nothing>>;
  /** Rows of begin, end, kind, stray. */
  damaged(address: number, length: number): Maybe<Float64Array>;
  /** Rows of begin, end, late: inaccessible pages that native code met and that were made accessible. */
  openedLate(address: number, length: number): Maybe<Float64Array>;
  /** Installed at all, the kernel's handler of SIGBUS, of SIGSEGV; then the watched addresses. */
  guardStatus(): Float64Array;
  reap(all: boolean): Maybe<number>;
  retired(): Float64Array;
  ownedRanges(): Float64Array;
  /** A process's regions, as lib/looking/survey.ts reads them. Process 0 is this one, also below. */
  regionTable(pid: number): Maybe<Survey>;
  /** Fills in the row of the region of this process that holds the address, and gives its name. */
  locate(address: number, row: Float64Array): Maybe<string | undefined>;
  /** Rows of begin, end, resident, dirty, swapped, huge; NaN where that is not known. */
  usage(pid: number): Maybe<Float64Array>;
  /** The same for parts of regions, given as begin, end, begin, end... */
  pageUsage(pid: number, ranges: Float64Array): Maybe<Float64Array>;
  /** Pairs of a thread's number and an address in its stack, 0 where that is not known. */
  threadStacks(pid: number): Maybe<Float64Array>;
  programPath(pid: number): Maybe<string>;
  /** The first address that can be mapped; how many regions there may be, 0 for no limit known; RLIMIT_AS or 0. */
  limits(): Float64Array;
  /** A copy of the LD_PRELOAD helper's table, see lib/looking/trace-table.ts. */
  traceTable(): ArrayBuffer | undefined;
  /** Words and cells at base + offset. 0: woken, or for no reason; 1: another value; 2: the time is up. */
  futexWait(base: number, offset: number, value: number, nanoseconds: number): Maybe<number>;
  futexWake(base: number, offset: number, count: number): Maybe<number>;
  /** Where `deliver` is called when letters have come. */
  createCompletionQueue(deliver: () => void): Maybe<number>;
  refCompletionQueue(mailbox: number, alive: boolean): Nothing;
  /** Pairs of an id and how it ended: 0 woken, 1 the memory has gone, 2 it cannot be read. */
  takeCompletions(mailbox: number): Float64Array;
  /** 1: another value; 2: asleep, and a letter will come. */
  waitAsync(
    base: number,
    offset: number,
    value: number,
    mailbox: number,
    id: number,
  ): Maybe<number>;
  /** Whether it had been woken; `passesOn`: the next one gets that wake-up. */
  cancelWait(mailbox: number, id: number, passesOn: boolean): Maybe<boolean>;
  /** 0 taken, 1 inherited, 2 held by another thread, 3 by this one, 4 the thread holds too many. */
  tryLockRobust(base: number, offset: number, crowded: boolean): Maybe<number>;
  /** 0 left, 1 not held by this thread, 2 somebody else has written over it, 3 left and woke one. */
  unlockRobust(base: number, offset: number, died: boolean): Maybe<number>;
  waitRobust(base: number, offset: number, value: number, nanoseconds: number): Maybe<number>;
  createWeakRef(object: object): number;
  derefWeakRef(handle: number): object | undefined;
  deleteWeakRef(handle: number): void;
  /** Holds one object for the life of the environment, in place of the last one. */
  setStrongRef(object: object | undefined): void;
}
