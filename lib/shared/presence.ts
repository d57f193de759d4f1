// Who has an object open, and taking its name away when nobody has. Each user has a shared lock on a
// byte far beyond its end, of the open file: mappings keep it, and it goes however a process ends.
// Of an object of lifetime 'processes' the reaper waits for the exclusive lock; where that was killed
// too, the next one who comes by finds that he gets it at once.
import { check, codeOf, isFailure, native } from '../binding.js';
import { MapError, errnoOf, misuse } from '../errors.js';
import type { Failure } from '../native.js';
import {
  Descriptor,
  EXCLUSIVE,
  SHARED,
  type SharedStatus,
  isRegular,
  isSame,
  statusOfName,
} from './descriptor.js';
import { isTemporary } from './names.js';
import { Patience } from './pause.js';
import { collectReapers } from './reaper.js';

const UNMARKED = 0;
const MARKED = 1;

/** Someone's object of lifetime 'processes'; false where the system cannot tell. */
export const isMarked = ({ mark }: SharedStatus): boolean => mark === MARKED;

/** Longer than whoever removes a dead object holds its lock. */
const REMOVAL_MS = 2_000;

/** Counts this open file as a user. False: it is being removed, or was. */
export function joinUsers(file: Descriptor, { mark }: SharedStatus): boolean {
  const patience = new Patience(REMOVAL_MS);
  for (;;) {
    const answer = native.lockPresence(file.fd, SHARED);
    if (codeOf(answer) !== 'EAGAIN') {
      if (mark === MARKED) check(answer, { path: file.name });
      return mark === UNMARKED || file.status().links > 0;
    }
    // A program in C has locked all of it, and nobody will remove it.
    if (mark === UNMARKED) return true;
    if (patience.wait(1)) continue;
    if (mark !== MARKED) return true;
    throw misuse('BUSY', 'the whole shared memory is locked by another process', {
      path: file.name,
      hint: 'a lock that a program in C took with l_len 0 reaches beyond the end',
    });
  }
}

/** Waits while somebody removes the object of that name. False: nobody does. */
export function waitForRemoval(name: string): boolean {
  const answer = native.shmOpen(name, false);
  // Gone, or not ours to look into.
  if (isFailure(answer)) return codeOf(answer) === 'ENOENT';
  const file = new Descriptor(answer, name);
  const patience = new Patience(REMOVAL_MS);
  try {
    if (native.presenceOf(file.fd) !== EXCLUSIVE) return false;
    while (native.presenceOf(file.fd) === EXCLUSIVE) if (!patience.wait(1)) return false;
    return true;
  } finally {
    file.close();
  }
}

/** Longer than between making a temporary object and locking it. */
const UNSIZED_MS = 10_000;

/** Whether it may be asked at all if anybody has it. Others' are others' to remove. */
function mayBeDead(name: string, status: SharedStatus): boolean {
  if (!isRegular(status) || status.uid !== process.geteuid?.()) return false;
  if (!isTemporary(name)) return isMarked(status);
  // One that has a size was locked before it got that.
  return status.size > 0 || Date.now() - status.changed > UNSIZED_MS;
}

/** Removes the name of an object that is marked, or was never ready, and that nobody has open. */
export function sweepName(name: string): void {
  try {
    const status = statusOfName(name);
    if (status === undefined || !mayBeDead(name, status)) return;
    // Not ours to open, or gone: then not ours to remove either.
    const file = new Descriptor(native.shmOpen(name, true), name);
    try {
      if (native.lockPresence(file.fd, EXCLUSIVE) !== undefined) return;
      if (native.lockRemoval(file.fd, EXCLUSIVE) !== undefined) return;
      const named = statusOfName(name);
      if (named !== undefined && isSame(named, file.status())) native.shmUnlink(name);
    } finally {
      file.close();
    }
  } catch (error) {
    // What is wrong with somebody's object is nothing to whoever comes by.
    if (!(error instanceof MapError)) throw error;
  }
}

/** Every name there is; gives those that may be left. */
export function sweep(): string[] {
  lastSweep = process.uptime();
  collectReapers();
  const names = check(native.shmNames());
  for (const name of names) sweepName(name);
  return names;
}

const SWEEP_S = 5;
let lastSweep = -Infinity;

/** Looking at a thousand names for each new one would be dear. */
export function sweepNowAndThen(): void {
  collectReapers();
  if (!native.shmCanPublish() || process.uptime() - lastSweep < SWEEP_S) return;
  try {
    sweep();
  } catch (error) {
    // A folder that may not be listed.
    if (!(error instanceof MapError)) throw error;
  }
}

const ATTEMPTS = 100;

/**
 * Removes a name, only of the object that is given if one is. Nobody else of memmap's takes the name
 * away between our look at it and its removal, so that no new object can have got it by then.
 */
export function unlinkName(name: string, only?: SharedStatus): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const answer = unlinkOnce(name, only);
    if (answer === 'changed') continue;
    check(answer, { path: name });
    return;
  }
  throw misuse('BUSY', 'shared memory of that name is being created and removed again and again', {
    path: name,
  });
}

/** undefined also for what may not be looked at. */
export function whatIsThere(name: string): SharedStatus | undefined {
  try {
    return statusOfName(name);
  } catch (error) {
    if (error instanceof MapError) return undefined;
    throw error;
  }
}

function openToRemove(name: string): { file: Descriptor; kind: number } | undefined {
  const writable = native.shmOpen(name, true);
  if (!isFailure(writable)) return { file: new Descriptor(writable, name), kind: EXCLUSIVE };
  // Two who may only read it do not exclude one another, but everybody else.
  const readable = native.shmOpen(name, false);
  return isFailure(readable) ? undefined : { file: new Descriptor(readable, name), kind: SHARED };
}

function unlinkOnce(name: string, only: SharedStatus | undefined): Failure | 'changed' | undefined {
  const status = whatIsThere(name);
  if (only !== undefined && (status === undefined || !isSame(only, status))) {
    throw new MapError(errnoOf('ENOENT'), 'shm_unlink', { path: name });
  }
  const lockable = native.shmCanPublish() && status !== undefined && isRegular(status);
  const opened = lockable ? openToRemove(name) : undefined;
  if (opened === undefined) return native.shmUnlink(name);
  const { file, kind } = opened;
  try {
    const patience = new Patience(REMOVAL_MS);
    while (codeOf(native.lockRemoval(file.fd, kind)) === 'EAGAIN') if (!patience.wait(1)) break;
    const named = statusOfName(name);
    if (named === undefined || !isSame(named, file.status())) return 'changed';
    return native.shmUnlink(name);
  } finally {
    file.close();
  }
}
