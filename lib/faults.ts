// What the fault guard tells: records of faults, the event, and the way back to the file.
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import type * as WorkerThreads from 'node:worker_threads';
import { FAULT_KINDS, check, checkLater, faultAt, knowMappings, native } from './binding.js';
import { during } from './chunks.js';
import { FaultError, type FaultKind } from './errors.js';
import { inHome } from './home.js';
import type { Mapping } from './mapping.js';
import { type MappingRecord, type Untold, firstOwner, registry } from './record.js';
import type { ByteRange } from './validate.js';

/** A place of a mapping that could not be read or written as it should. */
export interface FaultRecord {
  /**
   * 'truncated': the file ends before it. 'no-space': the file system has no block for it.
   * 'io-error': the disk failed. 'read-only': somebody wrote to memory that is read-only.
   */
  readonly kind: FaultKind;
  /** First byte, in the mapping. */
  readonly offset: number;
  /** First byte, in the file; 0 for anonymous memory. */
  readonly fileOffset: bigint;
  /** Bytes. */
  readonly length: number;
  /** Address of the first byte. */
  readonly address: bigint;
  /** The thread that met it, by the number that the system has for it (gettid(2)). */
  readonly thread: number;
  /** When, in milliseconds as of `Date.now()`: the first of `count`. */
  readonly time: number;
  /** How many faults it stands for: one thread's that followed upon one another. */
  readonly count: number;
  /** The signal that would have ended the process. */
  readonly signal: 'SIGBUS' | 'SIGSEGV';
}

const SIGBUS = process.getBuiltinModule('node:os').constants.signals.SIGBUS;

const ROW = 8;

const deliver = (): void => {
  inHome(collectFaults);
};

/** Brings the records of what has happened until now to their mappings, and sees that they are told. */
export function collectFaults(): void {
  if (!started) return;
  // Every unmap asks: a look at one word is all that it costs where nothing has happened.
  const count = posted?.[0];
  if (count !== undefined && count === seen) return;
  seen = count ?? 0;
  const rows = native.takeFaults(firstOwner);
  if (rows === undefined) return;
  for (let row = 0; row < rows.length; row += ROW) enter(rows.subarray(row, row + ROW));
}

function enter(row: Float64Array): void {
  const [page = 0, kind = 0, signal = 0, thread = 0, offset = 0, length = 0, count = 0, time = 0] =
    row;
  const owner = registry.entryAt(page);
  const first = Math.max(page, owner?.address ?? page);
  const last = Math.min(page + length, owner === undefined ? Infinity : endOf(owner));
  const fault: FaultRecord = Object.freeze({
    kind: FAULT_KINDS[kind - 1] ?? 'io-error',
    offset: owner === undefined ? 0 : first - owner.address,
    fileOffset: BigInt(offset + (first - page)),
    length: Math.max(0, last - first),
    address: BigInt(first),
    thread,
    time,
    count,
    signal: signal === SIGBUS ? 'SIGBUS' : 'SIGSEGV',
  });
  if (owner === undefined) {
    // Its Mapping was collected, and only a transferred ArrayBuffer is left of it.
    raise(errorOf(fault, undefined, undefined));
    return;
  }
  const { faults, untold: waiting, scopes } = owner.log;
  faults.push(fault);
  for (const met of scopes) met.push(fault);
  if (waiting.push({ fault, claimed: scopes.size > 0 }) > 1) return;
  // Held until it has been told: a Mapping that is collected could not be.
  owner.hold();
  untold.add(owner);
  inHome(() => {
    process.nextTick(tell, owner);
  });
}

/** Whose faults wait for the next turn. */
const untold = new Set<MappingRecord>();

const endOf = (record: MappingRecord): number => record.address + record.length;

/** How many faults there were in this process: whether one must look for one's own. */
export const faultCount = (): number => posted?.[0] ?? 0;

/**
 * The first fault of a range that is not repaired, as the error that tells it. Its caller throws it: those of the range are no
 * uncaught exceptions any more.
 */
export function faultWithin(
  record: MappingRecord,
  { offset, length }: ByteRange,
): FaultError | undefined {
  collectFaults();
  const { log } = record;
  const isWithin = (fault: FaultRecord): boolean =>
    fault.offset < offset + length && fault.offset + fault.length > offset;
  const found = log.faults.find(isWithin);
  if (found === undefined) return undefined;
  log.untold = log.untold.map((each) => (isWithin(each.fault) ? { ...each, claimed: true } : each));
  return errorOf(found, record, record.owner);
}

