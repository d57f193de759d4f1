// The command line as a program of its own, on a pipe or on a terminal.

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { ChildResult } from './child';

export const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');

interface Options {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
}

/** Runs `memmap ARGS` to its end. */
export function memmap(args: readonly string[], { env = {}, cwd }: Options = {}): ChildResult {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  return { code: status, signal, stdout, stderr };
}

/** Runs argv[3:] on a terminal of its own, so wide; prints what it printed. */
const ON_A_TERMINAL = `
import fcntl, os, pty, struct, sys, termios
columns, argv = int(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 50, columns, 0, 0))
    os.execvp(argv[0], argv)
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** What `memmap ARGS` shows on a terminal of this width. */
export function memmapOnTerminal(
  args: readonly string[],
  { columns, env = {} }: { columns: number; env?: Record<string, string> },
): ChildResult {
  const program = [process.execPath, main, ...args];
  const { status, signal, stdout, stderr } = spawnSync(
    'python3',
    ['-c', ON_A_TERMINAL, String(columns), ...program],
    {
      encoding: 'utf8',
      // Node knows better than TERM what the terminals of continuous integration can show.
      env: {
        ...process.env,
        TERM: 'xterm',
        CI: undefined,
        NO_COLOR: undefined,
        FORCE_COLOR: undefined,
        ...env,
      },
    },
  );
  return { code: status, signal, stdout: stdout.replaceAll('\r\n', '\n'), stderr };
}

/** A program that waits until it is stopped; it has printed its first line. */
export async function waiting(
  source: string,
): Promise<{ pid: number; line: string; stop(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', source], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  let text = '';
  for await (const chunk of child.stdout) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  const stop = (): Promise<void> => {
    child.kill('SIGKILL');
    return ended;
  };
  return { pid: child.pid!, line: text.trim(), stop };
}
