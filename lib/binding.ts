// The ONE typed door to C++. Nothing else loads the addon; a failure comes out of it as data and
// becomes an Error here.
import { join } from 'node:path';
import type load from 'node-gyp-build';
import {
  type ErrorDetails,
  FaultError,
  type FaultKind,
  MapError,
  errnoOf,
  misuse,
  systemError,
} from './errors.js';
import { LoadError } from './load-error.js';
import type { Failure, Maybe, Native } from './native.js';

/** Where the package is. */
export const root = join(__dirname, '..');

/** What was compiled here, then what was shipped; glibc before musl, whose loader refuses the other. */
function addonFiles(): string[] {
  const { platform, arch } = process;
  const shipped =
    platform === 'linux' ? ['memmap.glibc.node', 'memmap.musl.node'] : ['memmap.node'];
  return [
    join(root, 'build', 'Release', 'memmap.node'),
    join(root, 'native', 'build', 'Release', 'memmap.node'),
    ...shipped.map((name) => join(root, 'prebuilds', `${platform}-${arch}`, name)),
  ];
}

/** `looked` gets each file that was looked for. The first failure of one that is there is thrown. */
function openAny(looked: string[]): Native {
  let failure: unknown;
  for (const file of addonFiles()) {
    looked.push(file);
    try {
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- an addon has no other way in
      return require(file) as Native;
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
      if (!isMissing) failure ??= error;
    }
  }
  if (failure !== undefined) throw failure as Error;
  // In these very words, by which tracers of deployments (@vercel/nft) find the addon.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return (require('node-gyp-build') as typeof load)(join(__dirname, '..')) as Native;
}

function open(): Native {
  const looked: string[] = [];
  try {
    return openAny(looked);
  } catch (cause) {
    throw new LoadError({ root, looked, cause });
  }
}

/** The addon's functions, as C++ gives them. Pass what they answer through one of the below. */
export const native = open();

/** True when C++ answered with a failure. */
export const isFailure = (value: unknown): value is Failure =>
  typeof value === 'object' && value !== null && 'errno' in value && 'syscall' in value;

const LIMIT_HINT =
  'the kernel allows a process only so many mappings: sysctl vm.max_map_count; unmap some, or raise it';

/** Of an error and its system call. */
const HINTS: Readonly<Record<string, string>> = {
  'ENODEV mmap': 'only regular files and some devices can be mapped',
  'EACCES mmap':
    'the descriptor must be open for reading, and for writing too if the mapping is shared and writable',
};

/** Of a mapping in a reservation or an arena. */
export const cannotLeave = (details: ErrorDetails): Error =>
  misuse('UNSUPPORTED', 'what lies in a reservation or an arena can neither grow nor leave it', {
    ...details,
    hint: 'place() it again, longer, or map it elsewhere',
  });

