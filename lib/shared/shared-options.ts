// The options of shared memory: what they mean, and reading each of them once.
import type { Mapping } from '../mapping.js';
import { misuse } from '../errors.js';
import { boolean, bytes, callback, describe, options as read, word } from '../validate.js';

/** Until when shared memory with a name is there. */
export type SharedLifetime = 'kernel' | 'processes';

/** How shared memory is made. */
export interface SharedCreateOptions {
  /** Bytes, at least 1. */
  size: number | bigint;
  /**
   * Who may open it, as a file's permissions from 0 to 0o777; the process's umask takes away from it
   * as from every open(2). Default 0o600: this user only. Not with `null`.
   */
  mode?: number;
  /** True (default): EEXIST when there is one of that name. False: that one is opened as it is. */
  exclusive?: boolean;
  /** Really allocate the memory (default), so that a full /dev/shm is ENOSPC now and no fault later. */
  allocate?: boolean;
  /**
   * 'kernel' (default): until somebody unlinks it, or the machine stops. 'processes': until the last
   * process that has it open through memmap, or has it mapped, is gone, however that ended. Linux.
   */
  lifetime?: SharedLifetime;
  /**
   * Fills it before anybody can see it. The mapping is unmapped when this returns; what it throws is
   * thrown by `create`, and nothing is left. Not called for one that was there when `create` began;
   * what it filled is thrown away when somebody else was quicker, so it must do nothing else.
   */
  initialize?: (mapping: Mapping) => void;
  /** With `exclusive: false`: as for `open`. */
  timeout?: number;
}

/** How shared memory is opened. */
export interface SharedOpenOptions {
  /** Default 'read-write'. */
  access?: SharedAccess;
  /**
   * Milliseconds to wait, blocking, for one of size 0 to be given a size: a program in C makes it and
   * sizes it in two steps. Default 0.
   */
  timeout?: number;
}

/** What a descriptor of shared memory allows. */
export type SharedAccess = 'read' | 'read-write';

export interface CreatePlan {
  readonly size: number;
  readonly mode: number;
  readonly exclusive: boolean;
  readonly allocate: boolean;
  readonly lifetime: SharedLifetime;
  readonly initialize: ((mapping: Mapping) => unknown) | undefined;
  readonly timeout: number;
}

export interface OpenPlan {
  readonly access: SharedAccess;
  readonly timeout: number;
}

const ALL = ['size', 'mode', 'exclusive', 'allocate', 'lifetime', 'initialize', 'timeout'] as const;
const NAMELESS = ['size', 'allocate', 'initialize'] as const;
const MOST_MODE = 0o777;

function modeOf(value: unknown): number {
  if (value === undefined) return 0o600;
  const whole = typeof value === 'number' && value >= 0 && value <= MOST_MODE;
  if (whole && Math.trunc(value) === value) return value;
  throw misuse(
    typeof value === 'number' ? 'RANGE' : 'ARGUMENT',
    `options.mode must be permissions from 0 to 0o777; got ${describe(value)}`,
    { argument: 'options.mode' },
  );
}

/** Milliseconds; Infinity waits for ever. */
export function milliseconds(name: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && value >= 0) return value;
  throw misuse(
    typeof value === 'number' ? 'RANGE' : 'ARGUMENT',
    `${name} must be milliseconds, 0 or more; got ${describe(value)}`,
    { argument: name },
  );
}

export function createPlan(options: unknown, named: boolean): CreatePlan {
  const given: Partial<Record<(typeof ALL)[number], unknown>> = named
    ? read('options', options, ALL)
    : read('options', options, NAMELESS);
  const flag = (name: 'exclusive' | 'allocate'): boolean =>
    given[name] === undefined || boolean(`options.${name}`, given[name]);
  return {
    size: bytes('options.size', given.size, 1),
    mode: modeOf(given.mode),
    exclusive: flag('exclusive'),
    allocate: flag('allocate'),
    lifetime:
      given.lifetime === undefined
        ? 'kernel'
        : word('options.lifetime', given.lifetime, ['kernel', 'processes'] as const),
    initialize: callback('options.initialize', given.initialize) as CreatePlan['initialize'],
    timeout: milliseconds('options.timeout', given.timeout, 0),
  };
}

const ACCESS = ['read', 'read-write'] as const;

export function openPlan(options: unknown): OpenPlan {
  const given = read('options', options, ['access', 'timeout'] as const);
  return {
    access: accessOf(given.access),
    timeout: milliseconds('options.timeout', given.timeout, 0),
  };
}

/** The one option of what is opened through a process. */
export const accessPlan = (options: unknown): SharedAccess =>
  accessOf(read('options', options, ['access'] as const).access);

const accessOf = (value: unknown): SharedAccess =>
  value === undefined ? 'read-write' : word('options.access', value, ACCESS);
