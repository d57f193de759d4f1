// The SharedMemory class: memory that several processes see, by name, by descriptor, by inheritance.
import { inspect } from 'node:util';
import { codeOf, native } from '../binding.js';
import { misuse } from '../errors.js';
import type { OpenFile } from '../file.js';
import { inside } from '../inside.js';
import { mapOpenSync } from '../map.js';
import type { Mapping } from '../mapping.js';
import { type SharedMapOptions, sharedPlan } from '../options.js';
import { int, wrongKind } from '../validate.js';
import { createNamed, createNameless } from './create.js';
import { Descriptor, isRegular } from './descriptor.js';
import { isSemaphore, isTemporary, sharedName } from './names.js';
import { adopt, openShared } from './open.js';
import { isMarked, sweep, unlinkName, whatIsThere } from './presence.js';
import { type Seal, addSeals, sealsOf } from './seals.js';
import {
  type SharedAccess,
  type SharedCreateOptions,
  type SharedLifetime,
  type SharedOpenOptions,
  accessPlan,
  createPlan,
  openPlan,
} from './shared-options.js';

/** One name in the system's list of shared memory. */
export interface SharedEntry {
  /** Without a slash, as `open` takes it. */
  readonly name: string;
  /** Bytes; 0 while its creator has not sized it. */
  readonly size: number;
  /** Permissions, 0 to 0o777. */
  readonly mode: number;
  /** Whose it is. */
  readonly uid: number;
  /** The group it belongs to. */
  readonly gid: number;
  /** Whether it goes with its last user. */
  readonly lifetime: SharedLifetime;
}

const key = Symbol('memmap');

/** Objects of lifetime 'processes': this process is a user until close(), whoever still refers to them. */
const used = new Set<SharedMemory>();

/** Of a receiver, which is whatever the caller chose. */
let fileOf: (receiver: unknown) => Descriptor;
const O_RDONLY = 0;
const PERMISSIONS = 0o777;

/**
 * Memory that several processes see at once. With a name it is POSIX shared memory, the same that
 * `shm_open` in C and `multiprocessing.shared_memory` in Python have, with nothing of memmap's in it;
 * made with `null` it has no name and is passed on as a descriptor. `map` gives its bytes; mappings
 * stay when it is closed, unlinked or dropped.
 *
 * After `close` everything but `name`, `closed` and `close` is ERR_MEMMAP_CLOSED. One that is no longer
 * referenced is closed, unless its lifetime is 'processes': the process is a user until `close`.
 *
 * @example
 * ```js
 * const shm = memmap.SharedMemory.create(`doc-${process.pid}`, { size: 1000 });
 * const m = shm.map();
 * m.buffer.write('hello');
 * const other = memmap.SharedMemory.open(shm.name).map(); // in any process of this user
 * other.buffer.toString('latin1', 0, 5); // 'hello'
 * shm.unlink();
 * shm.close();
 * ```
 *
 * Source: shm_overview(7), memfd_create(2).
 */
export class SharedMemory {
  readonly #file: Descriptor;

