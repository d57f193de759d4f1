// One run of the suite with one Node, as numbers.

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import { inRoot, spawn, tool } from './util.mjs';

// In this order: what needs only this process, then what forks.
const projects = ['unit', 'process'];
const WORKERS = '--maxWorkers=2';
const SLOWEST = 10;
const GRACE_TURNS = 100;

/** Every process of a run has this in its environment, so that those that are left can be found. */
const MARK = 'MEMMAP_TEST_RUN';

const nothing = () => ({ passed: 0, failed: 0, skipped: 0, files: [] });

function runProject(name, { node, args, env }) {
  const output = inRoot('.build', `jest-${name}.json`);
  rmSync(output, { force: true });
  const words = [
    ...[tool('jest/bin/jest.js'), '--selectProjects', name, WORKERS],
    ...['--json', `--outputFile=${output}`, '--passWithNoTests', ...args],
  ];
  const status = spawn(node, words, { env });
  // No report: jest itself died, as it does where a test brings down the process that it runs in.
  if (!existsSync(output)) return { ...nothing(), failed: 1 };
  const report = JSON.parse(readFileSync(output, 'utf8'));
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  return {
    passed: report.numPassedTests,
    // A failing afterAll or threshold fails the run without failing a test.
    failed: failed === 0 && status !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
    files: report.testResults.map(({ name: file, startTime, endTime }) => ({
      file: relative(inRoot(), file),
      seconds: (endTime - startTime) / 1000,
    })),
  };
}

export const add = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
  files: [...a.files, ...b.files],
});

export const none = nothing();

const environmentOf = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return ''; // it has ended, or is another user's
  }
};

/** Processes that a run has started and left behind; they are ended. */
function leftBehind(mark) {
  if (process.platform !== 'linux') return [];
  const isOurs = (pid) => /^\d+$/.test(pid) && environmentOf(pid).includes(`${MARK}=${mark}`);
  const running = () => readdirSync('/proc').filter(isOurs);
  // What was told to end may take a moment.
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let turn = 0; turn < GRACE_TURNS && running().length > 0; turn++) {
    Atomics.wait(pause, 0, 0, 100);
  }
  return running().map((pid) => {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
    process.kill(Number(pid), 'SIGKILL');
    return `${pid} ${command}`;
  });
}

function reportSlowest(files) {
  const slowest = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  if (slowest.length === 0) return;
  console.log('\nThe slowest files, in seconds:');
  for (const { file, seconds } of slowest) {
    console.log(`${seconds.toFixed(1).padStart(7)}  ${file}`);
  }
}

/**
 * only: the name of one project; args: passed to jest; node: the binary that runs the tests and their children;
 * full: with the large numbers, and the long tests.
 * @param {{ only?: string, args?: string[], node?: string, full?: boolean }} options
 */
export function runSuite({ only, args = [], node = process.execPath, full = false } = {}) {
  const mark = randomUUID();
  const env = { [MARK]: mark, ...(full && { MEMMAP_TEST_AMOUNT: 'full' }) };
  const total = projects
    .filter((name) => only === undefined || name === only)
    .map((name) => runProject(name, { node, args, env }))
    .reduce(add, nothing());
  reportSlowest(total.files);
  const left = leftBehind(mark);
  for (const each of left) console.error(`left behind by a test: ${each}`);
  return { ...total, failed: total.failed + left.length };
}

/** The line that CI reads. A run without a test is a failure: a pattern that matches nothing proves nothing. */
export function conclude(total) {
  const { passed, failed, skipped } = total;
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
