// Several lives at once, each in a thread of its own; some of them are cut short. What one of them lets escape, others read.
// Everything but the moments at which threads meet follows from the seed.
'use strict';

const { once } = require('node:events');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { Life, random, touch } = require('./stress-life.js');

const AT_ONCE = 3;

async function live({ entry, folder, seed, steps }) {
  const found = [];
  parentPort.on('message', (buffer) => found.push(new Uint8Array(buffer)));
  const send = (buffer) => parentPort.postMessage({ buffer }, [buffer]);
  const life = new Life(require(entry), seed, { folder, send });
  await life.run(steps, (step) => {
    found.forEach(touch);
    parentPort.postMessage({ step });
  });
  parentPort.postMessage({ done: true });
  parentPort.close();
}

/** Runs one life; `killAt` is the step after which it is terminated, if it is. */
async function watch(data, { killAt, others, kept }) {
  const worker = new Worker(__filename, { workerData: data });
  const ended = once(worker, 'exit');
  let done = false;
  others.push(worker);
  worker.on('message', (message) => {
    if (message.done === true) done = true;
    if (killAt !== undefined && message.step === killAt) void worker.terminate();
    const { buffer } = message;
    if (buffer === undefined) return;
    touch(new Uint8Array(buffer));
    const other = others[data.seed % others.length];
    if (other === worker) kept.push(new Uint8Array(buffer));
    else other.postMessage(buffer, [buffer]);
  });
  await ended;
  others.splice(others.indexOf(worker), 1);
  kept.forEach(touch);
  if (!done && killAt === undefined)
    throw new Error(`the life of seed ${String(data.seed)} ended early`);
}

/** entry: the compiled package; folder: for files of its own. */
async function main({ entry, folder, seed, lives, steps }) {
  console.log(`seed ${String(seed)}`);
  const { below, chance } = random(seed);
  const [others, kept] = [[], []];
  const waiting = Array.from({ length: lives }, (_, index) => ({
    data: { entry, folder, seed: seed + index, steps },
    killAt: chance(0.4) ? below(steps) : undefined,
  }));
  const thread = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await watch(next.data, { killAt: next.killAt, others, kept });
      globalThis.gc?.();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, thread));
  kept.forEach(touch);
  console.log('all lives lived');
}

if (!isMainThread) void live(workerData);

module.exports = { main };
