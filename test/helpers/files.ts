// Scratch files, and readers that are not this process.

import { execFileSync } from 'node:child_process';
import {
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of the test file's own; it is removed when the file is done. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), 'memmap-'));
  #count = 0;

  /** A path at which nothing is. */
  path(name = 'file'): string {
    this.#count++;
    return join(this.folder, `${String(this.#count)}-${name}`);
  }

  /** A new file with these contents. */
  file(contents: Uint8Array | string): string {
    const path = this.path();
    writeFileSync(path, contents);
    return path;
  }

  fifo(): string {
    const path = this.path('fifo');
    execFileSync('mkfifo', [path]);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Bytes that are different at every offset a test looks at. */
export const patterned = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => (at * 7 + (at >> 8) * 13 + 1) & 0xff));

/** How many descriptors of this process are of this file: of no other, which the collector may close at any time. */
export function descriptorsOf(file: string | number): number {
  const { dev, ino } = typeof file === 'number' ? fstatSync(file) : statSync(file);
  const isOf = (fd: string): boolean => {
    const found = statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false });
    return found?.dev === dev && found.ino === ino;
  };
  return readdirSync('/proc/self/fd').filter(isOf).length;
}

/** What another process finds in a file: hexadecimal. */
export function pythonReads(path: string, offset: number, length: number): string {
  const program =
    'import sys\nf=open(sys.argv[1],"rb")\nf.seek(int(sys.argv[2]))\nprint(f.read(int(sys.argv[3])).hex())';
  const args = ['-c', program, path, String(offset), String(length)];
  return execFileSync('python3', args, { encoding: 'utf8' }).trim();
}

/** A file system of its own, so small that it can be full. */
export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** The reason where this process may not mount. */
  static mount(below: string, size: string): SmallDisk | string {
    const folder = join(below, 'disk');
    mkdirSync(folder, { recursive: true });
    if (process.getuid?.() !== 0) return 'only root may mount a tmpfs';
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], {
        stdio: 'pipe',
      });
      return new SmallDisk(folder);
    } catch (error) {
      return `mounting a tmpfs failed: ${(error as Error).message.trim()}`;
    }
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.folder], { stdio: 'pipe' });
  }
}
