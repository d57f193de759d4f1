#!/usr/bin/env node
// The command line: finds the command, turns its failure into one line on stderr and an exit code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError, type Command } from './command.js';
import { endQuietlyOnClosedPipe, print } from './output.js';
import { printable } from './sizes.js';

type Commands = readonly Command[];

function overview(commands: Commands): string {
  const width = Math.max(...commands.map(({ name }) => name.length), 'help COMMAND'.length);
  const line = (name: string, summary: string): string => `  ${name.padEnd(width)}  ${summary}`;
  return `Usage: memmap COMMAND [options]

See and shape the address space of a process.

Commands:
${commands.map(({ name, summary }) => line(name, summary)).join('\n')}

${line('help COMMAND', 'the options of a command')}
${line('--version', 'the version of memmap')}

With MEMMAP_DEBUG=1 an error is shown with its stack.`;
}

function commandNamed(name: string, commands: Commands): Command {
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

async function help(name: string | undefined, commands: Commands): Promise<number> {
  await print(name === undefined ? overview(commands) : commandNamed(name, commands).help);
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
  if (name === '--version' || name === '-v') {
    await print(version());
    return 0;
  }
  // Here, where it is caught when the addon cannot be loaded.
  const { commands } = await import('./commands.js');
  if (name === '--help' || name === '-h' || name === 'help') return help(argv[0], commands);
  if (name.startsWith('-')) throw new UsageError(`there is no option ${name}`);
  const command = commandNamed(name, commands);
  if (asksForHelp(command.ownWords?.(argv) ?? argv)) return help(name, commands);
  try {
    return await command.run(argv);
  } catch (error) {
    if (error instanceof UsageError) error.command = name;
    throw error;
  }
}

/** One clear line; the stack is for those who ask for it. */
function report(error: unknown): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`memmap: ${message.split('\n').map(printable).join('\n')}\n`);
  if (error instanceof UsageError) {
    const where = error.command === undefined ? '--help' : `help ${error.command}`;
    process.stderr.write(`Try 'memmap ${where}'.\n`);
  }
  if (process.env['MEMMAP_DEBUG'] && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
  return error instanceof UsageError ? 2 : 1;
}

async function main(argv: readonly string[]): Promise<void> {
  endQuietlyOnClosedPipe();
  try {
    process.exitCode = await dispatch(argv);
  } catch (error) {
    process.exitCode = report(error);
  }
}

void main(process.argv.slice(2));
