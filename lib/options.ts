// The options of mapFile and mapAnonymous: what they mean, and reading each of them once.
import { misuse } from './errors.js';
import { ACCESS_WORDS, type Access } from './flags.js';
import type { Arena } from './reservation/arena.js';
import { pageSize } from './binding.js';
import type { Lifetime } from './reservation/free-space.js';
import { inside } from './inside.js';
import { settings } from './settings.js';
import { boolean, bytes, options as read, raw, word, wrongKind } from './validate.js';

/** Where a mapping goes and how its memory behaves. */
export interface PlacementOptions {
  /** A page address that the kernel should take: a hint, or with `placement: 'exclusive'` the place. */
  address?: number | bigint;
  /** 'hint' (default) or 'exclusive': exactly at `address`, or EEXIST. Neither replaces anything. */
  placement?: 'hint' | 'exclusive';
  /** Fault every page in now. Past the end of the file, and on a full disk, that is EFAULT. */
  populate?: boolean;
  /** Keep the pages in memory: mlock(2). */
  lock?: boolean;
  /** Reserve no swap space: MAP_NORESERVE. */
  noReserve?: boolean;
  /** Ask for transparent huge pages: MADV_HUGEPAGE. */
  hugePages?: boolean;
  /** Place it in this arena. Not together with `address`. */
  arena?: Arena;
  /** With an arena of policy 'segregated': how long it will stay. Default 'long'. */
  lifetime?: Lifetime;
  /** Keep the mapping in a forked child. Default false: MADV_DONTFORK. */
  inherit?: boolean;
  /**
   * Turn a fault under a Buffer (the file was truncated, the disk is full or failed, the memory is
   * read-only) into the event 'fault'. Default true, or what `configure` says; false leaves the
   * signal to the process, and needs no handler.
   */
  guard?: boolean;
}

export interface MapOptions extends PlacementOptions {
  /**
   * 'read' (default): what the file holds, now and later. 'read-write': the same, and writes reach
   * the file. 'copy-on-write': writes stay private. 'snapshot': a private copy of the bytes as they
   * were when it was mapped, whatever becomes of the file.
   */
  access?: Access;
  /** First byte, any byte of the file. Default 0. */
  offset?: number | bigint;
  /** Bytes to map. Default: to the end of the file. */
  length?: number | bigint;
  /** Make the file when there is none. */
  create?: boolean;
  /** Make the file at least this long first. */
  size?: number | bigint;
  /** With `size`: really allocate its blocks (default), so that a full disk is ENOSPC now. */
  allocate?: boolean;
  /**
   * Bytes that the mapping may have later: it keeps addresses for so many, so that `resize`, `reload`
   * and `append` make it longer without moving it, and Buffers stay valid. 'read' and 'read-write' only.
   */
  maxLength?: number | bigint;
  /**
   * Emit 'change' when the file grows, shrinks, is replaced or deleted. Keeps the mapping until `unmap`, and the process
   * while 'change' has a listener.
   */
  follow?: boolean;
}

/** How shared memory is mapped. */
export interface SharedMapOptions extends PlacementOptions {
  /** Default 'read-write', or 'read' where it was opened for that. */
  access?: Access;
  /** First byte. Default 0. */
  offset?: number | bigint;
  /** Bytes to map. Default: to its end. */
  length?: number | bigint;
}

export interface AnonymousOptions extends PlacementOptions {
  /** 'read-write' (default) or 'read'. */
  access?: 'read' | 'read-write';
  /** MAP_SHARED: with `inherit`, a forked child sees the same memory. */
  shared?: boolean;
}

/** PlacementOptions, read. */
export interface Placement {
  readonly address: number;
  readonly exclusive: boolean;
  readonly populate: boolean;
  readonly lock: boolean;
  readonly noReserve: boolean;
  readonly hugePages: boolean;
  readonly inherit: boolean;
  readonly guarded: boolean;
  /** Itself: a call must not lose the arena that it was given. */
  readonly arena: Arena | undefined;
  readonly lifetime: Lifetime;
}

export interface FilePlan {
  readonly placement: Placement;
  readonly access: Access;
  readonly offset: number;
  readonly length: number | undefined;
  readonly create: boolean;
  readonly size: number | undefined;
  readonly allocate: boolean;
  readonly maxLength: number | undefined;
  readonly follow: boolean;
  /** The file must be opened for writing. */
  readonly writable: boolean;
}

export interface AnonymousPlan {
  readonly placement: Placement;
  readonly access: 'read' | 'read-write';
  readonly length: number;
  readonly shared: boolean;
}

const PLACEMENT = [
  'address',
  'placement',
  'populate',
  'lock',
  'noReserve',
  'hugePages',
  'inherit',
  'guard',
  'arena',
  'lifetime',
] as const;
const FILE = [
  'access',
  'offset',
  'length',
  'create',
  'size',
  'allocate',
  'maxLength',
  'follow',
  ...PLACEMENT,
] as const;
const ANONYMOUS = ['access', 'shared', ...PLACEMENT] as const;

type Given = Partial<Record<string, unknown>>;

const flag = (given: Given, name: string, otherwise = false): boolean =>
  given[name] === undefined ? otherwise : boolean(`options.${name}`, given[name]);

