// A program in C on the other side of shared memory: pthread_mutex_t and the futex call, no line of ours.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SOURCE = join(__dirname, 'locker.c');

/** Compiles it; the reason where that cannot be done. */
export function buildLocker(folder: string): { readonly path: string } | string {
  const path = join(folder, 'locker');
  try {
    execFileSync('cc', ['-O1', '-pthread', '-o', path, SOURCE], { stdio: 'pipe' });
  } catch (error) {
    return `no C compiler: ${(error as Error).message.trim()}`;
  }
  return { path };
}

/** One process of it, over a file. */
export class Locker {
  readonly child: ChildProcess;
  readonly closed: Promise<unknown>;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string, file: string) {
    this.child = spawn(path, [file], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.closed = once(this.child, 'close');
    const { stdout } = this.child;
    if (stdout === null) throw new Error('no pipe');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Sends a line, without waiting for what it answers. */
  send(...words: readonly (string | number)[]): void {
    this.child.stdin?.write(`${words.join(' ')}\n`);
  }

  async answer(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done === true ? 'the end' : value;
  }

  async ask(...words: readonly (string | number)[]): Promise<string> {
    this.send(...words);
    return this.answer();
  }

  async end(): Promise<void> {
    this.child.stdin?.end();
    await this.closed;
  }
}
