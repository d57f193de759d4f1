// What a command of the command line is, and how it says that it was called wrongly. Knows no command.

import { parseArgs, type ParseArgsConfig } from 'node:util';

export interface Command {
  /** The word after `memmap`. */
  readonly name: string;
  /** One line of `memmap --help`. */
  readonly summary: string;
  /** What `memmap help NAME` prints: the usage line, then the options. */
  readonly help: string;
  /** The words that are its own, where others may follow; all of them unless it says so. */
  ownWords?(argv: readonly string[]): readonly string[];
  /** Its exit code: 0 done, 1 failed. UsageError stands for 2. */
  run(argv: string[]): Promise<number>;
}

/** The command line was wrong: exit code 2 and a pointer to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command that was called wrongly. */
  command?: string;
}

/** What was asked for cannot be had, said in one line: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** `util.parseArgs`; what it refuses is a UsageError. */
export function parseCommandLine<Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // Its second sentence is about '--', which none of our operands needs.
    throw new UsageError(error.message.replace(/\. To specify a positional.*$/s, ''));
  }
}

/** The one of `words` that was given to an option. */
export function oneOf<Word extends string>(
  option: string,
  given: string,
  words: readonly Word[],
): Word {
  const found = words.find((word) => word === given);
  if (found === undefined) {
    throw new UsageError(
      `${option} is one of ${words.join(', ')}; ${JSON.stringify(given)} is not`,
    );
  }
  return found;
}

/** A process id, or that of this process where none is given. */
export function parsePid(given: string | undefined): number {
  if (given === undefined) return process.pid;
  const pid = Number(given);
  if (!/^[1-9]\d{0,9}$/.test(given) || pid > 0x7fff_ffff) {
    throw new UsageError(`a process id is a whole number; ${JSON.stringify(given)} is not`);
  }
  return pid;
}
