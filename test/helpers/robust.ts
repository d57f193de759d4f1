// The addon of robust.c: mutexes of the C library, beside ours.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Scratch } from './files';

const source = join(__dirname, 'robust.c');

/** Compiles it into a folder: where it is, and whether it is there. */
export function robustAddon(scratch: Scratch): { addon: string; isThere: boolean } {
  const addon = join(scratch.folder, 'robust.node');
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-pthread', '-o', addon, source], { stdio: 'pipe' });
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
  }
  return { addon, isThere: existsSync(addon) };
}
