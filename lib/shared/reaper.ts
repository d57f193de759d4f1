// The reaper: one small process for each object of lifetime 'processes', which waits for its last user
// and removes its name.
import { existsSync } from 'node:fs';
import { check, compiledPlaces, native } from '../binding.js';
import { misuse } from '../errors.js';
import { type Descriptor, SHARED } from './descriptor.js';

const NAME = 'memmap-reaper';

/** The reaper's program: what was built here goes before what was shipped. */
function findReaper(): string {
  const places = compiledPlaces(NAME);
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw misuse('UNSUPPORTED', `lifetime 'processes' needs a program that is not there: ${NAME}`, {
    hint: `looked for ${places.join(' and ')}; npx node-gyp rebuild -C node_modules/memmap/native builds it`,
  });
}

/**
 * Marks an object that has not got its name yet, and has it removed when its last user is gone.
 * `temporary` is the one that it has until then, if it has one.
 */
export function liveWithUsers(file: Descriptor, temporary: string, name: string): void {
  const program = findReaper();
  check(native.lockPresence(file.fd, SHARED), { path: name });
  const answer = native.markAndReap(file.fd, program, temporary, name);
  const spawning = answer?.syscall === 'posix_spawn';
  check(answer, spawning ? { path: program, hint: 'it must be executable' } : { path: name });
  collectReapers();
}

const COLLECT_MS = 1_000;
let timer: NodeJS.Timeout | undefined;

/**
 * Waits for reapers that have ended and are this process's children: all orphans are, of a container's
 * first process. Nobody else would, and each would stay in the list of processes for ever.
 */
export function collectReapers(): void {
  const left = native.waitForReapers();
  if (left > 0) {
    timer ??= setInterval(collectReapers, COLLECT_MS).unref();
  } else if (timer !== undefined) {
    clearInterval(timer);
    timer = undefined;
  }
}
