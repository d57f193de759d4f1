// The ONE typed door to C++. Nothing else loads the addon; a failure comes out of it as data and
// becomes an Error here.
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import load from 'node-gyp-build';
import {
  type ErrorDetails,
  FaultError,
  type FaultKind,
  MapError,
  errnoOf,
  misuse,
} from './errors.js';
import type { ConstantTable } from './flags.js';
import type { Survey } from './looking/survey.js';

/** What C++ answers instead of a value. */
interface Failure {
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

type Maybe<Value> = Value | Failure;
type Nothing = Maybe<undefined>;

/** Addresses are page-aligned numbers, lengths and offsets whole numbers of bytes. */
interface Native {
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
  drop(address: number, length: number): Nothing;
  /** Makes a reserve of a whole, inaccessible mapping; gives its vacant pages back; asks for them. */
  reserve(address: number, length: number): Nothing;
  release(address: number, length: number): Nothing;
  vacant(address: number, length: number): Maybe<boolean>;
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
  span(base: number, offset: number, length: number): Maybe<Buffer>;
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
  /** Shared memory by name. Every descriptor that is given is new. */
  shmOpen(name: string, writable: boolean): Maybe<number>;
  /** Without a name one that shmPublish gives. */
  shmCreate(name: string, mode: number): Maybe<number>;
  shmPublish(fd: number, temporary: string, name: string): Nothing;
  shmCanPublish(): boolean;
  shmUnlink(name: string): Nothing;
  shmNames(): Maybe<string[]>;
  /** Fills in size, inode, device, links, mode, user, group, access. */
  shmStatus(fd: number, row: Float64Array): Nothing;
  shmNamed(name: string, row: Float64Array): Nothing;
  memoryFile(): Maybe<number>;
  canHold(size: number): Nothing;
  seals(fd: number): Maybe<number>;
  addSeals(fd: number, bits: number): Nothing;
  duplicate(fd: number): Maybe<number>;
  reopen(fd: number, writable: boolean): Maybe<number>;
  openOfProcess(pid: number, fd: number, writable: boolean): Maybe<number>;
  /** Kind 0 none, 1 shared, 2 exclusive; of the open file, never waits. */
  lockRange(fd: number, kind: number, start: number, length: number): Nothing;
  lockPresence(fd: number, kind: number): Nothing;
  markAndReap(fd: number, program: string, name: string): Nothing;
  /** Closed at the latest when the handle is collected or its thread ends. */
  holdDescriptor(fd: number): Maybe<object>;
  releaseDescriptor(handle: object): Nothing;
  /** The first owner id of a registry; the next 2^32 are its own. */
  enroll(): number;
  /** Installs the handler, or again where somebody else has; `deliver` is called after a fault. */
  startGuard(owner: number, deliver: () => void): Nothing;
  /** Rows of address, kind, signal, thread, file offset, length, count, Unix milliseconds; each once. */
  /** Its only element grows with every fault of the process. */
  posted(): Uint32Array | undefined;
  takeFaults(owner: number): Float64Array | undefined;
  discardStrays(address: number, length: number): Nothing;
  restoreAsync(address: number, length: number): Maybe<Promise<Nothing>>;
  /** Rows of begin, end, kind, stray. */
  damaged(address: number, length: number): Maybe<Float64Array>;
  /** Installed at all, the kernel's handler of SIGBUS, of SIGSEGV; then the watched addresses. */
  guardStatus(): Float64Array;
  reap(all: boolean): Maybe<number>;
  retired(): Float64Array;
  claimed(): Float64Array;
  /** A process's regions, as lib/looking/survey.ts reads them. Process 0 is this one, also below. */
  survey(pid: number): Maybe<Survey>;
  /** Fills in the row of the region of this process that holds the address, and gives its name. */
  locate(address: number, row: Float64Array): Maybe<string | undefined>;
  /** Rows of begin, end, resident, dirty, swapped, huge; NaN where that is not known. */
  usage(pid: number): Maybe<Float64Array>;
  /** The same for parts of regions, given as begin, end, begin, end... */
  pageUsage(pid: number, ranges: Float64Array): Maybe<Float64Array>;
  /** Pairs of a thread's number and an address in its stack, 0 where that is not known. */
  threadStacks(pid: number): Maybe<Float64Array>;
  programPath(pid: number): Maybe<string>;
  /** The first address that can be mapped; how many regions there may be, 0 for no limit known. */
  limits(): Float64Array;
  /** A copy of the LD_PRELOAD helper's table, see lib/looking/trace-table.ts. */
  traceTable(): ArrayBuffer | undefined;
  /** Words and cells at base + offset. 0: woken, or for no reason; 1: another value; 2: the time is up. */
  sleep(base: number, offset: number, value: number, nanoseconds: number): Maybe<number>;
  wake(base: number, offset: number, count: number): Maybe<number>;
  /** Where `deliver` is called when letters have come. */
  openMailbox(deliver: () => void): Maybe<number>;
  keepLoop(mailbox: number, alive: boolean): Nothing;
  /** Pairs of an id and how it ended: 0 woken, 1 the memory has gone, 2 it cannot be read. */
  takeLetters(mailbox: number): Float64Array;
  /** As sleep(), at once; 2: asleep, and a letter will come. */
  sleepLater(
    base: number,
    offset: number,
    value: number,
    mailbox: number,
    id: number,
  ): Maybe<number>;
  cancelSleep(mailbox: number, id: number): Nothing;
  /** 0 taken, 1 inherited, 2 held by another thread, 3 by this one, 4 the thread holds too many. */
  takeCell(base: number, offset: number, crowded: boolean): Maybe<number>;
  /** 0 left, 1 not held by this thread, 2 somebody else has written over it, 3 left and woke one. */
  leaveCell(base: number, offset: number, died: boolean): Maybe<number>;
  sleepOnCell(base: number, offset: number, value: number, nanoseconds: number): Maybe<number>;
  weaken(object: object): number;
  strengthen(handle: number): object | undefined;
  forget(handle: number): void;
  /** Holds one object for the life of the environment, in place of the last one. */
  keep(object: object | undefined): void;
}

/** Where the package is. */
export const root = join(__dirname, '..');

function open(): Native {
  try {
    return load(root) as Native;
  } catch (error) {
    const { platform, arch, versions } = process;
    const lines = [
      `memmap: no addon for ${platform}-${arch}, Node ${versions.node}.`,
      `Looked for ${join(root, 'build', 'Release', 'memmap.node')}`,
      `and ${join(root, 'prebuilds', `${platform}-${arch}`, 'memmap*.node')}.`,
      'Build it (a C++20 compiler, make and python3 are needed):',
      '  npx node-gyp rebuild -C node_modules/memmap',
    ];
    throw new Error(lines.join('\n'), { cause: error });
  }
}

/** The addon's functions, as C++ gives them. Pass what they answer through one of the below. */
export const native = open();

const isFailure = (value: unknown): value is Failure =>
  typeof value === 'object' && value !== null && 'errno' in value && 'syscall' in value;

const LIMIT_HINT =
  'the kernel allows a process only so many mappings: sysctl vm.max_map_count; unmap some, or raise it';

const HINTS: Readonly<Record<string, string>> = {
  ENODEV: 'only regular files and some devices can be mapped',
  EACCES:
    'the descriptor must be open for reading, and for writing too if the mapping is shared and writable',
};

/** Of a mapping in a reservation or an arena. */
export const cannotLeave = (details: ErrorDetails): Error =>
  misuse('UNSUPPORTED', 'what lies in a reservation or an arena can neither grow nor leave it', {
    ...details,
    hint: 'place() it again, longer, or map it elsewhere',
  });

function toError(failure: Failure, details: ErrorDetails): Error {
  const at = BigInt(failure.at ?? 0);
  switch (failure.refusal) {
    case undefined: {
      const error = new MapError(failure.errno, failure.syscall, details);
      const hint = details.hint ?? HINTS[error.code];
      if (hint === undefined) return error;
      return new MapError(failure.errno, failure.syscall, { ...details, hint });
    }
    case 'limit':
      return new MapError(errnoOf('ENOMEM'), failure.syscall, { ...details, hint: LIMIT_HINT });
    case 'no-external':
      return misuse('UNSUPPORTED', 'this runtime does not allow ArrayBuffers over outside memory', {
        ...details,
        hint: 'read() and write() work everywhere',
      });
    case 'no-shared':
      return misuse('UNSUPPORTED', 'this Node has no SharedArrayBuffers over outside memory', {
        ...details,
        hint: '22.23, 24.21, 26.7 and later have; a mapping of the same file in each thread works everywhere',
      });
    case 'busy':
      return misuse(
        'BUSY',
        'an ArrayBuffer over the memory was transferred, or is being collected, or is shared',
        {
          ...details,
          address: at,
          hint: 'memory that somebody may still be reading must stay readable',
        },
      );
    case 'fault':
      return faultAt(failure.at ?? 0, details.hint);
    case 'placed':
      return cannotLeave({ ...details, address: at });
    case 'private':
      return misuse('UNSUPPORTED', 'no other process can have this memory: it is private', {
        ...details,
        hint: "map it shared: access 'read-write' of a file, or mapAnonymous(length, { shared: true })",
      });
    case 'no-way-back':
      return misuse('UNSUPPORTED', 'nothing is left that could show what was mapped there', {
        ...details,
        address: at,
        hint: 'private pages of a file need Linux 5.13, huge pages cannot at all: map it again',
      });
    case 'unreadable':
      return misuse('UNSUPPORTED', 'a page of it cannot be read', {
        ...details,
        address: at,
        hint:
          details.hint ??
          "its protection, or MADV_GUARD_INSTALL, excludes it: protect('read') or MADV_GUARD_REMOVE first",
      });
    case 'argument':
      return misuse('ARGUMENT', `the addon refused argument ${String(at)}`, details);
    case 'retired':
      return misuse('FOREIGN', `the page at 0x${at.toString(16)} was unmapped a moment ago`, {
        ...details,
        address: at,
        hint: 'native code may still be reading it, so memmap keeps it a little longer',
      });
    default:
      return misuse(
        'FOREIGN',
        `the page at 0x${at.toString(16)} is not this thread's, so memmap does not touch it`,
        { ...details, address: at },
      );
  }
}

/** By the names in lib/errors.ts; the addon numbers them from 1. */
export const FAULT_KINDS: readonly FaultKind[] = ['truncated', 'no-space', 'io-error', 'read-only'];

interface OwnerDetails extends ErrorDetails {
  /** Address of the mapping's first byte. */
  readonly start?: number;
  /** Where that lies in its file, if it has one. */
  readonly firstByte?: number | undefined;
}

let ownerOf: (page: number) => OwnerDetails = () => ({});

/** Says how to find the mapping of a page, for the errors that only name the page. */
export function knowMappings(find: (page: number) => OwnerDetails): void {
  ownerOf = find;
}

/** A call met a page that the fault guard put in. */
export function faultAt(page: number, hint?: string): FaultError {
  const [, , kind = 0] = check(native.damaged(page, pageSize));
  const { start = page, firstByte, ...owner } = ownerOf(page);
  const first = Math.max(page, start);
  const offset = first - start;
  return new FaultError(FAULT_KINDS[kind - 1] ?? 'truncated', {
    ...owner,
    hint: hint ?? 'repair() gives its pages back once that is possible',
    address: BigInt(first),
    length: page + pageSize - first,
    offset,
    fileOffset: BigInt(firstByte === undefined ? 0 : firstByte + offset),
  });
}

/** Which views over the pages an overlay keeps: those of a reservation are about addresses. */
export const KEEP = { nothing: 0, spans: 1, views: 2 } as const;

/** The value, or the failure thrown as an Error with `details`. */
export function check<Answer>(answer: Answer, details?: ErrorDetails): Exclude<Answer, Failure> {
  if (isFailure(answer)) throw toError(answer, details ?? {});
  return answer as Exclude<Answer, Failure>;
}

/** The same for a call on the thread pool. */
export async function checkLater<Value>(
  answer: Maybe<Promise<Maybe<Value>>>,
  details?: ErrorDetails,
): Promise<Value> {
  return check(await check(answer, details), details);
}

/** True when the answer is ENOMEM, or our own limit: worth a collection and another try. */
export const isOutOfRoom = (answer: unknown): boolean =>
  isFailure(answer) &&
  answer.destroyed !== true &&
  (answer.refusal === 'limit' || answer.errno === errnoOf('ENOMEM'));

/** The kernel's word for a failure, `undefined` for any other answer. */
export const codeOf = (answer: unknown): string | undefined =>
  isFailure(answer) ? getSystemErrorMap().get(answer.errno)?.[0] : undefined;

/** True when a fixed call failed and what was there is gone. */
export const isDestroyed = (answer: unknown): boolean =>
  isFailure(answer) && answer.destroyed === true;

export const pageSize = native.pageSize;