const size = (given: Given, name: string): number | undefined =>
  given[name] === undefined ? undefined : bytes(`options.${name}`, given[name]);

/** Page addresses are exact as numbers; a hint may be any address, the kernel rounds it. */
export function addressOf(given: Given, exclusive: boolean): number {
  if (given['address'] === undefined) {
    if (!exclusive) return 0;
    throw misuse('ARGUMENT', "placement 'exclusive' needs an address", {
      argument: 'options.address',
    });
  }
  const address = raw('options.address', given['address']);
  const rest = address % BigInt(pageSize);
  const wrong = exclusive && (rest !== 0n || address === 0n);
  if (wrong || address >= 2n ** 63n) {
    const expected = `a page address (a multiple of ${String(pageSize)}, below 2^63, not 0)`;
    throw misuse('RANGE', `options.address must be ${expected}; got 0x${address.toString(16)}`, {
      argument: 'options.address',
    });
  }
  return Number(address - rest);
}

/** What 'placement' says. */
export const isExclusive = (value: unknown): boolean =>
  value !== undefined &&
  word('options.placement', value, ['hint', 'exclusive'] as const) === 'exclusive';

const isArena = (value: unknown): value is Arena =>
  typeof value === 'object' && value !== null && inside.arenaSpaceOf(value) !== undefined;

function arenaOf(given: Given): Arena | undefined {
  const value = given['arena'];
  if (value === undefined) return undefined;
  if (!isArena(value)) throw wrongKind('options.arena', 'an Arena', value);
  if (given['address'] === undefined) return value;
  throw misuse('ARGUMENT', 'an arena chooses the address itself', { argument: 'options.address' });
}

function placement(given: Given): Placement {
  const exclusive = isExclusive(given['placement']);
  return {
    address: addressOf(given, exclusive),
    exclusive,
    populate: flag(given, 'populate'),
    lock: flag(given, 'lock'),
    noReserve: flag(given, 'noReserve'),
    hugePages: flag(given, 'hugePages'),
    inherit: flag(given, 'inherit'),
    guarded: flag(given, 'guard', settings.guard),
    arena: arenaOf(given),
    lifetime:
      given['lifetime'] === undefined
        ? 'long'
        : word('options.lifetime', given['lifetime'], ['long', 'short'] as const),
  };
}

/** What no options mean, by whether they guard: reading them again would cost as much as the map. */
const ANYWHERE = { guarded: placement({}), unguarded: placement({ guard: false }) };

const anywhere = (): Placement => (settings.guard ? ANYWHERE.guarded : ANYWHERE.unguarded);

const access = <Word extends Access>(
  given: Given,
  words: readonly Word[],
  otherwise: Word,
): Word =>
  given['access'] === undefined ? otherwise : word('options.access', given['access'], words);

function fileOptions(options: unknown): FilePlan {
  const given = read('options', options, FILE);
  const chosen = access(given, ACCESS_WORDS, 'read');
  const create = flag(given, 'create');
  const wanted = size(given, 'size');
  const maxLength = size(given, 'maxLength');
  const length = size(given, 'length');
  if (maxLength !== undefined) mustFitCapacity(chosen, length, maxLength);
  return {
    placement: placement(given),
    access: chosen,
    offset: size(given, 'offset') ?? 0,
    length,
    create,
    size: wanted,
    allocate: flag(given, 'allocate', true),
    maxLength,
    follow: flag(given, 'follow'),
    writable: chosen === 'read-write' || create || wanted !== undefined,
  };
}

function mustFitCapacity(chosen: Access, length: number | undefined, maxLength: number): void {
  const argument = 'options.maxLength';
  if (chosen === 'copy-on-write' || chosen === 'snapshot') {
    throw misuse('UNSUPPORTED', `a '${chosen}' mapping cannot grow in place`, {
      argument,
      hint: "maxLength is for access 'read' and 'read-write'",
    });
  }
  if (maxLength > 0 && (length === undefined || length <= maxLength)) return;
  throw misuse(
    'RANGE',
    `options.maxLength must be at least 1 and at least the length; got ${String(maxLength)}`,
    {
      argument,
    },
  );
}

const WHOLE_FILE = fileOptions(undefined);

export function filePlan(options: unknown): FilePlan {
  if (options !== undefined) return fileOptions(options);
  return settings.guard ? WHOLE_FILE : { ...WHOLE_FILE, placement: anywhere() };
}

const SHARED = ['access', 'offset', 'length', ...PLACEMENT] as const;

/** What of shared memory is mapped; by default all of it, with the access it was opened with. */
export function sharedPlan(options: unknown, otherwise: Access): FilePlan {
  const given = read('options', options, SHARED);
  return { ...fileOptions(given), access: access(given, ACCESS_WORDS, otherwise) };
}

export function anonymousPlan(length: unknown, options: unknown): AnonymousPlan {
  const asked = bytes('length', length, 1);
  if (options === undefined) {
    return { placement: anywhere(), access: 'read-write', length: asked, shared: false };
  }
  const given = read('options', options, ANONYMOUS);
  return {
    placement: placement(given),
    access: access(given, ['read', 'read-write'] as const, 'read-write'),
    length: asked,
    shared: flag(given, 'shared'),
  };
}
