// Runs JavaScript in a process of its own: what may crash, exit or leak is watched from outside.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { patience } from './patience';

const root = join(__dirname, '..', '..');
const entry = join(root, 'dist', 'index.js');

export interface ChildOptions {
  /** The Node to run; the one that runs the tests by default. */
  execPath?: string;
  execArgv?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Milliseconds until the child is killed (SIGKILL, and a line on stderr); 30,000 by default. */
  timeout?: number;
  stdin?: string | Uint8Array;
}

export interface ChildResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs `source` as the body of an async function, so that `await` and `return` work on every Node. `memmap` (the compiled
 * package), `require`, `process` are in scope; an error that nobody catches is exit code 1.
 */
export function runChild(source: string, options: ChildOptions = {}): Promise<ChildResult> {
  const { execPath = process.execPath, execArgv = [], env = {}, timeout = 30_000, stdin } = options;
  const program = `const memmap = require(${JSON.stringify(entry)});\n(async () => {\n${source}\n})();\n`;
  return new Promise((resolve, reject) => {
    const child = spawn(execPath, [...execArgv, '-e', program], {
      cwd: root,
      env: { ...process.env, ...env },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    const timer = setTimeout(() => {
      stderr.push(Buffer.from(`\nkilled after ${String(timeout)} ms\n`));
      child.kill('SIGKILL');
      // A process that it has started may have them, and live on.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeout * patience);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString();
      resolve({ code, signal, stdout: text(stdout), stderr: text(stderr) });
    });
    // A child that ends before it has read everything is a result, not an error of ours.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
  });
}

/** The child ended by itself and with success; on failure the message shows all that it said. */
export function expectClean(result: ChildResult): void {
  const { code, signal, stdout, stderr } = result;
  if (code === 0 && signal === null) return;
  const end = signal === null ? `exit code ${String(code)}` : `signal ${signal}`;
  throw new Error(`the child ended with ${end}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`);
}
