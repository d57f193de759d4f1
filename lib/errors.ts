// Every Error memmap throws is made here. Knows no OS, no mapping, no addon.
import { constants as osConstants } from 'node:os';
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
  /** First byte, in the mapping. */
  offset?: number | undefined;
  /** First byte, in the file. */
  fileOffset?: bigint | undefined;
  /** The mapping it happened in. */
  mapping?: unknown;
  /** The longest range that is free, in bytes. */
  largestFree?: number | undefined;
}

/** What libuv has no name for. */
const MORE = new Map([[-osConstants.errno.ESTALE, ['ESTALE', 'stale file handle'] as const]]);

/** The kernel's word for a number, negative as in Node, and what it means. */
export const systemError = (errno: number): readonly [string, string] | undefined =>
  getSystemErrorMap().get(errno) ?? MORE.get(errno);

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

  constructor(
    errno: number,
    syscall: string,
    details: ErrorDetails & { code?: string; message?: string } = {},
  ) {
    const [code, text] = systemError(errno) ?? [`errno ${String(-errno)}`, 'unknown'];
    const where = details.path === undefined ? '' : ` '${details.path}'`;
    super(details.message ?? withHint(`${code}: ${text}, ${syscall}${where}`, details.hint));
    this.code = details.code ?? code;
    this.errno = errno;
    this.syscall = syscall;
    Object.assign(this, present(details));
  }
}

/** Why a page could not be read or written as it should: see FaultRecord. */
export type FaultKind = 'truncated' | 'no-space' | 'io-error' | 'read-only';

const FAULTS: Readonly<Record<FaultKind, { errno: string; text: string }>> = {
  truncated: { errno: 'EFAULT', text: 'the file is shorter than the mapping' },
  'no-space': { errno: 'ENOSPC', text: 'no space left for what was written' },
  'io-error': { errno: 'EIO', text: 'the file could not be read or written' },
  'read-only': { errno: 'EACCES', text: 'read-only memory was written to' },
};

/** What is known of a fault beside its kind. */
export interface FaultDetails extends ErrorDetails {
  /** The thread that met it, by the system's number for it. */
  thread?: number | undefined;
  /** When, in milliseconds as of `Date.now()`. */
  time?: number | undefined;
  /** How many faults it stands for. */
  count?: number | undefined;
  /** The signal that would have ended the process. */
  signal?: string | undefined;
}

/**
 * A page of a mapping could not be read or written as it should, and the fault guard kept the
 * process alive. `code` is 'ERR_MEMMAP_FAULT', `syscall` 'page_fault' and `errno` what the kernel
 * would have said to a call: EFAULT, ENOSPC, EIO, EACCES.
 */
export class FaultError extends MapError {
  /** Why. */
  readonly kind: FaultKind;
  /** First byte, in the mapping. */
  declare readonly offset?: number;
  /** First byte, in the file; 0 for anonymous memory. */
  declare readonly fileOffset?: bigint;
  /** The mapping, if somebody can still reach it. */
  declare readonly mapping?: unknown;
  /** The thread that met it, by the system's number for it. */
  declare readonly thread?: number;
  /** When, in milliseconds as of `Date.now()`. */
  declare readonly time?: number;
  /** How many faults it stands for: one thread's that followed upon one another. */
  declare readonly count?: number;
  /** The signal that would have ended the process. */
  declare readonly signal?: string;

  constructor(kind: FaultKind, details: FaultDetails = {}) {
    const { errno, text } = FAULTS[kind];
    const { path, fileOffset, length, hint } = details;
    const where = path === undefined ? '' : `, '${path}'`;
    const what = length === undefined ? '' : `: ${String(length)} bytes`;
    const at = fileOffset === undefined ? '' : ` at ${String(fileOffset)}`;
    const message = withHint(`ERR_MEMMAP_FAULT: ${text}${what}${at}${where}`, hint);
    const { mapping, ...shown } = details;
    super(errnoOf(errno), 'page_fault', { ...shown, code: 'ERR_MEMMAP_FAULT', message });
    this.kind = kind;
    // Not for console.log, which would show its inside.
    if (mapping !== undefined) Object.defineProperty(this, 'mapping', { value: mapping });
  }
}

/** The errno of a name, negative as in Node: `errnoOf('ENOMEM')` is -12. */
export function errnoOf(code: string): number {
  for (const [errno, [name]] of [...getSystemErrorMap(), ...MORE]) if (name === code) return errno;
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
  NO_ROOM: RangeError,
  CLOSED: TypeError,
  CORRUPT: TypeError,
  TIMEOUT: Error,
  CODEC: TypeError,
} as const;

export type MisuseKind = keyof typeof MISUSE;

/** The error of a call that memmap refused before any system call: code `ERR_MEMMAP_<kind>`. */
export function misuse(kind: MisuseKind, message: string, details: ErrorDetails = {}): Error {
  const error = new MISUSE[kind](withHint(message, details.hint));
  return Object.assign(error, { code: `ERR_MEMMAP_${kind}` }, present(details));
}
