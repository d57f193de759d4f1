// Which process to look at, and what it means when the kernel does not let us.
import { check, codeOf } from '../binding.js';
import { MapError, errnoOf, misuse } from '../errors.js';
import { describe, int, options as read } from '../validate.js';

/** Which process to look at. */
export interface ProcessOptions {
  /** Its number; this process by default. */
  pid?: number;
}

/** 0 for this process. */
export function processOf(options: unknown): number {
  const { pid } = read('options', options, ['pid'] as const);
  if (pid === undefined) return 0;
  const asked = int('options.pid', pid);
  if (asked < 1) {
    throw misuse('RANGE', `options.pid must be a process's number; got ${describe(pid)}`, {
      argument: 'options.pid',
    });
  }
  return asked === process.pid ? 0 : asked;
}

/** The answer of a look at a process, or why there is none. */
export function lookedAt<Answer>(pid: number, answer: Answer): ReturnType<typeof check<Answer>> {
  const code = codeOf(answer);
  if (code === 'ESRCH') {
    throw new MapError(errnoOf(code), 'open', { hint: `there is no process ${String(pid)}` });
  }
  // The kernel has two words for it.
  if (code === 'EACCES' || code === 'EPERM') {
    throw new MapError(errnoOf('EPERM'), 'open', {
      hint: `process ${String(pid)} may be looked at by its own user, or with CAP_SYS_PTRACE`,
    });
  }
  return check(answer);
}