  static {
    inside.sharedFileOf = (value) => (#file in value ? value.#file : undefined);
    fileOf = (receiver) => {
      const is = typeof receiver === 'object' && receiver !== null && #file in receiver;
      if (!is) throw wrongKind('this', 'a SharedMemory', receiver);
      return receiver.#file;
    };
  }

  /** @internal Shared memory is made by the functions below, not by `new`. */
  constructor(secret: symbol, file: Descriptor) {
    if (secret !== key) {
      throw misuse('ARGUMENT', 'SharedMemory is made by create(), open() or fromFd(), not by new');
    }
    this.#file = file;
  }

  /**
   * Makes shared memory of `size` bytes, all zeros. With a name nobody sees it before it is sized and
   * filled, and of two creators one wins. With `null` it has no name, can never become shorter, and
   * goes when nobody has it open or mapped.
   *
   * Errors: EEXIST; EACCES; ENOSPC when /dev/shm is full; ENOMEM for more than the machine has; with
   * `exclusive: false` ERR_MEMMAP_RANGE for one that is there and shorter, ERR_MEMMAP_BUSY for one that
   * has no size yet. A name of more than 255 bytes (macOS: 30) is ERR_MEMMAP_RANGE, one with a slash
   * inside ERR_MEMMAP_ARGUMENT. On macOS others can see it before it is sized, and `lifetime` is
   * always 'kernel'.
   */
  static create(name: string | null, options: SharedCreateOptions): SharedMemory {
    if (name === null) return new SharedMemory(key, createNameless(createPlan(options, false)));
    const known = sharedName(name);
    const plan = createPlan(options, true);
    const made = new SharedMemory(key, createNamed(known, plan));
    if (plan.lifetime === 'processes') used.add(made);
    return made;
  }

  /**
   * Opens shared memory by its name; a leading slash is optional. Errors: ENOENT; EACCES;
   * ERR_MEMMAP_BUSY when it has no size, also after `timeout`. Source: shm_open(3).
   */
  static open(name: string, options?: SharedOpenOptions): SharedMemory {
    const known = sharedName(name);
    const opened = new SharedMemory(key, openShared(known, openPlan(options)));
    if (isMarked(fileOf(opened).status())) used.add(opened);
    return opened;
  }

  /**
   * Shared memory, or a file, by a descriptor: one that this process inherited (`stdio`), or opened.
   * It makes a duplicate of its own; yours stays yours.
   */
  static fromFd(fd: number): SharedMemory {
    const given = int('fd', fd);
    return new SharedMemory(key, adopt(new Descriptor(native.duplicate(given), undefined)));
  }

  /**
   * Opens what another process has open as descriptor `fd`, where this user may look at that process.
   * Errors: ENOENT, EACCES, with the path under /proc. Linux. Source: proc_pid_fd(5).
   */
  static fromProcess(
    pid: number,
    fd: number,
    options?: Pick<SharedOpenOptions, 'access'>,
  ): SharedMemory {
    const [process, descriptor] = [int('pid', pid), int('fd', fd)];
    if (process < 1) throw wrongKind('pid', 'the number of a process', pid);
    const writable = accessPlan(options) === 'read-write';
    const path = `/proc/${String(process)}/fd/${String(descriptor)}`;
    const opened = native.openOfProcess(process, descriptor, writable);
    if (codeOf(opened) === 'ENOTSUP') throw notHere('fromProcess()');
    return new SharedMemory(key, adopt(new Descriptor(opened, undefined, path)));
  }

  /** Removes a name. Whoever has the memory open or mapped keeps it. ENOENT. Source: shm_unlink(3). */
  static unlink(name: string): void {
    const known = sharedName(name);
    unlinkName(known);
  }

  /**
   * Every shared memory of this system (of this container) that has a name, also other users'; not
   * the named semaphores of C. Linux.
   */
  static list(): SharedEntry[] {
    if (!native.shmCanPublish()) throw notHere('list()');
    const names = sweep().filter((name) => !isSemaphore(name) && !isTemporary(name));
    return names.flatMap((name) => {
      const status = whatIsThere(name);
      if (status === undefined || !isRegular(status)) return [];
      const { size, mode, uid, gid } = status;
      const lifetime = isMarked(status) ? 'processes' : 'kernel';
      return [{ name, size, mode: mode & PERMISSIONS, uid, gid, lifetime }];
    });
  }

  /** Without a slash, as in Python; undefined where it was made without a name or is known by descriptor. */
  get name(): string | undefined {
    return fileOf(this).name;
  }

  /** Bytes that it has now: whoever may write may make it longer or, unless it is sealed, shorter. */
  get size(): number {
    return fileOf(this).status().size;
  }

  /** Its descriptor, for `stdio` of a child. Closed by `close`. */
  get fd(): number {
    return fileOf(this).fd;
  }

  /** What it was opened for. */
  get access(): SharedAccess {
    return fileOf(this).status().access === O_RDONLY ? 'read' : 'read-write';
  }

  /** True once it was closed. */
  get closed(): boolean {
    return fileOf(this).closed;
  }

  /** What it is sealed against. Of memory with a name that is only 'seal': it never can be. */
  get seals(): Seal[] {
    return sealsOf(fileOf(this));
  }

  /**
   * Maps it, or a part of it: a Mapping like that of a file, with `path` its name. EACCES for
   * 'read-write' where it was opened to be read, EPERM where it is sealed against that.
   */
  map(options?: SharedMapOptions): Mapping {
    const file = fileOf(this);
    const plan = sharedPlan(options, this.access);
    return mapOpenSync(openOf(file), plan);
  }

  /**
   * Seals memory without a name, for everybody and for ever; all of the seals or none. 'future-write':
   * mappings that are there stay writable, and nobody gets another one, by whatever way: map it first,
   * seal it, pass it on. 'write' is EBUSY while somebody has it mapped for writing. EPERM for memory
   * with a name. Source: fcntl(2), F_ADD_SEALS.
   */
  seal(...seals: readonly Seal[]): void {
    addSeals(fileOf(this), seals);
  }

  /** Closes the descriptor. Mappings stay. Doing it again does nothing. */
  close(): void {
    fileOf(this).close();
    used.delete(this);
  }

  /**
   * Removes its name; not that of another one that has it by now, which is ENOENT.
   * ERR_MEMMAP_UNSUPPORTED where it has none.
   */
  unlink(): void {
    const file = fileOf(this);
    const { name } = file;
    const status = file.status();
    if (name === undefined) {
      throw misuse(
        'UNSUPPORTED',
        'the shared memory has no name; it is freed when the last descriptor and mapping are closed',
      );
    }
    unlinkName(name, status);
  }

  /** Closes it, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What console.log shows of it. */
  [inspect.custom](): string {
    if (!(#file in this)) return 'SharedMemory {}';
    const name = this.name === undefined ? 'no name' : `'${this.name}'`;
    const state = this.closed ? 'closed' : stateOf(this.#file);
    return `SharedMemory { ${name}, ${state} }`;
  }
}

/** Its descriptor may have been closed behind our back. */
function stateOf(file: Descriptor): string {
  try {
    const { size, access } = file.status();
    return `${String(size)} bytes, ${access === O_RDONLY ? 'read' : 'read-write'}`;
  } catch (error) {
    return (error as Error).message;
  }
}

const openOf = (file: Descriptor): OpenFile => ({
  fd: file.fd,
  path: file.name,
  origin: file,
  created: false,
});

const notHere = (what: string): Error =>
  misuse('UNSUPPORTED', `SharedMemory.${what} is not supported on this system: Linux only`);
