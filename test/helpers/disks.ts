// File systems of a test's own: so small that they can be full, or on a disk that can be broken.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });

export interface Disk {
  /** Where it is mounted. */
  readonly folder: string;
  /** Unmounted and mounted again: nothing of it is in memory. */
  again(): void;
}

export interface ImageDisk extends Disk {
  /** The file below the loop device. */
  readonly image: string;
  /** A copy of the image as it was at the last `again()`. */
  readonly kept: string;
}

type Mount = (folder: string) => void;

async function mounted<D extends Disk, T>(
  below: string,
  mount: Mount,
  { make, use }: { make: (disk: Disk) => D; use: (disk: D) => Promise<T> },
): Promise<T> {
  const folder = join(below, 'disk');
  mkdirSync(folder);
  const again = (): void => {
    run('umount', folder);
    mount(folder);
  };
  mount(folder);
  try {
    return await use(make({ folder, again }));
  } finally {
    // Lazily: also when a child that was killed is still on its way out.
    run('umount', '-l', folder);
  }
}

async function within<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-disk-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A tmpfs of so many bytes for as long as `use` takes. What was on it is gone after `again()`. */
export const withTmpfs = <T>(size: number, use: (disk: Disk) => Promise<T>): Promise<T> =>
  within((below) => {
    const mount = (folder: string): void => {
      run('mount', '-t', 'tmpfs', '-o', `size=${String(size)}`, 'tmpfs', folder);
    };
    return mounted(below, mount, { make: (disk) => disk, use });
  });

/** An ext4 of its own, without blocks kept for root and without a journal, on a loop device. */
export const withExt4 = <T>(size: number, use: (disk: ImageDisk) => Promise<T>): Promise<T> =>
  within((below) => {
    const image = join(below, 'image');
    const kept = join(below, 'kept');
    writeFileSync(image, '');
    truncateSync(image, size);
    run('mkfs.ext4', '-q', '-F', '-m', '0', '-b', '1024', '-O', '^has_journal', image);
    const mount = (folder: string): void => {
      copyFileSync(image, kept);
      run('mount', '-o', 'loop', image, folder);
    };
    return mounted(below, mount, { make: (disk) => ({ ...disk, image, kept }), use });
  });

function reasonOf(attempt: () => void): string | undefined {
  if (process.platform !== 'linux') return 'these are calls of Linux';
  if (process.getuid?.() !== 0) return 'only root may mount';
  try {
    attempt();
    return undefined;
  } catch (error) {
    return (error as Error).message.trim();
  }
}

/** Why `withTmpfs` would fail here, if it would. */
export const noTmpfs = reasonOf(() => {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-disk-'));
  try {
    run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder);
    run('umount', folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Why `withExt4` would fail here, if it would. */
export const noLoop = reasonOf(() => {
  run('mkfs.ext4', '-V');
  run('losetup', '-f');
});

/** What another process finds in a file. */
export const catReads = (path: string): Buffer =>
  execFileSync('cat', [path], { maxBuffer: 1 << 30 });