function raise(error: Error): void {
  inHome(() => {
    process.nextTick(() => {
      throw error;
    });
  });
}

/** Everything that is not told yet; a fault that nobody listens for is an uncaught exception. */
function tell(record: MappingRecord): void {
  const mapping = record.owner;
  const faults = taken(record);
  const failure = discardStrays(record);
  const listened = mapping !== undefined && mapping.listenerCount('fault') > 0;
  for (const { fault, claimed } of faults) {
    const error = errorOf(fault, record, mapping);
    if (failure !== undefined && fault.kind === 'read-only') error.cause = failure;
    if (listened) process.nextTick(emit, mapping, error);
    else if (!claimed) raise(error);
  }
}

function taken(record: MappingRecord): readonly Untold[] {
  const faults = record.log.untold;
  record.log.untold = [];
  if (untold.delete(record)) record.letGo();
  return faults;
}

function emit(mapping: Mapping, error: FaultError): void {
  if (mapping.listenerCount('fault') === 0) throw error;
  mapping.emit('fault', error);
}

/** What was written to read-only memory is thrown away; an error, if it could not be. */
function discardStrays(record: MappingRecord): unknown {
  if (record.state !== 'mapped') return undefined;
  try {
    check(native.discardStrays(record.start, record.end - record.start), {
      path: record.contents.path,
    });
    return undefined;
  } catch (error) {
    return error;
  }
}

function errorOf(
  fault: FaultRecord,
  record: MappingRecord | undefined,
  mapping: Mapping | undefined,
): FaultError {
  const { kind, ...where } = fault;
  return new FaultError(kind, {
    ...where,
    path: record?.contents.path,
    mapping,
  });
}

let started = false;
let posted: Uint32Array | undefined;
let seen = 0;

/** Called with the first view of a guarded mapping. */
export function startGuard(): void {
  if (started) return;
  started = true;
  posted = native.faultCount();
  seen = (posted?.[0] ?? 0) - 1;
  inHome(() => {
    check(native.startGuard(firstOwner, deliver));
  });
  // Node's own listeners for these events come first, and set the handler of a signal or reset it.
  process.on('newListener', reinstall);
  process.on('removeListener', reinstall);
  // A fault whose turn of the loop never comes is told all the same.
  process.on('beforeExit', collectBeforeExit);
  process.on('exit', tellAtExit);
}

function reinstall(event: string | symbol): void {
  if (event === 'SIGBUS' || event === 'SIGSEGV') check(native.startGuard(firstOwner, deliver));
}

/** What a listener does may need the loop once more, and may meet the next fault. */
function collectBeforeExit(): void {
  collectFaults();
  if (untold.size > 0) setImmediate(() => undefined);
}

function tellAtExit(): void {
  const unheard: unknown[] = [];
  // A listener may meet the next fault.
  for (let round = 0; round < MOST_ROUNDS; round++) {
    collectFaults();
    if (untold.size === 0) break;
    for (const record of [...untold]) tellLast(record, unheard);
  }
  // Calls that never ended: what they would have thrown.
  for (const { record, met } of openCalls) {
    const [fault] = met;
    if (fault !== undefined) unheard.push(errorOf(fault, record, record.owner));
  }
  for (const error of unheard) failAtExit(error);
}

const MOST_ROUNDS = 100;

function tellLast(record: MappingRecord, unheard: unknown[]): void {
  const mapping = record.owner;
  for (const { fault, claimed } of taken(record)) {
    const error = errorOf(fault, record, mapping);
    const listened = mapping !== undefined && mapping.listenerCount('fault') > 0;
    if (!listened && !claimed) unheard.push(error);
    if (!listened) continue;
    try {
      mapping.emit('fault', error);
    } catch (thrown) {
      unheard.push(thrown);
    }
  }
}

/** Thrown here it would keep the listeners of 'exit' that come later from being called. */
function failAtExit(error: unknown): void {
  // Loaded only here: with all that it needs it takes longer than the rest of memmap.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { isMainThread } = require('node:worker_threads') as typeof WorkerThreads;
  if (!isMainThread) throw error;
  const events: NodeJS.EventEmitter = process;
  if (events.emit('uncaughtException', error, 'uncaughtException')) return;
  writeSync(2, `Uncaught ${inspect(error)}\n`);
  process.exitCode = 1;
}

