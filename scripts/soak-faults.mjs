// npm run soak:faults [-- --seconds 60] [--seed N] [--folder PATH] [--unguarded]
//
// One process makes a file shorter and longer, 10,000 times at random; two threads of another read it
// through guarded mappings of their own all the while, and repair them now and then. Each page of the
// file holds one value in every byte, or zeros; the values are others in each round. Pages below the
// floor of a round are never cut off. After each round the file is whole again: then repair() must
// succeed, and the mappings must show exactly the file, also what is written to it after that.
//
// This process starts the two, tells them by turns what to do, and outlives them both.
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Reader, Writer } from './soak-faults-roles.mjs';
import { chosenSeed, inTime } from './soak-kit.mjs';

const CHANGES = 10_000;
const ROUNDS = 20;

/** Answers each message { call, argument } with what the method of that name gives. */
function serve(port, served, reply) {
  port.on('message', async ({ call, argument }) => {
    try {
      reply({ answer: await served[call](argument) });
    } catch (error) {
      reply({ failure: error.stack });
    }
  });
}

/** The other side of serve(): ask(call, argument), which rejects when the other end is gone. */
function asker(end, send, name) {
  let settle;
  let gone;
  const ends = (what) => {
    gone ??= new Error(`${name}: ${what}`);
    settle?.reject(gone);
  };
  end.on('message', ({ answer, failure }) => {
    if (failure === undefined) settle?.resolve(answer);
    else ends(failure);
  });
  end.on('error', (error) => ends(error.stack));
  end.on('exit', (code, signal) => ends(`ended with ${signal ?? `exit code ${code}`}`));
  return (call, argument) =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject };
      if (gone === undefined) send({ call, argument });
      else reject(gone);
    });
}

/** The process of the two reading threads: passes on what it is told. */
function startReaders(data) {
  const asks = [0, 1].map((index) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...data, index } });
    return asker(worker, (message) => worker.postMessage(message), `thread ${index}`);
  });
  const both = (call) => (argument) => Promise.all(asks.map((ask) => ask(call, argument)));
  const calls = ['start', 'stop', 'restore', 'compare'];
  return Object.fromEntries(calls.map((call) => [call, both(call)]));
}

const ROLES = { writer: (data) => new Writer(data), readers: startReaders };

function startRole(role, data, children) {
  const child = fork(fileURLToPath(import.meta.url), [role, JSON.stringify(data)]);
  children.push(child);
  // One that is gone says so by its 'exit'.
  return asker(child, (message) => child.send(message, () => undefined), role);
}

function add(total, counts) {
  for (const [name, value] of Object.entries(counts)) {
    if (typeof value === 'number') total[name] = (total[name] ?? 0) + value;
    else total[name] = add(total[name] ?? {}, value);
  }
  return total;
}

async function soak({ data, seconds, total, children }) {
  const count = CHANGES / ROUNDS;
  const ms = (seconds * 1000) / ROUNDS;
  const writer = startRole('writer', data, children);
  await writer('complete', { era: 0 });
  const readers = startRole('readers', data, children);
  for (let era = 0; era < 2 * ROUNDS; era += 2) {
    const floor = await writer('chooseFloor');
    await readers('start', { era, floor });
    add(total, await writer('change', { count, ms, era, floor }));
    for (const counts of await readers('stop')) add(total, counts);
    await writer('complete', { era: era + 1 });
    await readers('restore');
    await writer('complete', { era: era + 2 });
    await readers('compare');
  }
  const others = Object.keys(total.faults).filter((kind) => kind !== 'truncated');
  if (others.length > 0) throw new Error(`the file was only truncated, no ${others.join(', ')}`);
  if (total.faults.truncated === undefined) throw new Error('no fault ever happened');
}

function summaryOf(total) {
  const { truncations, extensions, faults, bytes, repaired, unrepaired, refused } = {
    ...{
      truncations: 0,
      extensions: 0,
      faults: {},
      bytes: 0,
      repaired: 0,
      unrepaired: 0,
      refused: 0,
    },
    ...total,
  };
  const kinds = Object.entries(faults).map(([kind, count]) => `${count} ${kind}`);
  return [
    `${truncations} truncations, ${extensions} extensions`,
    `faults: ${kinds.join(', ') || 'none'}`,
    `repairs: ${repaired} succeeded, ${unrepaired} refused`,
    `${(bytes / 2 ** 30).toFixed(1)} GiB read, ${refused} guarded reads refused`,
  ].join('; ');
}

function optionsOf() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: chosenSeed() },
      folder: { type: 'string', default: tmpdir() },
      unguarded: { type: 'boolean', default: false },
    },
  });
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
  if (!(seconds > 0)) throw new Error('--seconds takes a number above 0');
  if (!Number.isSafeInteger(seed)) throw new Error('--seed takes an integer');
  return { ...values, seconds, seed };
}

async function main() {
  const { seconds, seed, folder: parent, unguarded } = optionsOf();
  const folder = mkdtempSync(join(parent, 'memmap-soak-'));
  const data = { path: join(folder, 'data'), seed, guard: !unguarded };
  const total = {};
  const children = [];
  let failure;
  try {
    await inTime(2 * seconds + 60, soak({ data, seconds, total, children }));
  } catch (error) {
    failure = error;
  }
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
  if (failure !== undefined) console.error(`seed ${seed}: ${failure.stack}`);
  console.log(`${failure === undefined ? 'ok' : 'FAILED'}, seed ${seed}: ${summaryOf(total)}`);
  process.exitCode = failure === undefined ? 0 : 1;
}

if (!isMainThread) {
  serve(parentPort, new Reader(workerData), (message) => parentPort.postMessage(message));
} else if (process.argv[2] in ROLES) {
  const [role, data] = process.argv.slice(2);
  process.on('disconnect', () => process.exit(1));
  serve(process, ROLES[role](JSON.parse(data)), (message) => process.send(message));
} else {
  await main();
}
