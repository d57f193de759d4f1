// What `memmap run` is asked to start: where it is, and why the helper cannot be loaded into it.

import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, delimiter, join } from 'node:path';

/** A program that was found, or why there is nothing to run, with the exit code that shells have for it. */
export type Target =
  | { readonly path: string; readonly problem?: undefined }
  | { readonly problem: string; readonly code: 125 | 126 | 127 };

const isFile = (path: string): boolean => {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

const mayRun = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** As execvp(3) looks for it. */
function find(command: string): Target {
  const candidates = command.includes('/')
    ? [command]
    : (process.env['PATH'] ?? '/usr/bin:/bin')
        .split(delimiter)
        .map((folder) => join(folder === '' ? '.' : folder, command));
  const files = candidates.filter(isFile);
  const path = files.find(mayRun);
  if (path !== undefined) return { path };
  if (files[0] !== undefined) return { problem: `${files[0]} cannot be executed`, code: 126 };
  return { problem: `${command}: no such program`, code: 127 };
}

const HEAD_SIZE = 65536;

function headOf(path: string): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const head = Buffer.alloc(HEAD_SIZE);
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } catch {
    return undefined; // It can be executed and not read.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

/** Why a loader would not load the helper into this ELF file. */
function elfProblem(path: string, head: Buffer): string | undefined {
  const machine = MACHINES[process.arch];
  if (head.length < 64) return undefined;
  if (head[4] !== 2 || head.readUInt16LE(18) !== machine) {
    return `${path} is for another machine than this Node`;
  }
  const start = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  const kinds = new Set<number>();
  for (let at = start; at < start + size * count && at + 4 <= head.length; at += size || 1) {
    kinds.add(head.readUInt32LE(at));
  }
  if (kinds.has(PT_INTERP)) return undefined;
  const how = kinds.has(PT_DYNAMIC) ? 'statically linked (static-pie)' : 'statically linked';
  return `${path} is ${how}: without a dynamic loader nothing can be loaded into it`;
}

/** Its user or group would be another: the loader then drops LD_PRELOAD. */
function changesUser(path: string): boolean {
  const { mode, uid, gid } = statSync(path);
  const user = (mode & 0o4000) !== 0 && uid !== process.getuid?.();
  const group = (mode & 0o2000) !== 0 && (mode & 0o010) !== 0 && gid !== process.getgid?.();
  return user || group;
}

/** The program of a script's first line; of `/usr/bin/env NAME` that NAME. */
function interpreterOf(head: Buffer): string | undefined {
  if (head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const [line = ''] = head.toString('latin1', 2, 512).split('\n');
  const [program = '', ...words] = line.trim().split(/\s+/);
  if (basename(program) !== 'env') return program;
  return words.find((word) => !word.startsWith('-') && !word.includes('=')) ?? program;
}

/** Finds a command, and looks whether the helper can be loaded into what will run. */
export function findTarget(command: string): Target {
  const found = find(command);
  if (found.problem !== undefined) return found;
  let { path } = found;
  for (let depth = 0; depth < 5; depth++) {
    if (changesUser(path)) {
      const problem = `${path} changes its user or group, and the loader then ignores LD_PRELOAD`;
      return { problem, code: 125 };
    }
    const head = headOf(path);
    if (head?.toString('latin1', 0, 4) === '\x7fELF') {
      const problem = elfProblem(path, head);
      return problem === undefined ? found : { problem, code: 125 };
    }
    const interpreter = head === undefined ? undefined : interpreterOf(head);
    if (interpreter === undefined) return found;
    const next = find(interpreter);
    if (next.problem !== undefined) return { ...next, problem: `${path}: ${next.problem}` };
    path = realpathSync(next.path);
  }
  return found;
}
