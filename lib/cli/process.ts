// Looking at a process. The library is loaded when it is needed: `memmap --help` works where the addon does not.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { CommandError } from './command.js';
import type { OwnerKind, RegionJson } from './data.js';

export interface Look {
  regions: RegionJson[];
  hole: { start: string; length: number };
}

export const ownerKinds = async (): Promise<readonly OwnerKind[]> =>
  (await import('../looking/owner-draft.js')).OWNER_KINDS;

export const pageSize = async (): Promise<number> => (await import('../index.js')).pageSize;

const REASONS: Readonly<Record<string, (pid: string) => string>> = {
  ESRCH: (pid) => `there is no process ${pid}`,
  EPERM: (pid) =>
    `process ${pid} may not be looked at: it is another user's, and that takes root or CAP_SYS_PTRACE`,
};

/** What a process has mapped. */
export async function look(pid: number): Promise<Look> {
  const { addressSpace } = await import('../index.js');
  try {
    const regions = addressSpace.regions({ pid }).map((region) => region.toJSON());
    const { address, length } = addressSpace.fragmentation({ pid }).largestFree;
    return { regions, hole: { start: `0x${address.toString(16)}`, length } };
  } catch (error) {
    const reason = REASONS[(error as NodeJS.ErrnoException).code ?? ''];
    if (reason === undefined) throw error;
    throw new CommandError(reason(String(pid)), { cause: error });
  }
}

/** The command line of a process, where the system shows it. */
export function commandOf(pid: number): string[] {
  if (pid === process.pid) return ['memmap', ...process.argv.slice(2)];
  try {
    const words = readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
    return words.filter((word) => word !== '');
  } catch {
    return [];
  }
}

/** 'node app.js': the program without its folder, and what follows. */
export const titleOf = ([program = '', ...rest]: readonly string[]): string =>
  [basename(program), ...rest].join(' ').slice(0, 120);
