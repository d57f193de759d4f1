// An open descriptor that cannot be used once it is closed, and is closed when nobody can reach it
// any more or its thread ends. It is also how its file can be opened anew.
import { check, codeOf, native } from '../binding.js';
import { misuse } from '../errors.js';
import type { Handle, Maybe } from '../native.js';

/** What fstat(2) and fcntl(2) tell of shared memory, or lstat(2) of a name. */
export interface SharedStatus {
  readonly size: number;
  readonly inode: number;
  readonly device: number;
  readonly links: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** O_RDONLY is 0, O_WRONLY 1, O_RDWR 2. */
  readonly access: number;
  /** Whether it is an object of lifetime 'processes': 0 no, 1 yes, 2 cannot be known. */
  readonly mark: number;
  /** When its status changed, in milliseconds since 1970. */
  readonly changed: number;
}

/** Filled in by each call and read at once. */
const row = new Float64Array(10);

function readRow(): SharedStatus {
  const [size = 0, inode = 0, device = 0, links = 0, mode = 0, uid = 0, gid = 0] = row;
  const [access = 0, mark = 0, changed = 0] = row.subarray(7);
  return { size, inode, device, links, mode, uid, gid, access, mark, changed };
}

/** Of whatever has the name now; undefined when nothing has. */
export function statusOfName(name: string): SharedStatus | undefined {
  const answer = native.shmNamed(name, row);
  if (codeOf(answer) === 'ENOENT') return undefined;
  check(answer, { path: name });
  return readRow();
}

export const isSame = (one: SharedStatus, other: SharedStatus): boolean =>
  one.inode === other.inode && one.device === other.device;

/** Kinds of locks, as the addon numbers them. */
export const SHARED = 1;
export const EXCLUSIVE = 2;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

export const isRegular = ({ mode }: SharedStatus): boolean => (mode & S_IFMT) === S_IFREG;

const MODE_HINT = 'it is opened anew for that, which its mode must allow this user';

export class Descriptor {
  readonly name: string | undefined;
  readonly #handle: Handle;
  #fd: number;
  #known: SharedStatus | undefined;

  /** Takes the descriptor over that a call gave, or throws what it said. */
  constructor(answer: Maybe<Handle>, name: string | undefined, path = name) {
    this.#handle = check(answer, { path });
    this.#fd = check(native.descriptorOf(this.#handle));
    this.name = name;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Its number, for one call. */
  get fd(): number {
    if (this.#fd >= 0) return this.#fd;
    throw misuse('CLOSED', 'the shared memory was closed', { path: this.name });
  }

  status(): SharedStatus {
    check(native.shmStatus(this.fd, row), { path: this.name });
    return readRow();
  }

  close(): void {
    this.#fd = -1;
    native.closeDescriptor(this.#handle);
  }

  /** Remembers which object it is, for when it is closed. */
  remember(status: SharedStatus): void {
    this.#known = status;
  }

  /** The same open file under another number, which stays when this one is closed. */
  duplicate(): Descriptor {
    return new Descriptor(native.duplicate(this.fd), this.name);
  }

  /** An open file of its own of the very same object; undefined where no way leads there. */
  reopen(writable: boolean): Descriptor | undefined {
    const { name } = this;
    if (this.#fd >= 0) {
      const answer = native.reopen(this.#fd, writable);
      const code = codeOf(answer);
      if (code === 'EACCES') check(answer, { path: name, hint: MODE_HINT });
      // Without /proc there is still the name.
      if (code !== 'ENOENT' && code !== 'ENOTSUP') return new Descriptor(answer, name);
    }
    return name === undefined ? undefined : this.#reopenByName(name, writable);
  }

  #reopenByName(name: string, writable: boolean): Descriptor | undefined {
    const answer = native.shmOpen(name, writable);
    if (codeOf(answer) === 'ENOENT') return undefined;
    const opened = new Descriptor(answer, name);
    try {
      if (this.#known !== undefined && isSame(opened.status(), this.#known)) return opened;
    } catch (error) {
      opened.close();
      throw error;
    }
    opened.close();
    return undefined;
  }
}
