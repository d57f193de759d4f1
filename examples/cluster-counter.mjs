// The workers of a cluster count together: node examples/cluster-counter.mjs [TIMES]
//
// Three ways to count in the same shared memory. Atomics are exact and quick, and do one word at a time. A
// plain counter is exact under a Mutex, as is whatever else takes more than one step. Without either,
// counts are lost as soon as two processes do it at once.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Mutex, SharedMemory } from 'memmap';

const WORKERS = 3;
const [ATOMIC, LOCKED, PLAIN, READY] = [0, 1, 2, 3];
// Where the workers find the memory: behind stdin, stdout, stderr and cluster's own channel.
const FD = 4;

const times = Number(process.argv[2] ?? 100_000);
const memory = cluster.isPrimary
  ? SharedMemory.create(null, { size: Mutex.SIZE + 16 })
  : SharedMemory.fromFd(FD);
const mapping = memory.map();
const mutex = new Mutex(mapping, 0);
const { buffer, byteOffset } = mapping.view(Mutex.SIZE, 16);
const counters = new Int32Array(buffer, byteOffset, 4);

if (cluster.isPrimary) {
  cluster.setupPrimary({ stdio: ['ignore', 'inherit', 'inherit', 'ipc', memory.fd] });
  const workers = Array.from({ length: WORKERS }, () => cluster.fork());
  for (const [code] of await Promise.all(workers.map((worker) => once(worker, 'exit')))) {
    if (code !== 0) throw new Error(`a worker ended with ${code}`);
  }
  console.log(`${WORKERS} workers counted to ${times} each: ${WORKERS * times}`);
  console.log(`with Atomics.add      ${counters[ATOMIC]}`);
  console.log(`with ++ in a Mutex    ${counters[LOCKED]}`);
  console.log(`with ++ and no lock   ${counters[PLAIN]}`);
} else {
  const guarded = () => {
    const guard = mutex.lock();
    counters[LOCKED]++;
    guard.unlock();
  };
  for (let i = 0; i < times; i++) Atomics.add(counters, ATOMIC, 1);
  for (let i = 0; i < times; i++) guarded();
  // All at once, so that they get in each other's way.
  Atomics.add(counters, READY, 1);
  while (Atomics.load(counters, READY) < WORKERS);
  for (let i = 0; i < times; i++) counters[PLAIN]++;
  console.log(`worker ${cluster.worker.id} of process ${process.pid} is done`);
  cluster.worker.disconnect();
}
