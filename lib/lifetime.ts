// Who unmaps what nobody can reach any more. A Mapping is held for the turn in which it was made,
// then only weakly: most are unmapped by hand within that turn and never cost a weak handle.
import { isOutOfRoom, native } from './binding.js';
import { collectFaults } from './faults.js';
import { inHome } from './home.js';
import { inside } from './inside.js';
import type { Mapping } from './mapping.js';
import { type Contents, MappingRecord, registry } from './record.js';
import { Reserve } from './reservation/reserve.js';

/** As many as a loop may drop before they become collectable in the middle of it. */
const MOST_YOUNG = 1024;

/** A little more than the addon's own quarantine of retired ranges. */
const REAP_MS = 11_000;

/** What nobody has to hold: a mapping, or a reservation. */
export interface Tracked {
  strong: object | undefined;
  weak: number;
}

let young: Tracked[] = [];
let scheduled = false;
let reaper: NodeJS.Timeout | undefined;

// While it watches anything the addon holds it: a FinalizationRegistry that is itself unreachable
// (a dropped vm context, a deleted module) is never called back.
const dropped = new FinalizationRegistry<Tracked>(release);
let watched = 0;

/** Enters a mapping that has just been made into the registry. */
export function adopt(mapping: Mapping, record: MappingRecord): void {
  // The kernel has just given these pages, so whatever is noted there was unmapped behind our back.
  const { start, end } = record;
  if (registry.touches(start, end)) {
    for (const stale of registry.entriesIn(start, end)) disown(stale, 'unmapped');
  }
  registry.insert(record);
  track(mapping, record);
  keepPlaced(mapping, record);
}

const placedIn = ({ home }: MappingRecord): Set<Mapping> | undefined => {
  const owner = home?.owner;
  return owner === undefined ? undefined : inside.placedIn(owner);
};

/** A Reservation keeps what lies in it, however it came there. */
export function keepPlaced(mapping: Mapping, record: MappingRecord): void {
  if (record.home !== undefined) placedIn(record)?.add(mapping);
}

/** Holds an object for a turn, and sees to it that what it owns goes when it is collected. */
export function track(object: object, record: Tracked): void {
  record.strong = object;
  young.push(record);
  if (!scheduled) {
    scheduled = true;
    queueMicrotask(settle);
  } else if (young.length >= MOST_YOUNG) {
    settle();
  }
}

/** Takes a record out of the registry: its pages are gone, or somebody else's now. */
export function disown(record: MappingRecord, state: 'replaced' | 'unmapped'): void {
  if (record.home !== undefined) {
    const { owner } = record;
    if (owner !== undefined) placedIn(record)?.delete(owner);
  }
  registry.remove(record);
  record.state = state;
  if (record.contents.origin !== undefined) {
    // What is unmapped must not keep dropped shared memory open.
    const contents: { -readonly [Key in keyof Contents]: Contents[Key] } = { ...record.contents };
    delete contents.origin;
    record.contents = contents;
  }
  untrack(record);
}

/** What it owned is gone: nothing happens when the object is collected. */
export function untrack(record: Tracked): void {
  record.strong = undefined;
  // What is unmapped right after it was mapped leaves nothing to settle.
  if (young[young.length - 1] === record) young.pop();
  if (record.weak < 0) return;
  native.deleteWeakRef(record.weak);
  record.weak = -1;
  if (--watched === 0) native.setStrongRef(undefined);
}

function settle(): void {
  // A Mapping that faulted in its first turn is held until that was told, listeners and all.
  collectFaults();
  const records = young;
  young = [];
  scheduled = false;
  for (const record of records) {
    const mapping = record.strong;
    if (mapping === undefined) continue;
    record.strong = undefined;
    record.weak = native.createWeakRef(mapping);
    if (watched++ === 0) native.setStrongRef(dropped);
    dropped.register(mapping, record);
  }
}

function release(record: Tracked): void {
  if (record instanceof MappingRecord) dropMapping(record);
  else if (record instanceof Reserve) dropReserve(record);
}

function dropReserve(reserve: Reserve): void {
  if (reserve.state === 'released') return;
  reserve.state = 'released';
  registry.reserves.remove(reserve);
  untrack(reserve);
  native.release(reserve.start, reserve.end - reserve.start);
}

function dropMapping(record: MappingRecord): void {
  if (record.state !== 'mapped' || record.start === record.end) return;
  // Told although nobody can reach the Mapping any more: somebody may have used what was read.
  collectFaults();
  const { start, end } = record;
  disown(record, 'unmapped');
  native.unmapCollected(start, end - start);
  record.home?.freed?.({ start, end }, native.isVacant(start, end - start) === true);
}

let collectNow: (() => void) | undefined;

/** Loaded only when they are needed: node:v8 alone would double the time that require() takes. */
function collector(): () => void {
  process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
  return process.getBuiltinModule('node:vm').runInNewContext('gc') as () => void;
}

/** Collects garbage now and unmaps every mapping that turns out to be unreachable. */
export function collect(): void {
  settle();
  collectNow ??= collector();
  collectNow();
  const reserves: Tracked[] = [...registry.reserves];
  for (const record of [...registry.entries(), ...reserves]) {
    if (record.weak >= 0 && native.derefWeakRef(record.weak) === undefined) release(record);
  }
  native.reap(true);
}

/** A call that was refused for want of room, once more after a collection. */
export function retry<Answer>(call: () => Answer): Answer {
  collect();
  return call();
}

/** Makes the call; when the kernel has no room for another mapping, collects and tries once more. */
export function withRoom<Answer>(call: () => Answer): Answer {
  const answer = call();
  return isOutOfRoom(answer) ? retry(call) : answer;
}

let addressLimit = -1;
let retiredBytes = 0;

/**
 * Under a limit of address space (RLIMIT_AS) retired ranges would starve V8, which asks nobody before
 * it gives up: garbage is collected, and what is retired given back, for each eighth of the limit.
 */
export function noteRetired(bytes: number): void {
  if (addressLimit < 0) addressLimit = native.limits()[2] ?? 0;
  if (addressLimit === 0) return;
  retiredBytes += bytes;
  if (retiredBytes <= addressLimit / 8) return;
  retiredBytes = 0;
  collect();
}

/** Retired ranges are given back when their time has come, also in a program that maps no more. */
export function reapLater(): void {
  if (reaper !== undefined) return;
  inHome(() => {
    reaper = setTimeout(() => {
      reaper = undefined;
      if (Number(native.reap(false)) > 0) reapLater();
    }, REAP_MS).unref();
  });
}
