// npm run bench [-- --json] [-- --only NAME,NAME]: ours against theirs, row by row, each row in a
// process of its own so that none is slowed down by what another left in the heap or the compiler.
// Where single times matter the result has percentiles, too; what is compared is the first of them.
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

/** What was asked for, by the name of a result or of a whole row. */
function chosen() {
  const asked = options.only?.flatMap((list) => list.split(',')) ?? [];
  const known = new Set(rows.flatMap((row) => [...Object.keys(row.results), row.name]));
  for (const name of asked) {
    if (!known.has(name)) throw new Error(`no row is called ${name}; there is ${[...known]}`);
  }
  return rows
    .map((row) => {
      const names = Object.keys(row.results);
      const whole = asked.length === 0 || (asked.includes(row.name) && !names.includes(row.name));
      return { row, names: whole ? names : names.filter((name) => asked.includes(name)) };
    })
    .filter(({ names }) => names.length > 0);
}

function measure(row, names) {
  return new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL('row.mjs', import.meta.url));
    const child = fork(program, [row.name, ...names], { execArgv: ['--expose-gc'] });
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(new Error(`row ${row.name} ended with ${signal ?? code}`));
    });
  });
}

const significant = (number) => Number(number.toPrecision(4));

const roundAll = ({ ours, theirs }) => {
  const round = (spread) =>
    Object.fromEntries(Object.entries(spread).map(([name, time]) => [name, significant(time)]));
  return { ours: round(ours), theirs: round(theirs) };
};

function judge(row, found) {
  return Object.keys(found).map((name) => {
    const { unit, peer, target } = row.results[name];
    const { percentiles } = found[name];
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
      ...(percentiles && { percentiles: roundAll(percentiles) }),
    };
  });
}

const TITLES = ['row', 'ours', 'theirs', 'unit', 'ratio', 'target', 'met', 'against'];
const WIDTHS = [27, 12, 12, 5, 9, 9, 4, 0];
const line = (cells) =>
  cells
    .map((cell, i) => String(cell).padEnd(WIDTHS[i]))
    .join('')
    .trimEnd();

const print = options.json
  ? (result) => console.log(JSON.stringify(result))
  : ({ name, value, unit, against, ratio, target, met, peer, percentiles }) => {
      console.log(line([name, value, against, unit, ratio, target, met ? 'yes' : 'NO', peer]));
      if (percentiles === undefined) return;
      const { ours, theirs } = percentiles;
      for (const part of Object.keys(ours))
        console.log(line([`  ${part}`, ours[part], theirs[part]]));
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
  for (const { row, names } of asked) {
    for (const result of judge(row, await measure(row, names))) {
      print(result);
      if (!result.met) missed++;
    }
  }
  if (!options.json) console.log(missed === 0 ? 'every target met' : `${missed} target(s) missed`);
}

await main();
