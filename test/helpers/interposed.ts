// Runs programs under `memmap run`, and gives what it said and recorded.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Trace, TraceEvent } from '../../lib/index.js';
import type { ChildResult } from './child';
import type { Scratch } from './files';
import { patience } from './patience';

const root = join(__dirname, '..', '..');
export const entry = join(root, 'dist', 'index.js');
export const memmap = join(root, 'dist', 'cli', 'main.js');
export const helper = join(root, 'build', 'Release', 'memmap-interpose.so');

export interface UnderOptions {
  /** Of `memmap run`. */
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeout?: number;
  /** Called with the number of the process of `memmap run`, and what it has printed so far. */
  readonly onOutput?: (pid: number, stdout: string) => void;
}

export interface Under extends ChildResult {
  /** What the program itself said on stderr, and what memmap run said. */
  readonly programErrors: string;
  readonly summary: string;
}

/** Runs a command under `memmap run`. */
export function runUnder(command: readonly string[], given: UnderOptions = {}): Promise<Under> {
  const { options = [], env = {}, timeout = 50_000, onOutput } = given;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [memmap, 'run', ...options, '--', ...command], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput?.(child.pid!, stdout);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const timer = setTimeout(() => {
      stderr += `\nkilled after ${String(timeout)} ms\n`;
      child.kill('SIGKILL');
    }, timeout * patience);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const lines = stderr.split('\n');
      const isOurs = (line: string) => line.startsWith('memmap run: ');
      const programErrors = lines.filter((line) => !isOurs(line)).join('\n');
      const summary = lines.filter(isOurs).join('\n');
      resolve({ code, signal, stdout, stderr, programErrors, summary });
    });
  });
}

export interface Traced extends Under {
  readonly trace: Trace;
}

/** The same, with the trace. */
export async function traceUnder(
  scratch: Scratch,
  command: readonly string[],
  given: UnderOptions = {},
): Promise<Traced> {
  const path = scratch.path('trace.json');
  const options = [...(given.options ?? []), '--trace', path];
  const result = await runUnder(command, { ...given, options });
  if (!existsSync(path)) throw new Error(`there is no trace\n${result.stdout}\n${result.stderr}`);
  return { ...result, trace: JSON.parse(readFileSync(path, 'utf8')) as Trace };
}

/** A program of JavaScript, with memmap in scope, as the words of a command. */
export const script = (source: string): string[] => [
  process.execPath,
  '-e',
  `const memmap = require(${JSON.stringify(entry)});\n(async () => {\n${source}\n})();`,
];

/** It ended by itself and with success, or the message shows all that it said. */
export function expectGood({ code, signal, stdout, stderr }: ChildResult): void {
  if (code === 0 && signal === null) return;
  throw new Error(`ended with ${String(signal ?? code)}\n${stdout}\n${stderr}`);
}

/** Compiles C into a program (or what `flags` say); the reason where that cannot be done. */
export function compile(
  source: string,
  output: string,
  flags: readonly string[] = [],
): string | undefined {
  try {
    execFileSync('cc', ['-O1', '-g', '-Wall', '-o', output, source, '-pthread', ...flags], {
      stdio: 'pipe',
    });
    return undefined;
  } catch (error) {
    return `no C compiler: ${(error as Error).message.split('\n')[0] ?? ''}`;
  }
}

export const mapperSource = join(__dirname, 'mapper.c');

export const by = (events: readonly TraceEvent[], library: RegExp): TraceEvent[] =>
  events.filter(({ caller }) => library.test(caller));

/** Why nothing of this can be tested here. */
export const unsupported =
  process.platform === 'linux' ? undefined : `memmap run is for Linux, not ${process.platform}`;
