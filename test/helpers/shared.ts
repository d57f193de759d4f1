// Names of shared memory that belong to a test file, and nothing left of them.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = '/dev/shm';

/** In every name, so that what a killed child leaves is found. */
export const prefix = `memmap-test-${process.pid}-${Math.random().toString(36).slice(2, 8)}-`;

let count = 0;

/** A name that nobody has. */
export const newName = (what = 'x'): string => `${prefix}${String(++count)}-${what}`;

/** The path of a name, as the kernel and other programs know it. */
export const pathOf = (name: string): string => join(FOLDER, name);

/** What of this file's names there is, without asking memmap. */
export const namesLeft = (): string[] =>
  readdirSync(FOLDER).filter((name) => name.startsWith(prefix) || name.startsWith('.memmap-'));

/** Removes what is left, and gives what that was. */
export function removeNames(): string[] {
  const left = namesLeft().filter((name) => name.startsWith(prefix));
  for (const name of left) rmSync(pathOf(name), { force: true });
  return left;
}
