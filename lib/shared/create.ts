// Making shared memory. It is made without a name, sized, filled, and only then given its name: what
// somebody can open is whole.
import { check, codeOf, isFailure, native } from '../binding.js';
import { MapError, errnoOf, misuse } from '../errors.js';
import { mapOpenSync } from '../map.js';
import { sharedPlan } from '../options.js';
import { Descriptor, isSame, statusOfName } from './descriptor.js';
import { temporaryName } from './names.js';
import { openOnce, openShared } from './open.js';
import { sweepName, sweepNowAndThen, waitForRemoval } from './presence.js';
import { liveWithUsers } from './reaper.js';
import { SEALS } from './seals.js';
import type { CreatePlan } from './shared-options.js';

/** How often a name may come and go between two of our looks at it. */
const ATTEMPTS = 100;

/** The object of that name: a new one, or with `exclusive: false` the one that is there. */
export function createNamed(name: string, plan: CreatePlan): Descriptor {
  sweepNowAndThen();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    sweepName(name);
    const free = statusOfName(name) === undefined;
    const file = free ? make(name, plan) : undefined;
    if (file !== undefined) return file;
    if (!free && waitForRemoval(name)) continue;
    if (plan.exclusive) throw new MapError(errnoOf('EEXIST'), 'shm_open', { path: name });
    const found = openThere(name, plan);
    if (found !== undefined) return found;
  }
  throw misuse('BUSY', 'shared memory of that name is being created and removed again and again', {
    path: name,
  });
}

/** What is there, if it still is and is long enough. */
function openThere(name: string, { size, timeout }: CreatePlan): Descriptor | undefined {
  let file;
  try {
    file = openShared(name, { access: 'read-write', timeout });
  } catch (error) {
    if ((error as MapError).code === 'ENOENT') return undefined;
    throw error;
  }
  const { size: found } = file.status();
  if (found >= size) return file;
  file.close();
  throw misuse('RANGE', `it exists already, with ${String(found)} bytes and not ${String(size)}`, {
    path: name,
    length: found,
    hint: 'unlink it, or create it exclusively under another name',
  });
}

/** An object without its name, and the one that it has until then: '' if it has none. */
function makeUnpublished(name: string, mode: number): { file: Descriptor; temporary: string } {
  const unnamed = native.shmCreate('', mode);
  if (!isFailure(unnamed)) return { file: new Descriptor(unnamed, name), temporary: '' };
  // O_TMPFILE is of Linux 3.11, and needs /proc to give it a name.
  const temporary = temporaryName();
  return { file: new Descriptor(native.shmCreate(temporary, mode), name), temporary };
}

/** undefined: somebody else was quicker. */
function make(name: string, plan: CreatePlan): Descriptor | undefined {
  if (!native.shmCanPublish()) return makeInPlace(name, plan);
  const { file, temporary } = makeUnpublished(name, plan.mode);
  try {
    fill(file, plan);
    if (plan.lifetime === 'processes') liveWithUsers(file, temporary, name);
    const published = native.shmPublish(file.fd, temporary, name);
    if (codeOf(published) === 'EEXIST') {
      file.close();
      if (temporary !== '') native.shmUnlink(temporary);
      return undefined;
    }
    check(published, { path: name });
  } catch (error) {
    file.close();
    if (temporary !== '') native.shmUnlink(temporary);
    throw error;
  }
  return underItsName(file, name);
}

/** The same, opened by its name: one that was opened without one is '(deleted)' in the kernel's lists. */
function underItsName(file: Descriptor, name: string): Descriptor {
  const status = file.status();
  file.remember(status);
  let again;
  try {
    again = openOnce(name, 'read-write');
  } catch {
    // The mode excludes us, or the name is gone already.
  }
  if (again === undefined) return file;
  const [kept, closed] = isSame(again.status(), status) ? [again, file] : [file, again];
  closed.close();
  return kept;
}

/** Where nothing can be made without a name: who opens it too early finds it without a size. */
function makeInPlace(name: string, plan: CreatePlan): Descriptor | undefined {
  if (plan.lifetime === 'processes') {
    throw misuse(
      'UNSUPPORTED',
      "lifetime 'processes' is not supported on this system yet: Linux only",
    );
  }
  const made = native.shmCreate(name, plan.mode);
  if (codeOf(made) === 'EEXIST') return undefined;
  const file = new Descriptor(made, name);
  try {
    fill(file, plan);
  } catch (error) {
    file.close();
    native.shmUnlink(name);
    throw error;
  }
  file.remember(file.status());
  return file;
}

function mustHold(size: number): void {
  check(native.canHold(size));
  // 0 or undefined: no limit is known. The kernel kills who goes beyond it.
  const most = process.constrainedMemory() || Infinity;
  if (size <= most) return;
  throw new MapError(errnoOf('ENOMEM'), 'fallocate', {
    length: size,
    hint: `this container may have ${String(most)} bytes of memory`,
  });
}

/** An object without a name, which cannot become shorter. */
export function createNameless(plan: CreatePlan): Descriptor {
  // A file system would be full; memory that no file system limits is taken until nothing else runs.
  if (plan.allocate) mustHold(plan.size);
  const file = new Descriptor(native.memoryFile(), undefined);
  try {
    fill(file, plan);
    if (native.shmCanPublish()) check(native.addSeals(file.fd, SEALS.shrink));
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/** Sizes it, and has it filled. */
function fill(file: Descriptor, { size, allocate, initialize }: CreatePlan): void {
  check(native.allocateFile(file.fd, size, allocate), { path: file.name });
  if (initialize === undefined) return;
  const open = { fd: file.fd, path: file.name, origin: file, created: false };
  const mapping = mapOpenSync(open, sharedPlan(undefined, 'read-write'));
  let answer;
  try {
    answer = initialize(mapping);
  } finally {
    mapping.unmap();
  }
  if (!isThenable(answer)) return;
  // Its mapping is gone: what becomes of it is told here, and not once more.
  Promise.resolve(answer).catch(() => undefined);
  throw misuse('ARGUMENT', 'options.initialize must do its work at once; it gave a Promise', {
    argument: 'options.initialize',
  });
}

/** Also a promise of another realm, which is no instance of Promise. */
const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  'then' in value &&
  typeof value.then === 'function';
