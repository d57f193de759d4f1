// npm run conformance [-- --only TEXT]: runs what other suites assert of these calls, as our own
// cases under their ids, and says what is held, what waits, and what cannot be expressed.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Case, Suite } from './case.js';
import { memmap, openTools, root } from './tools.js';

interface Assertion {
  readonly id: string;
  readonly suite: string;
  readonly linux: 'holds' | 'differs' | 'not run';
}

interface Loaded extends Suite {
  readonly file: string;
}

interface Failure {
  readonly id: string;
  readonly message: string;
}

interface Counts {
  held: number;
  waiting: number;
  inexpressible: number;
  failed: number;
}

const folder = join(root, 'test', 'conformance');

const messageOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** The suites whose source is there: a compiled file of one that was renamed stays behind. */
async function loadSuites(failures: Failure[]): Promise<Loaded[]> {
  const names = readdirSync(join(folder, 'suites')).filter((name) => name.endsWith('.ts'));
  const suites: Loaded[] = [];
  for (const file of names.sort()) {
    try {
      const path = join(__dirname, 'suites', file.replace(/\.ts$/, '.js'));
      const { suite } = (await import(path)) as { suite?: Suite };
      if (suite === undefined) throw new Error('exports no suite');
      suites.push({ ...suite, file });
    } catch (error) {
      failures.push({ id: file, message: messageOf(error) });
    }
  }
  return suites;
}

const idsOf = ({ cases, waiting, inexpressible }: Suite): string[] => [
  ...cases.map(({ id }) => id),
  ...Object.keys(waiting),
  ...Object.keys(inexpressible),
];

/** Every id that holds on Linux must be in exactly one list, and no id may be made up. */
function checkIds(
  assertions: readonly Assertion[],
  all: ReadonlySet<string>,
  suites: readonly Loaded[],
): Failure[] {
  const places = new Map<string, string[]>();
  for (const suite of suites) {
    for (const id of idsOf(suite)) places.set(id, [...(places.get(id) ?? []), suite.file]);
  }
  const failures: Failure[] = [];
  for (const [id, files] of places) {
    if (!all.has(id)) failures.push({ id, message: `unknown id, in ${files.join(', ')}` });
    if (files.length > 1) failures.push({ id, message: `in several lists: ${files.join(', ')}` });
  }
  for (const { id, linux } of assertions) {
    if (linux === 'holds' && !places.has(id)) failures.push({ id, message: 'missing: in no list' });
  }
  return failures;
}

/** What a case left mapped is unmapped, so that it cannot disturb the next one. */
function unmapLeftovers(): number {
  const left = memmap.registry.mappings();
  for (const mapping of left) {
    try {
      mapping.unmap();
    } catch {
      // Pinned, or a call on the thread pool works on it: the case fails either way.
    }
  }
  return left.length;
}

async function runCase({ run }: Case): Promise<string | undefined> {
  const tools = openTools();
  let message: string | undefined;
  try {
    await run(tools);
  } catch (error) {
    message = messageOf(error);
  }
  try {
    const drifts = memmap.registry.verify();
    const [drift] = drifts;
    if (drift !== undefined) {
      message ??= `registry.verify(): ${drift.kind}, expected ${drift.expected}, found ${drift.found}`;
    }
    const left = unmapLeftovers();
    if (left > 0) message ??= `left ${String(left)} mapping(s) behind`;
    tools.close();
  } catch (error) {
    message ??= messageOf(error);
  }
  return message;
}

function printTable(rows: ReadonlyMap<string, Counts>): void {
  const heads = ['held', 'waiting', 'not expressible', 'failed'];
  const width = Math.max(...[...rows.keys()].map((name) => name.length), 5) + 2;
  const line = (name: string, cells: readonly (string | number)[]): void => {
    const right = cells.map((cell, at) => String(cell).padStart((heads[at]?.length ?? 0) + 2));
    console.log(name.padEnd(width) + right.join(''));
  };
  const cellsOf = ({ held, waiting, inexpressible, failed }: Counts): number[] => [
    held,
    waiting,
    inexpressible,
    failed,
  ];
  line('suite', heads);
  for (const [name, counts] of rows) {
    // Nothing that this suite asserts was seen to hold here, and no case of ours tries.
    if (cellsOf(counts).some((count) => count > 0)) line(name, cellsOf(counts));
  }
  const columns = [...rows.values()].map(cellsOf);
  line(
    'total',
    heads.map((_, at) => columns.reduce((sum, cells) => sum + (cells[at] ?? 0), 0)),
  );
}

