#!/usr/bin/env node
// The command line: finds the command, turns its failure into one line on stderr and an exit code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError, type Command } from './command.js';
import { commands } from './commands.js';
import { endQuietlyOnClosedPipe, print } from './output.js';

const width = Math.max(...commands.map(({ name }) => name.length), 'help COMMAND'.length);
const line = (name: string, summary: string): string => `  ${name.padEnd(width)}  ${summary}`;

const overview = `Usage: memmap COMMAND [options]

See and shape the address space of a process.

Commands:
${commands.map(({ name, summary }) => line(name, summary)).join('\n')}

${line('help COMMAND', 'the options of a command')}
${line('--version', 'the version of memmap')}

With MEMMAP_DEBUG=1 an error is shown with its stack.`;

function commandNamed(name: string): Command {
  const found = commands.find((command) => command.name === name);
  if (found === undefined) {
    throw new UsageError(`there is no command ${JSON.stringify(name)}`);
  }
  return found;
}

function version(): string {
  const text = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function help(name: string | undefined): Promise<number> {
  await print(name === undefined ? overview : commandNamed(name).help);
  return 0;
}

/** Whether help was asked for; what follows `--` belongs to somebody else. */
function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const ours = end < 0 ? argv : argv.slice(0, end);
  return ours.includes('--help') || ours.includes('-h');
}

async function dispatch([name, ...argv]: readonly string[]): Promise<number> {
  if (name === undefined) throw new UsageError('a command is wanted');
  if (name === '--help' || name === '-h' || name === 'help') return help(argv[0]);
  if (name === '--version' || name === '-v') {
    await print(version());
    return 0;
  }
  if (name.startsWith('-')) throw new UsageError(`there is no option ${name}`);
  const command = commandNamed(name);
  return asksForHelp(argv) ? help(name) : command.run(argv);
}

/** One clear line; the stack is for those who ask for it. */
function report(error: unknown, argv: readonly string[]): number {
  const wrongly = error instanceof UsageError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`memmap: ${message}\n`);
  if (wrongly) {
    const known = commands.some(({ name }) => name === argv[0]);
    process.stderr.write(`Try 'memmap ${known ? `help ${argv[0] ?? ''}` : '--help'}'.\n`);
  }
  if (process.env['MEMMAP_DEBUG'] && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
  return wrongly ? 2 : 1;
}

async function main(argv: readonly string[]): Promise<void> {
  endQuietlyOnClosedPipe();
  try {
    process.exitCode = await dispatch(argv);
  } catch (error) {
    process.exitCode = report(error, argv);
  }
}

void main(process.argv.slice(2));
