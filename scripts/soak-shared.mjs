// npm run soak:shared [-- --kills 1000] [--seconds 900] [--only PART,PART] [--seed N] [--broken]
//
// What memory shared between processes must survive: processes are killed (SIGKILL) at random, again and
// again, while they hold locks, send, receive and write, and those that are left go on as if nothing had
// happened. A line for each part, and an end other than zero if one of them saw anything wrong. With
// --broken each part uses something that does not keep its promise, and must see it.
//
// The kills are those of a mutex's owners, and the shared memory that is there at once; the other parts
// have a share of them. --seconds: the longest that a part may take. A seed determines whom we kill and how
// long we wait, not what the machine does meanwhile, nor what the processes do by themselves.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SharedMemory } from 'memmap';
import { chosenSeed, inTime } from './soak-kit.mjs';

const PARTS = ['mutex', 'semaphore', 'rwlock', 'channel', 'latest', 'creators', 'objects'];
const fileOf = (name) => fileURLToPath(new URL(`soak-shared/${name}`, import.meta.url));

function numberOf(values, name) {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${name} takes an integer above 0`);
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
  const [kills, seconds, seed] = ['kills', 'seconds', 'seed'].map((name) => numberOf(values, name));
  return { parts, kills, seconds, seed, broken: values.broken };
}

const prefix = `memmap-soak-${process.pid}-`;
const namesLeft = () =>
  SharedMemory.list().flatMap(({ name }) => (name.startsWith(prefix) ? [name] : []));

/** What goes with its last user goes a moment later. */
async function expectNothingLeft() {
  const end = performance.now() + 10_000;
  while (namesLeft().length > 0 && performance.now() < end) await pause(20);
  const left = namesLeft();
  if (left.length > 0) throw new Error(`left in /dev/shm: ${left}`);
}

/** A part and all that it starts are a group of processes, which ends with it. */
async function runPart(part, options) {
  const env = { ...process.env };
  if (options.broken) env.NODE_OPTIONS = `--require ${JSON.stringify(fileOf('broken.cjs'))}`;
  const child = spawn(process.execPath, [fileOf('part.mjs'), part, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env,
  });
  running = child.pid;
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => (said[stream] += text));
  }
  try {
    const [code, signal] = await inTime(options.seconds, once(child, 'exit'));
    if (code !== 0) throw new Error(`${signal ?? `exit code ${code}`}\n${said.stderr}`);
  } finally {
    endRunning();
  }
  await expectNothingLeft();
  return said.stdout.trim();
}

let running;

function endRunning() {
  if (running === undefined) return;
  try {
    process.kill(-running, 'SIGKILL');
  } catch (error) {
    // Nobody of it is left.
    if (error.code !== 'ESRCH') throw error;
  }
  running = undefined;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    endRunning();
    for (const name of namesLeft()) SharedMemory.unlink(name);
    process.exit(1);
  });
}

const { parts, ...options } = optionsOf();
let failed = 0;
for (const part of parts) {
  const start = performance.now();
  const outcome = await runPart(part, { ...options, prefix }).then(
    (said) => `ok ${part}: ${said}`,
    (error) => `FAILED ${part}, seed ${options.seed}: ${error.message.trim()}`,
  );
  if (!outcome.startsWith('ok')) failed++;
  for (const name of namesLeft()) SharedMemory.unlink(name);
  console.log(`${outcome} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}
process.exitCode = failed === 0 ? 0 : 1;
