// npm run soak:shared [-- --kills 1000] [--seconds 900] [--only PART,PART] [--seed N] [--broken]
//
// What memory shared between processes must survive: processes are killed (SIGKILL) at random, again and
// again, while they hold locks, send, receive and write, and those that are left go on as if nothing had
// happened. A line for each part, and an end other than zero if one of them saw anything wrong. With
// --broken each part uses something that does not keep its promise, and must see it.
//
// The kills are those of the mutex's owners; the other parts take their share of them. A seed determines who
// is killed and how long is waited, not what the machine does in the meantime.
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SharedMemory } from 'memmap';
import { chosenSeed, inTime } from './soak-kit.mjs';
import { closeAll } from './soak-shared/crowd.mjs';

const PARTS = ['mutex', 'semaphore', 'rwlock', 'channel', 'latest', 'creators', 'objects'];

function numberOf(values, name, least) {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < least) {
    throw new Error(`--${name} takes an integer from ${least} on`);
  }
  return number;
}

function optionsOf() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '900' },
      seed: { type: 'string', default: chosenSeed() },
      only: { type: 'string', default: PARTS.join(',') },
      broken: { type: 'boolean', default: false },
    },
  });
  const parts = values.only.split(',');
  const unknown = parts.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) throw new Error(`no part is called ${unknown}; there is ${PARTS}`);
  return {
    kills: numberOf(values, 'kills', 1),
    seconds: numberOf(values, 'seconds', 1),
    seed: numberOf(values, 'seed', 0),
    broken: values.broken,
    parts,
  };
}

const prefix = `memmap-soak-${process.pid}-`;
const namesLeft = () =>
  SharedMemory.list().flatMap(({ name }) => (name.startsWith(prefix) ? [name] : []));

/** What goes with its last user goes a moment later. */
async function expectNothingLeft() {
  const end = performance.now() + 30_000;
  while (namesLeft().length > 0 && performance.now() < end) await pause(20);
  const left = namesLeft();
  for (const name of left) SharedMemory.unlink(name);
  if (left.length > 0) throw new Error(`left in /dev/shm: ${left}`);
}

async function runPart(part, options) {
  const start = performance.now();
  const { run } = await import(`./soak-shared/${part}.mjs`);
  const said = await inTime(options.seconds, run({ ...options, prefix }));
  await expectNothingLeft();
  return `${said} (${((performance.now() - start) / 1000).toFixed(1)} s)`;
}

const { parts, ...options } = optionsOf();
let failed = 0;
for (const part of parts) {
  try {
    console.log(`ok ${part}: ${await runPart(part, options)}`);
  } catch (error) {
    failed++;
    await closeAll();
    for (const name of namesLeft()) SharedMemory.unlink(name);
    console.log(`FAILED ${part}, seed ${options.seed}: ${error.stack}`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
