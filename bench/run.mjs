// npm run bench [-- --json] [-- --only NAME,NAME]: ours against theirs, row by row, each row in a
// process of its own so that none is slowed down by what another left in the heap or the compiler.
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { comparatorPath } from './comparator.mjs';
import { rows } from './rows/all.mjs';

const { values: options } = parseArgs({
  options: { json: { type: 'boolean' }, only: { type: 'string', multiple: true } },
});

/** The rows that were asked for, by their own name or by that of one of their results. */
function chosen() {
  const names = options.only?.flatMap((list) => list.split(',')) ?? [];
  const known = rows.flatMap((row) => [row.name, ...Object.keys(row.results)]);
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`no row is called ${name}; there is ${known}`);
  }
  if (names.length === 0) return rows;
  return rows.filter((row) => names.some((name) => name === row.name || name in row.results));
}

function measure(name) {
  return new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL('row.mjs', import.meta.url));
    const child = fork(program, [name], { execArgv: ['--expose-gc'] });
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(new Error(`row ${name} ended with ${signal ?? code}`));
    });
  });
}

const significant = (number) => Number(number.toPrecision(4));

function judge(row, found) {
  return Object.entries(row.results).map(([name, { unit, peer, target }]) => {
    const ratio = target.ratioOf(found[name]);
    return {
      name,
      value: significant(found[name].value),
      unit,
      against: significant(found[name].against),
      ratio: significant(ratio),
      target: target.text,
      met: target.isMet(ratio, found[name]),
      peer,
    };
  });
}

const TITLES = ['row', 'ours', 'theirs', 'unit', 'ratio', 'target', 'met', 'against'];
const WIDTHS = [22, 12, 12, 5, 9, 9, 4, 0];
const line = (cells) =>
  cells
    .map((cell, i) => String(cell).padEnd(WIDTHS[i]))
    .join('')
    .trimEnd();

const print = options.json
  ? (result) => console.log(JSON.stringify(result))
  : ({ name, value, unit, against, ratio, target, met, peer }) => {
      console.log(line([name, value, against, unit, ratio, target, met ? 'yes' : 'NO', peer]));
    };

async function main() {
  const asked = chosen();
  if (!existsSync(comparatorPath)) throw new Error('the peers are missing: npm run bench:setup');
  if (!options.json) {
    const [load] = loadavg();
    console.log(`Node ${process.versions.node}, ${cpus()[0].model}, load ${load.toFixed(2)}`);
    console.log(line(TITLES));
  }
  let missed = 0;
  for (const row of asked) {
    for (const result of judge(row, await measure(row.name))) {
      print(result);
      if (!result.met) missed++;
    }
  }
  if (!options.json) console.log(missed === 0 ? 'every target met' : `${missed} target(s) missed`);
}

await main();
