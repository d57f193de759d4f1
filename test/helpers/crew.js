// A crew of processes, or threads, that work in one file of shared memory, some of which are killed at random and replaced. Used by
// the tests and by the soak, in a process of its own: `await require('./crew.js').run({ ... })`.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { setTimeout: later } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const { DONE, STOP } = require('./crew-roles.js');

const program = join(__dirname, 'crew-roles.js');
const BYTES = 2 ** 18;

function asProcess(data) {
  const child = spawn(process.execPath, [program, JSON.stringify(data)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, said }));
  return { ended, kill: () => child.kill('SIGKILL'), killed: ({ signal }) => signal === 'SIGKILL' };
}

function asThread(data) {
  const worker = new Worker(program, { workerData: data });
  let said = '';
  worker.on('error', (error) => (said += error.stack));
  const ended = once(worker, 'exit').then(([code]) => ({ code, said }));
  return {
    ended,
    kill: () => void worker.terminate(),
    killed: ({ code }) => code === 1 && said === '',
  };
}

class Member {
  constructor(data, threads) {
    this.data = data;
    this.threads = threads;
    this.start();
  }

  start() {
    this.life = this.threads ? asThread(this.data) : asProcess(this.data);
  }

  /** Kills it, and starts another in its place. */
  async replace() {
    this.life.kill();
    await this.end(true);
    this.start();
  }

  async end(mayBeKilled) {
    const { life } = this;
    const result = await life.ended;
    if (mayBeKilled && life.killed(result)) return;
    if (result.code !== 0) {
      const end = result.signal ?? `exit code ${result.code}`;
      throw new Error(`${this.data.role}: ${end}\n${result.said}`);
    }
  }
}

/**
 * `crew`: `{ role, argument?, mortal? }` each; `kills`: how many of the mortal are killed; `work`: until the crew has done so much after the
 * last one. Says how much was done. What one of them finds wrong is thrown.
 */
async function run({ entry, crew, kills, work, threads = false, pause = 40 }) {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-'));
  const memmap = require(entry);
  const path = join(folder, 'memory');
  const memory = memmap.mapFileSync(path, { access: 'read-write', create: true, size: BYTES });
  const words = new Int32Array(memory.buffer.buffer, memory.buffer.byteOffset, BYTES / 4);
  const members = [];
  const done = () => Atomics.load(words, DONE) >>> 0;
  /** Somebody ended who should not have: it found something wrong. */
  const broken = (member) => member.life.ended.then(() => member.end(false));
  const progress = async (until) => {
    while (done() < until && Atomics.load(words, STOP) === 0) {
      await Promise.race([later(5), ...members.map(broken)]);
    }
  };
  try {
    for (const { mortal = false, ...data } of crew) {
      members.push(Object.assign(new Member({ entry, path, ...data }, threads), { mortal }));
    }
    const mortals = members.filter(({ mortal }) => mortal);
    for (let kill = 0; kill < kills; kill++) {
      // Something is done between two deaths, and then it is any moment.
      await progress(done() + 1);
      await later(Math.random() * pause);
      await mortals[Math.trunc(Math.random() * mortals.length)].replace();
    }
    await progress(done() + work);
    Atomics.store(words, STOP, 1);
    await Promise.all(members.map((member) => member.end(false)));
    return done();
  } finally {
    Atomics.store(words, STOP, 1);
    for (const member of members) member.life.kill();
    await Promise.allSettled(members.map(({ life }) => life.ended));
    rmSync(folder, { recursive: true });
  }
}

module.exports = { run };
