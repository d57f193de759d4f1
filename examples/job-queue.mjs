// A queue of jobs that survives its workers: node examples/job-queue.mjs [JOBS]
//
// A worker looks at a job where it lies in the Channel (peek), does it, and only then lets it go (release).
// Kay is killed in the middle of her first job, with no chance to say so: the job is still in the queue, and
// another worker gets it. Each job is done once.
import { fork } from 'node:child_process';
import { setTimeout as work } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Channel, SharedMemory } from 'memmap';

/** @typedef {{ name: string, number: number, what: 'began' | 'did' }} Report */

// Where the workers find the two channels: behind stdin, stdout, stderr and fork's own channel.
const [JOBS_FD, RESULTS_FD] = [4, 5];

async function worker(name) {
  const jobs = new Channel(SharedMemory.fromFd(JOBS_FD));
  const results = new Channel(SharedMemory.fromFd(RESULTS_FD), { codec: 'json' });
  for (;;) {
    const job = await jobs.peek();
    if (job === undefined) return; // closed, and nothing is left
    const number = JSON.parse(job.buffer.toString()).job;
    await results.send({ name, number, what: 'began' });
    await work(5);
    if (name === 'Kay') process.kill(process.pid, 'SIGKILL');
    await results.send({ name, number, what: 'did' });
    job.release();
  }
}

async function main(count) {
  const jobs = Channel.create(null, { capacity: 16_384 });
  const results = Channel.create(null, { capacity: 16_384, codec: 'json' });
  const stdio = /** @type {const} */ (['ignore', 'inherit', 'inherit', 'ipc']);
  const hire = (name) => {
    const fds = [jobs.shared.fd, results.shared.fd];
    const child = fork(fileURLToPath(import.meta.url), [name], { stdio: [...stdio, ...fds] });
    child.on('exit', (code, signal) => console.log(`${name} ended with ${signal ?? code}`));
  };
  hire('Kay');
  const sending = (async () => {
    for (let job = 1; job <= count; job++) await jobs.send(Buffer.from(JSON.stringify({ job })));
    jobs.close(); // what was sent is still received
  })();

  const began = new Map();
  const did = new Map();
  while (did.size < count) {
    const { name, number, what } = /** @type {Report} */ (await results.receive());
    if (what === 'began') {
      if (began.size === 0) ['Ann', 'Joe'].forEach(hire);
      began.set(number, [...(began.get(number) ?? []), name]);
    } else {
      if (did.has(number)) throw new Error(`job ${number} was done twice`);
      did.set(number, name);
    }
  }
  await sending;
  for (const [number, names] of [...began].sort(([a], [b]) => a - b)) {
    const before = names.length > 1 ? ` (${names[0]} had begun it and was killed)` : '';
    console.log(`job ${number} was done by ${did.get(number)}${before}`);
  }
  console.log(`${count} jobs, each done once`);
}

const [argument] = process.argv.slice(2);
await (process.send ? worker(argument) : main(Number(argument ?? 12)));
if (process.send) process.disconnect();
