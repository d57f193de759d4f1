// Every Error memmap throws is made here. Knows no OS, no mapping, no addon.
import { getSystemErrorMap } from 'node:util';

/** What memmap knows about a failure beyond Node's own `code`, `errno` and `syscall`. */
export interface ErrorDetails {
  /** Where, if that is known. */
  address?: bigint | undefined;
  /** How many bytes, if that is known. */
  length?: number | undefined;
  /** The file, if it was mapped by its path. */
  path?: string | undefined;
  /** The mappings that a refused call would have overwritten. */
  conflicts?: readonly unknown[] | undefined;
  /** What to do about it. */
  hint?: string | undefined;
  /** The argument that was wrong. */
  argument?: string | undefined;
}

const present = (details: ErrorDetails): ErrorDetails =>
  Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));

const withHint = (message: string, hint: string | undefined): string =>
  hint === undefined ? message : `${message} (${hint})`;

/**
 * A system call failed. `code` is the kernel's word (`'ENOMEM'`), `errno` its negative number and
 * `syscall` the call that said it, as in Node's own errors; source: errno(3), `node:util`
 * `getSystemErrorMap`.
 */
export class MapError extends Error {
  /** 'MapError'. */
  override readonly name = 'MapError';
  /** The kernel's word: 'ENOMEM'. */
  readonly code: string;
  /** Its number, negative as in Node: -12. */
  readonly errno: number;
  /** The call that said it: 'mmap'. */
  readonly syscall: string;
  /** Where, if that is known. */
  declare readonly address?: bigint;
  /** How many bytes, if that is known. */
  declare readonly length?: number;
  /** The file, if it was mapped by its path. */
  declare readonly path?: string;
  /** The mappings that were in the way. */
  declare readonly conflicts?: readonly unknown[];
  /** What to do about it. */
  declare readonly hint?: string;

  constructor(errno: number, syscall: string, details: ErrorDetails = {}) {
    const [code, text] = getSystemErrorMap().get(errno) ?? [`errno ${String(-errno)}`, 'unknown'];
    const where = details.path === undefined ? '' : ` '${details.path}'`;
    super(withHint(`${code}: ${text}, ${syscall}${where}`, details.hint));
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    Object.assign(this, present(details));
  }
}

/** The errno of a name, negative as in Node: `errnoOf('ENOMEM')` is -12. */
export function errnoOf(code: string): number {
  for (const [errno, [name]] of getSystemErrorMap()) if (name === code) return errno;
  return 0;
}

const MISUSE = {
  RANGE: RangeError,
  ARGUMENT: TypeError,
  OVERLAP: RangeError,
  FOREIGN: RangeError,
  UNMAPPED: TypeError,
  BUSY: TypeError,
  READ_ONLY: TypeError,
  UNSUPPORTED: TypeError,
} as const;

export type MisuseKind = keyof typeof MISUSE;

/** The error of a call that memmap refused before any system call: code `ERR_MEMMAP_<kind>`. */
export function misuse(kind: MisuseKind, message: string, details: ErrorDetails = {}): Error {
  const error = new MISUSE[kind](withHint(message, details.hint));
  return Object.assign(error, { code: `ERR_MEMMAP_${kind}` }, present(details));
}