function toError(failure: Failure, details: ErrorDetails): Error {
  const at = BigInt(failure.at ?? 0);
  switch (failure.refusal) {
    case undefined: {
      const error = new MapError(failure.errno, failure.syscall, details);
      const hint = details.hint ?? HINTS[`${error.code} ${failure.syscall}`];
      if (hint === undefined) return error;
      return new MapError(failure.errno, failure.syscall, { ...details, hint });
    }
    case 'limit':
      return new MapError(errnoOf('ENOMEM'), failure.syscall, { ...details, hint: LIMIT_HINT });
    case 'no-external':
      return misuse('UNSUPPORTED', 'this runtime does not allow ArrayBuffers over outside memory', {
        ...details,
        hint: 'read() and write() work everywhere',
      });
    case 'no-shared':
      return misuse('UNSUPPORTED', 'this Node has no SharedArrayBuffers over outside memory', {
        ...details,
        hint: '22.23, 24.21, 26.7 and later have; a mapping of the same file in each thread works everywhere',
      });
    case 'busy':
      return misuse(
        'BUSY',
        'an ArrayBuffer over the memory was transferred, or is being collected, or is shared',
        {
          ...details,
          address: at,
          hint: 'memory that somebody may still be reading must stay readable',
        },
      );
    case 'fault':
      return faultAt(failure.at ?? 0, details.hint);
    case 'placed':
      return cannotLeave({ ...details, address: at });
    case 'private':
      return misuse('UNSUPPORTED', 'no other process can have this memory: it is private', {
        ...details,
        hint: "map it shared: access 'read-write' of a file, or mapAnonymous(length, { shared: true })",
      });
    case 'no-way-back':
      return misuse('UNSUPPORTED', 'nothing is left that could show what was mapped there', {
        ...details,
        address: at,
        hint: 'private pages of a file need Linux 5.13, huge pages cannot at all: map it again',
      });
    case 'unreadable':
      return misuse('UNSUPPORTED', 'a page of it cannot be read', {
        ...details,
        address: at,
        hint:
          details.hint ??
          "its protection, or MADV_GUARD_INSTALL, excludes it: protect('read') or MADV_GUARD_REMOVE first",
      });
    case 'argument':
      return misuse('ARGUMENT', `the addon refused argument ${String(at)}`, details);
    case 'retired':
      return misuse('FOREIGN', `the page at 0x${at.toString(16)} was unmapped a moment ago`, {
        ...details,
        address: at,
        hint: 'native code may still be reading it, so memmap keeps it a little longer',
      });
    default:
      return misuse(
        'FOREIGN',
        `the page at 0x${at.toString(16)} is not this thread's, so memmap does not touch it`,
        { ...details, address: at },
      );
  }
}

/** By the names in lib/errors.ts; the addon numbers them from 1. */
export const FAULT_KINDS: readonly FaultKind[] = ['truncated', 'no-space', 'io-error', 'read-only'];

interface OwnerDetails extends ErrorDetails {
  /** Address of the mapping's first byte. */
  readonly start?: number;
  /** Where that lies in its file, if it has one. */
  readonly firstByte?: number | undefined;
}

let ownerOf: (page: number) => OwnerDetails = () => ({});

/** Says how to find the mapping of a page, for the errors that only name the page. */
export function knowMappings(find: (page: number) => OwnerDetails): void {
  ownerOf = find;
}

/** A call met a page that the fault guard put in. */
export function faultAt(page: number, hint?: string): FaultError {
  const [, , kind = 0] = check(native.damaged(page, pageSize));
  const { start = page, firstByte, ...owner } = ownerOf(page);
  const first = Math.max(page, start);
  const offset = first - start;
  return new FaultError(FAULT_KINDS[kind - 1] ?? 'truncated', {
    ...owner,
    hint: hint ?? 'repair() gives its pages back once that is possible',
    address: BigInt(first),
    length: page + pageSize - first,
    offset,
    fileOffset: BigInt(firstByte === undefined ? 0 : firstByte + offset),
  });
}

/** Which views over the pages an overlay keeps: those of a reservation are about addresses. */
export const KEEP = { nothing: 0, spans: 1, views: 2 } as const;

/** The value, or the failure thrown as an Error with `details`. */
export function check<Answer>(answer: Answer, details?: ErrorDetails): Exclude<Answer, Failure> {
  if (isFailure(answer)) throw toError(answer, details ?? {});
  return answer as Exclude<Answer, Failure>;
}

/** The same for a call on the thread pool. */
export async function checkLater<Value>(
  answer: Maybe<Promise<Maybe<Value>>>,
  details?: ErrorDetails,
): Promise<Value> {
  return check(await check(answer, details), details);
}

/** True when the answer is ENOMEM, or our own limit: worth a collection and another try. */
export const isOutOfRoom = (answer: unknown): boolean =>
  isFailure(answer) &&
  answer.destroyed !== true &&
  (answer.refusal === 'limit' || answer.errno === errnoOf('ENOMEM'));

/** The kernel's word for a failure, `undefined` for any other answer. */
export const codeOf = (answer: unknown): string | undefined =>
  isFailure(answer) ? systemError(answer.errno)?.[0] : undefined;

/** True when a fixed call failed and what was there is gone. */
export const isDestroyed = (answer: unknown): boolean =>
  isFailure(answer) && answer.destroyed === true;

export const pageSize = native.pageSize;
