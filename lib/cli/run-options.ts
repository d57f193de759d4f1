// The command line of `memmap run`, checked.

import { POLICIES, PROTECT_MODES, type Policy, type ProtectMode } from '../looking/trace-table.js';
import { UsageError, oneOf, parseCommandLine } from './command.js';

export interface RunOptions {
  readonly report: string | undefined;
  readonly trace: string | undefined;
  readonly base: bigint;
  readonly policy: Policy;
  readonly arena: number;
  readonly protect: ProtectMode;
  readonly events: number;
  readonly children: boolean;
  readonly command: readonly [string, ...string[]];
}

const OPTIONS = {
  report: { type: 'string' },
  trace: { type: 'string' },
  base: { type: 'string' },
  policy: { type: 'string' },
  arena: { type: 'string' },
  protect: { type: 'string' },
  events: { type: 'string' },
  children: { type: 'boolean' },
} as const;

const PLACING = POLICIES.filter((policy) => policy !== 'kernel');

const GiB = 2 ** 30;
const DEFAULT_ARENA = 64 * GiB;
const DEFAULT_EVENTS = 1_000_000;
/** At the end they are read into memory, 64 bytes each. */
const MOST_EVENTS = 10_000_000;
/** User space of x86-64 and arm64 as far as a kernel gives it unasked. */
const MOST_ADDRESS = 2n ** 47n;

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: GiB,
  T: 2 ** 40,
};

function sizeOf(option: string, text: string, pageSize: number): number {
  const [, digits = '', unit = ''] = /^(\d{1,15})([KMGT]?)(?:iB)?$/i.exec(text) ?? [];
  const size = Number(digits) * (UNITS[unit.toUpperCase()] ?? 1);
  if (digits === '' || size < pageSize || size >= Number(MOST_ADDRESS) || size % pageSize !== 0) {
    throw new UsageError(
      `${option} is a size such as 512M, 64G: a multiple of the page size (${pageSize}) below 128T; ${JSON.stringify(text)} is not`,
    );
  }
  return size;
}

function addressOf(text: string, pageSize: number): bigint {
  const address = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : 0n;
  if (address <= 0n || address >= MOST_ADDRESS || address % BigInt(pageSize) !== 0n) {
    throw new UsageError(
      `--base is an address such as 0x200000000000: a multiple of the page size (${pageSize}) below 2^47; ${JSON.stringify(text)} is not`,
    );
  }
  return address;
}

function countOf(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MOST_EVENTS) {
    throw new UsageError(
      `--events is a whole number from 1 to ${MOST_EVENTS}; ${JSON.stringify(text)} is not`,
    );
  }
  return count;
}

/** Where the command begins: behind `--`, or at the first word that belongs to no option. */
export function commandAt(argv: readonly string[]): { options: string[]; command: string[] } {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') return { options: argv.slice(0, at), command: argv.slice(at + 1) };
    if (!word.startsWith('-')) return { options: argv.slice(0, at), command: argv.slice(at) };
    const name = word.slice(2);
    const takesValue = Object.hasOwn(OPTIONS, name) && name !== 'children';
    if (takesValue) at++;
  }
  return { options: [...argv], command: [] };
}

/** Throws UsageError. */
export function parseRun(argv: readonly string[], pageSize: number): RunOptions {
  const { options, command } = commandAt(argv);
  const { values } = parseCommandLine({ args: options, options: OPTIONS });
  const [program, ...args] = command;
  if (program === undefined || program === '') {
    throw new UsageError('a command is wanted: memmap run -- node app.js');
  }
  const places = values.base !== undefined || values.arena !== undefined;
  const base = values.base === undefined ? 0n : addressOf(values.base, pageSize);
  const arena =
    values.arena === undefined ? DEFAULT_ARENA : sizeOf('--arena', values.arena, pageSize);
  if (base + BigInt(arena) > MOST_ADDRESS) {
    throw new UsageError('--base and --arena together reach beyond 2^47');
  }
  return {
    report: values.report,
    trace: values.trace,
    base,
    policy:
      values.policy === undefined
        ? places
          ? 'first-fit'
          : 'kernel'
        : oneOf('--policy', values.policy, PLACING),
    arena,
    protect:
      values.protect === undefined ? 'report' : oneOf('--protect', values.protect, PROTECT_MODES),
    events: values.events === undefined ? DEFAULT_EVENTS : countOf(values.events),
    children: values.children ?? false,
    command: [program, ...args],
  };
}