interface GuardedCall {
  readonly record: MappingRecord;
  readonly met: FaultRecord[];
}

const openCalls = new Set<GuardedCall>();

/** Runs `fn`, and throws when a fault happened in the mapping meanwhile. */
export function callGuarded<Result>(record: MappingRecord, fn: () => Result): Result {
  collectFaults();
  const call: GuardedCall = { record, met: [] };
  openCalls.add(call);
  record.log.scopes.add(call.met);
  let result: Result;
  try {
    result = fn();
  } catch (error) {
    leave(call, error);
    throw error;
  }
  if (!isThenable(result)) {
    leave(call);
    return result;
  }
  return leaveLater(call, result) as Result;
}

/** Throws the first fault that has happened in the mapping and was not told yet, as `guarded` does. */
export function throwFaults(record: MappingRecord): void {
  if (!started || posted?.[0] === seen) return;
  const call: GuardedCall = { record, met: [] };
  openCalls.add(call);
  record.log.scopes.add(call.met);
  leave(call);
}

async function leaveLater(call: GuardedCall, result: PromiseLike<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await result;
  } catch (error) {
    leave(call, error);
    throw error;
  }
  leave(call);
  return value;
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { then?: unknown }).then === 'function';

/** The end of a guarded call. Throws the first fault it met; what `fn` threw is then its cause. */
function leave(call: GuardedCall, cause?: unknown): void {
  const { record, met } = call;
  collectFaults();
  const [fault] = met;
  const mapping = record.owner;
  if (fault !== undefined) tell(record);
  record.log.scopes.delete(met);
  openCalls.delete(call);
  if (fault === undefined) return;
  const error = errorOf(fault, record, mapping);
  if (cause !== undefined) error.cause = cause;
  throw error;
}

/** Writes what only private pages hold to the file, and gives the pages back to it. */
export async function repairMapping(record: MappingRecord): Promise<void> {
  collectFaults();
  if (record.start === record.end) return;
  const { start, end } = record;
  await during(record, 'repair()', () =>
    checkLater(native.restoreAsync(start, end - start), {
      path: record.contents.path,
      hint: 'nothing was lost: repair() again once the file is long enough or its disk has space',
    }),
  );
  // What happened meanwhile has not been repaired.
  const left = damageOf(record);
  collectFaults();
  const { log } = record;
  log.faults = left.length === 0 ? [] : log.faults.filter((fault) => touches(fault, left));
}

interface Damaged {
  readonly start: number;
  readonly end: number;
}

const touches = ({ address, length }: FaultRecord, damaged: readonly Damaged[]): boolean =>
  damaged.some(({ start, end }) => Number(address) < end && Number(address) + length > start);

const DAMAGE_ROW = 4;

/** Pages of a mapping that show what the guard put there. */
export function damageOf({ start, end }: MappingRecord): Damaged[] {
  if (!started || start === end) return [];
  const rows = native.damaged(start, end - start);
  // A page of it was unmapped behind our back.
  if (!('length' in rows)) return [];
  const found: Damaged[] = [];
  for (let row = 0; row < rows.length; row += DAMAGE_ROW) {
    found.push({ start: rows[row] ?? 0, end: rows[row + 1] ?? 0 });
  }
  return found;
}

/** Throws the fault where something would be called that a damaged mapping, or such a part of it, cannot take. */
export function mustBeWhole(record: MappingRecord, part?: ByteRange): void {
  const { offset, length } = part ?? { offset: -record.lead, length: Infinity };
  const from = record.address + offset;
  const damaged = damageOf(record).find(({ start, end }) => start < from + length && end > from);
  if (damaged === undefined) return;
  throw (part && faultWithin(record, part)) ?? faultAt(damaged.start);
}

// The addon tells a page; which mapping it is of is known here.
knowMappings((page) => {
  const record = registry.entryAt(page);
  if (record === undefined) return {};
  const { address, contents } = record;
  const mapping = record.owner;
  const firstByte = contents.fileInode < 0 ? undefined : contents.fileOffset;
  return { start: address, firstByte, path: contents.path, mapping };
});
