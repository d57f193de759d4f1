// Two processes on two processors, ours and theirs alike: where the scheduler puts them is otherwise most
// of what a round trip takes, and differs from run to run.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The first two processors that may be used, or none where that cannot be said or there is one. */
function chooseProcessors() {
  if (process.platform !== 'linux') return undefined;
  const [, list] = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  const [first, second] = list.split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number);
    return [from, from + 1].filter((number) => number <= to);
  });
  const known = second !== undefined && spawnSync('taskset', ['--version']).status === 0;
  return known ? [first, second] : undefined;
}

/** Of this end and the other one. Asked before anybody is pinned. */
export const processors = chooseProcessors();

/** Keeps the main thread of a process on the processor of one end. */
export function pin(pid, end) {
  if (processors === undefined) return;
  const { status, stderr } = spawnSync('taskset', ['-cp', String(processors[end]), String(pid)]);
  if (status !== 0) throw new Error(`taskset: ${stderr}`);
}
