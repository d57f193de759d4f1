// Names of shared memory: what one may be, and those that are memmap's own for a moment.
import { randomBytes } from 'node:crypto';
import { misuse } from '../errors.js';
import { wrongKind } from '../validate.js';

const TEMPORARY = '.memmap-';
const SEMAPHORE = 'sem.';

/** Bytes of a name: NAME_MAX on Linux; on macOS 31 with the slash that is put before it. */
const LONGEST = process.platform === 'darwin' ? 30 : 255;

/**
 * A name without its leading slash. The system takes other slashes for folders, and would give them
 * to whoever may write there.
 */
export function sharedName(value: unknown): string {
  if (typeof value !== 'string') throw wrongKind('name', 'a string', value);
  const name = value.startsWith('/') ? value.slice(1) : value;
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    const expected = "a name (after an optional slash: no '/', no NUL, not '', '.' or '..')";
    throw wrongKind('name', expected, value);
  }
  if (Buffer.from(name).toString() !== name) {
    throw wrongKind('name', 'well-formed Unicode: half a surrogate pair is no character', value);
  }
  if (name.startsWith(TEMPORARY)) {
    throw wrongKind(
      'name',
      `a name that does not begin with '${TEMPORARY}', as memmap's own do`,
      value,
    );
  }
  if (name.startsWith(SEMAPHORE)) {
    throw wrongKind(
      'name',
      `a name that does not begin with '${SEMAPHORE}', as C's semaphores do`,
      value,
    );
  }
  const length = Buffer.byteLength(name);
  if (length > LONGEST) {
    throw misuse(
      'RANGE',
      `name must have at most ${String(LONGEST)} bytes after its slash here; it has ${String(length)}`,
      { argument: 'name' },
    );
  }
  return name;
}

/** Of an object that is not ready yet, where the system has none without a name. */
export const temporaryName = (): string =>
  `${TEMPORARY}${String(process.pid)}-${randomBytes(9).toString('base64url')}`;

export const isTemporary = (name: string): boolean => name.startsWith(TEMPORARY);

/** What glibc and musl call a named semaphore. */
export const isSemaphore = (name: string): boolean => name.startsWith(SEMAPHORE);
