// memmap run: starts a program with the helper in it, and tells how it lived.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pageSize } from '../granularity.js';
import { tableHead, tableSize } from '../looking/trace-table.js';
import type { Command } from './command.js';
import { findHelper, preload, requirePlatform } from './run-helper.js';
import { childrenOf, readChild, readLife } from './run-life.js';
import { type RunOptions, commandAt, parseRun } from './run-options.js';
import { type Sample, Sampler } from './run-samples.js';
import { attempt, say } from './run-say.js';
import { summaryOf } from './run-summary.js';
import { findTarget } from './run-target.js';
import { checkOutputs, writeOutputs } from './run-outputs.js';

const HELP = `Usage: memmap run [options] -- COMMAND [ARGUMENTS]

Runs a program with a helper in it (LD_PRELOAD) that sees mmap, munmap, mremap, mprotect and madvise of
V8, libuv and addons, and says at the end on stderr what they did. Linux only.

  --trace FILE     write what was seen as JSON
  --report FILE    write a page that draws it
  --children       programs that it starts, too: FILE becomes FILE.PID for each
  --events N       room for so many calls (1,000,000)

  --protect MODE   what happens to calls of others that hit memory which memmap mapped:
                   report (default), refuse (they fail with EPERM), off

  --policy POLICY  place what asks for no address: first-fit, best-fit, top-down
  --base ADDRESS   where: from there on (first-fit unless --policy says otherwise)
  --arena SIZE     in so much address space (64G)

Its exit code is that of the program; 127: there is none, 126: it cannot be executed, 125: nothing
can be loaded into it.`;

/** The table for the helper to fill, open: the file is as long as it may become, and holds no blocks yet. */
function makeTable(path: string, options: RunOptions): number {
  const fd = openSync(path, 'wx+', 0o600);
  writeSync(fd, tableHead({ ...options, pageSize }));
  ftruncateSync(fd, tableSize(options.events));
  return fd;
}

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];

/** The terminal tells its signals to the child as well: it must not hear them twice. */
const FROM_TERMINAL: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT']);
const hasTerminal = (): boolean => process.stdin.isTTY || process.stderr.isTTY;

function forwardSignals(child: ChildProcess): () => void {
  const listeners = FORWARDED.map((signal) => {
    const listener = (): void => {
      if (!FROM_TERMINAL.has(signal) || !hasTerminal()) child.kill(signal);
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

interface Run extends Ending {
  readonly samples: readonly Sample[];
  /** What ran at last. */
  readonly program: string;
}

async function runWith(table: string, path: string, options: RunOptions): Promise<Run> {
  const LD_PRELOAD = preload(findHelper(), dirname(table), process.env['LD_PRELOAD']);
  const [command, ...args] = options.command;
  // Whoever is the child of another one does not even look for the table.
  const only = options.children ? undefined : String(process.pid);
  const child = spawn(path, args, {
    argv0: command,
    stdio: 'inherit',
    env: { ...process.env, LD_PRELOAD, MEMMAP_RUN: table, MEMMAP_RUN_PARENT: only },
  });
  const stopForwarding = forwardSignals(child);
  let sampler: Sampler | undefined;
  const ending = await new Promise<Ending>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => (sampler = new Sampler(child.pid ?? 0)));
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  stopForwarding();
  return { ...ending, samples: sampler?.stop() ?? [], program: sampler?.program ?? path };
}

const howOf = ({ code, signal }: Ending): string =>
  signal === null ? `ended with ${String(code)}` : `ended by ${signal}`;

/** As the program ended: with its code, or by its signal. */
async function endAs({ code, signal }: Ending): Promise<number> {
  if (signal === null) return code ?? 1;
  if (signal !== 'SIGKILL') {
    // Node ignores some; a listener that goes leaves what the system does by itself.
    const listener = (): void => undefined;
    process.on(signal, listener).off(signal, listener);
  }
  process.kill(process.pid, signal);
  // It comes at once.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return 128 + constants.signals[signal];
}

/** Of the program itself. The table was opened before it ran: it may have removed the folder. */
function tell(fd: number, table: string, options: RunOptions, run: Run): void {
  const { samples, program } = run;
  const life = readLife(fd, table, { command: options.command, samples, program });
  if (life === undefined) {
    say([
      `${options.command[0]} ${howOf(run)}; the helper was never loaded into it, so nothing was seen`,
    ]);
    return;
  }
  say(summaryOf(life, howOf(run)));
  writeOutputs(options, life);
}

/** One after the other: there may be thousands. */
function tellChildren(table: string, options: RunOptions): void {
  for (const name of childrenOf(table)) {
    attempt(`process ${name} cannot be told of`, () => {
      const life = readChild(table, name);
      if (life === undefined) return;
      say(summaryOf(life, 'a child, seen'));
      writeOutputs(options, life, name);
    });
  }
}

async function runIn(folder: string, path: string, options: RunOptions): Promise<Ending> {
  const table = join(folder, 'table');
  const fd = makeTable(table, options);
  try {
    const run = await runWith(table, path, options);
    attempt(`${howOf(run)}, but what was seen cannot be told`, () => {
      tell(fd, table, options, run);
    });
    if (options.children) {
      attempt('the programs that it started cannot be told of', () => {
        tellChildren(table, options);
      });
    }
    return run;
  } finally {
    closeSync(fd);
  }
}

async function run(argv: string[]): Promise<number> {
  requirePlatform(process.platform, process.arch);
  const options = parseRun(argv, pageSize);
  const target = findTarget(options.command[0]);
  if (target.problem !== undefined) {
    say([target.problem]);
    return target.code;
  }
  checkOutputs(options);
  const folder = mkdtempSync(join(resolve(tmpdir()), 'memmap-run-'));
  let ending: Ending;
  try {
    ending = await runIn(folder, target.path, options);
  } finally {
    attempt('the temporary folder stays', () => {
      rmSync(folder, { recursive: true, force: true });
    });
  }
  return endAs(ending);
}

export const runCommand: Command = {
  name: 'run',
  summary: 'run a program, and see what it maps',
  help: HELP,
  ownWords: (argv) => commandAt(argv).options,
  run,
};