/** Ids under each reason, in the order of the assertions. */
function printReasons(title: string, reasons: ReadonlyMap<string, string>): void {
  if (reasons.size === 0) return;
  const groups = new Map<string, string[]>();
  for (const [id, reason] of reasons) groups.set(reason, [...(groups.get(reason) ?? []), id]);
  console.log(`\n${title}`);
  for (const [reason, ids] of groups) {
    console.log(`  ${reason} (${String(ids.length)})`);
    for (const id of ids) console.log(`    ${id}`);
  }
}

/** An id that names no selected suite is an unknown one. */
const rowOf = (rows: Map<string, Counts>, name: string): Counts => {
  const row = rows.get(name) ?? { held: 0, waiting: 0, inexpressible: 0, failed: 0 };
  rows.set(name, row);
  return row;
};

function report(
  selected: readonly Assertion[],
  suites: readonly Suite[],
  outcome: { passed: readonly string[]; failures: readonly Failure[] },
): void {
  const rows = new Map<string, Counts>();
  const suiteOf = new Map(selected.map(({ id, suite }) => [id, suite]));
  const waits = new Map(suites.flatMap(({ waiting }) => Object.entries(waiting)));
  const cannot = new Map(suites.flatMap(({ inexpressible }) => Object.entries(inexpressible)));
  const waiting = new Map<string, string>();
  const inexpressible = new Map<string, string>();
  for (const { id, suite } of selected) {
    const row = rowOf(rows, suite);
    const waitsFor = waits.get(id);
    const reason = cannot.get(id);
    if (waitsFor !== undefined) waiting.set(id, waitsFor);
    if (reason !== undefined) inexpressible.set(id, reason);
    row.waiting += waitsFor === undefined ? 0 : 1;
    row.inexpressible += reason === undefined ? 0 : 1;
  }
  for (const id of outcome.passed) rowOf(rows, suiteOf.get(id) ?? 'other').held++;
  for (const { id } of outcome.failures) rowOf(rows, suiteOf.get(id) ?? 'other').failed++;
  printTable(rows);
  printReasons('Waiting for', waiting);
  printReasons('Not expressible', inexpressible);
  if (outcome.failures.length > 0) console.log('\nFailed');
  for (const { id, message } of outcome.failures) {
    console.log(`  ${id}: ${message.replaceAll('\n', '\n      ')}`);
  }
}

/** The assertions that --only names, by id or by their suite. */
function select(assertions: readonly Assertion[]): Assertion[] {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const only = values.only?.toLowerCase();
  if (only === undefined) return [...assertions];
  return assertions.filter(({ id, suite }) =>
    [id, suite].some((name) => name.toLowerCase().includes(only)),
  );
}

async function main(): Promise<void> {
  if (process.platform !== 'linux') {
    console.log('What the assertions say was seen on Linux; they are not run anywhere else.');
    console.log('0 passed, 0 failed');
    return;
  }
  const text = readFileSync(join(folder, 'assertions.json'), 'utf8');
  const assertions = JSON.parse(text) as Assertion[];
  const selected = select(assertions);
  if (selected.length === 0) throw new Error('--only names no assertion and no suite');
  const failures: Failure[] = [];
  const suites = await loadSuites(failures);
  failures.push(...checkIds(selected, new Set(assertions.map(({ id }) => id)), suites));
  const cases = new Map(suites.flatMap((suite) => suite.cases.map((each) => [each.id, each])));
  const passed: string[] = [];
  for (const { id } of selected) {
    const each = cases.get(id);
    if (each === undefined) continue;
    const message = await runCase(each);
    if (message === undefined) passed.push(id);
    else failures.push({ id, message });
  }
  report(selected, suites, { passed, failures });
  console.log(`\n${String(passed.length)} passed, ${String(failures.length)} failed`);
  if (failures.length > 0) process.exitCode = 1;
}

void main();
