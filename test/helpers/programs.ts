// Runs a program of test/helpers in a process of its own.

import { spawn } from 'node:child_process';
import { patience } from './patience';

export interface ProgramResult {
  pid: number;
  stdout: string;
}

/** Its output, once it has ended by itself and with success; another end is an error that shows all it said. */
export async function runProgram(
  args: readonly string[],
  timeout = 50_000,
): Promise<ProgramResult> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout * patience);
  const end = await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => {
      resolve(code ?? signal);
    });
  });
  clearTimeout(timer);
  if (end !== 0)
    throw new Error(`it ended with ${String(end)}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`);
  return { pid: child.pid ?? 0, stdout };
}
