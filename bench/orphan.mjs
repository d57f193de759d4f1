// Whoever waits for another process in a loop of its own never hears that its parent has gone.
import { Worker } from 'node:worker_threads';

const WATCH = `
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
  }, 500);
`;

let watching = false;

/** Ends this process when its parent ends, whatever it is doing. */
export function endWithParent() {
  if (watching) return;
  watching = true;
  new Worker(WATCH, { eval: true }).unref();
}
