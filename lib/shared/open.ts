// Opening shared memory that somebody else has made.
import { native } from '../binding.js';
import { MapError, errnoOf, misuse } from '../errors.js';
import { Descriptor, type SharedStatus, isRegular, isSame, statusOfName } from './descriptor.js';
import { Patience } from './pause.js';
import { joinUsers, sweepName, sweepNowAndThen } from './presence.js';
import type { OpenPlan, SharedAccess } from './shared-options.js';

const ATTEMPTS = 100;
const UNMARKED = 0;
const SLICE_MS = 10;

export function openShared(name: string, { access, timeout }: OpenPlan): Descriptor {
  sweepNowAndThen();
  const patience = new Patience(timeout);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    sweepName(name);
    const file = openOnce(name, access);
    if (file === undefined) continue;
    try {
      if (waitForSize(file, name, patience)) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
  throw new MapError(errnoOf('ENOENT'), 'shm_open', { path: name });
}

/** undefined: it was being removed. Another one may have its name by now. */
export function openOnce(name: string, access: SharedAccess): Descriptor | undefined {
  const file = new Descriptor(native.shmOpen(name, access === 'read-write'), name);
  try {
    const status = file.status();
    file.remember(status);
    const joined = joinUsers(file, status);
    if (joined && (status.mark === UNMARKED || leadsTo(name, status))) return file;
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

function leadsTo(name: string, status: SharedStatus): boolean {
  const named = statusOfName(name);
  return named !== undefined && isSame(named, status);
}

/**
 * Whoever makes it in two steps has not done the second one yet, and never will if it died between.
 * False: the name leads elsewhere by now.
 */
function waitForSize(file: Descriptor, name: string, patience: Patience): boolean {
  for (;;) {
    const status = file.status();
    if (status.size > 0) return true;
    if (!patience.wait(SLICE_MS)) break;
    if (!leadsTo(name, status)) return false;
  }
  throw misuse('BUSY', 'the shared memory has no size yet', {
    path: name,
    hint: 'its creator has not sized it yet, or exited before it could: the timeout option waits; otherwise unlink it',
  });
}

/** Shared memory behind a descriptor that is ours now. */
export function adopt(file: Descriptor): Descriptor {
  try {
    const status = file.status();
    const reason = unfit(status);
    if (reason !== undefined) throw misuse('ARGUMENT', reason, { argument: 'fd' });
    if (status.mark !== UNMARKED) joinUsers(file, status);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

const O_WRONLY = 1;

function unfit(status: ReturnType<Descriptor['status']>): string | undefined {
  if (!isRegular(status))
    return 'fd must be of a file or of shared memory: this one cannot be mapped';
  if (status.access === O_WRONLY) return 'fd must be open for reading';
  return undefined;
}
