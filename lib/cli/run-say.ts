// What `memmap run` says on stderr, beside what the program says there.

import { printable } from './sizes.js';

export const say = (lines: readonly string[]): void => {
  process.stderr.write(lines.map((line) => `memmap run: ${printable(line)}\n`).join(''));
};

/** What comes after the program must not change how it ended: a failure is only told. */
export function attempt(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    say([`${what}: ${error instanceof Error ? error.message : String(error)}`]);
  }
}
