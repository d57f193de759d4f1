// One run of the suite with one Node, as numbers.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { inRoot, spawn, tool } from './util.mjs';

// In this order: what needs only this process, then what forks, one test file at a time so that children have the machine.
const projects = [
  { name: 'unit', flags: ['--maxWorkers=2'] },
  { name: 'process', flags: ['--maxWorkers=1'] },
];

function runProject({ name, flags }, { node, args }) {
  const output = inRoot('.build', `jest-${name}.json`);
  rmSync(output, { force: true });
  const status = spawn(node, [
    ...[tool('jest/bin/jest.js'), '--selectProjects', name, ...flags],
    ...['--json', `--outputFile=${output}`, '--passWithNoTests', ...args],
  ]);
  // No report: jest itself died, as it does where a test brings down the process that it runs in.
  if (!existsSync(output)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(output, 'utf8'));
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  return {
    passed: report.numPassedTests,
    // A failing afterAll or threshold fails the run without failing a test.
    failed: failed === 0 && status !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

export const add = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

export const none = { passed: 0, failed: 0, skipped: 0 };

/**
 * only: the name of one project; args: passed to jest; node: the binary that runs the tests and their children.
 * @param {{ only?: string, args?: string[], node?: string }} options
 */
export function runSuite({ only, args = [], node = process.execPath } = {}) {
  return projects
    .filter(({ name }) => only === undefined || name === only)
    .map((project) => runProject(project, { node, args }))
    .reduce(add, none);
}

/** The line that CI reads. A run without a test is a failure: a pattern that matches nothing proves nothing. */
export function conclude(total) {
  const { passed, failed, skipped } = total;
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
