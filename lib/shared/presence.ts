// Lifetime 'processes': an object that is marked by the sticky bit goes when nobody has it open. Who
// has it open has a shared lock on a byte far beyond its end, of the open file: mappings keep it, and
// it goes however a process ends. The reaper waits for the exclusive lock; where that was killed too,
// the next one who comes by finds that he gets it at once.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { check, codeOf, isFailure, native, root } from '../binding.js';
import { misuse } from '../errors.js';
import { Descriptor, type SharedStatus, isRegular, isSame, statusOfName } from './descriptor.js';
import { isTemporary } from './names.js';
import { pause } from './pause.js';

const NAME = 'memmap-reaper';

/** The reaper's program: what was built here goes before what was shipped. */
function findReaper(): string {
  const places = [
    join(root, 'build', 'Release', NAME),
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, NAME),
  ];
  if (process.env['PREBUILDS_ONLY']) places.shift();
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw misuse('UNSUPPORTED', `lifetime 'processes' needs a program that is not there: ${NAME}`, {
    hint: `looked for ${places.join(' and ')}; npx node-gyp rebuild -C node_modules/memmap builds it`,
  });
}

const S_ISVTX = 0o1000;

/** Someone's object of lifetime 'processes'. */
export const isMarked = (status: SharedStatus): boolean =>
  isRegular(status) && (status.mode & S_ISVTX) !== 0;

const SHARED = 1;
const EXCLUSIVE = 2;

/** Longer than whoever removes a dead object holds its lock. */
const REMOVAL_MS = 2_000;

/** Marks an object that has no name yet, and has it removed when its last user is gone. */
export function liveWithUsers(file: Descriptor, name: string): void {
  const program = findReaper();
  check(native.lockPresence(file.fd, SHARED), { path: name });
  const answer = native.markAndReap(file.fd, program, name);
  const spawning = answer?.syscall === 'posix_spawn';
  check(answer, spawning ? { path: program, hint: 'it must be executable' } : { path: name });
}

/** Keeps an object that has a name for a moment only from being swept meanwhile. */
export function keepTemporary(file: Descriptor): void {
  check(native.lockPresence(file.fd, SHARED), { path: file.name });
}

/** Counts this open file as a user of a marked object. False: it is being removed. */
export function joinUsers(file: Descriptor): boolean {
  const until = Date.now() + REMOVAL_MS;
  for (;;) {
    const answer = native.lockPresence(file.fd, SHARED);
    if (codeOf(answer) !== 'EAGAIN') {
      check(answer, { path: file.name });
      return file.status().links > 0;
    }
    if (Date.now() > until) {
      throw misuse('BUSY', 'somebody has locked all of the shared memory', {
        path: file.name,
        hint: 'a lock that a program in C took with l_len 0 reaches beyond the end',
      });
    }
    pause(1);
  }
}

/** Removes the name of an object that is marked and that nobody has open. */
export function sweepName(name: string): void {
  const status = statusOfName(name);
  if (status === undefined || !isRegular(status)) return;
  if (!isMarked(status) && !isTemporary(name)) return;
  // Not ours to open, or gone: then not ours to remove either.
  const answer = native.shmOpen(name, true);
  if (isFailure(answer)) return;
  const file = new Descriptor(answer, name);
  try {
    if (native.lockPresence(file.fd, EXCLUSIVE) !== undefined) return;
    const named = statusOfName(name);
    if (named !== undefined && isSame(named, file.status())) native.shmUnlink(name);
  } finally {
    file.close();
  }
}

/** Every name there is; gives those that are left. */
export function sweep(): string[] {
  const names = check(native.shmNames());
  for (const name of names) sweepName(name);
  lastSweep = Date.now();
  return names;
}

const SWEEP_MS = 5_000;
let lastSweep = 0;

/** Looking at a thousand names for each new one would be dear. */
export function sweepNowAndThen(): void {
  if (native.shmCanPublish() && Date.now() - lastSweep > SWEEP_MS) sweep();
}
