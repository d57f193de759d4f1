// This end of a wire, and the process at its other end: round trips and messages a second between two
// processes of Node.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { now, spreadOf } from './harness.mjs';
import { pin } from './pin.mjs';

const program = fileURLToPath(new URL('far.mjs', import.meta.url));

/** The next message of the other end about what it does. */
function said(child, what) {
  return new Promise((resolve, reject) => {
    const take = (message) => {
      if (message[what] === undefined) return;
      child.off('message', take);
      child.off('exit', gone);
      resolve(message);
    };
    const gone = (code, signal) => reject(new Error(`the other end ended with ${signal ?? code}`));
    child.on('message', take);
    child.on('exit', gone);
  });
}

/**
 * @param {string} name
 * @param {{ pinned?: boolean, [option: string]: unknown }} options
 *
 * Starts the other end of a wire of bench/wires/. `pinned`: each end has a processor of its own, from now
 * on; otherwise the scheduler puts them where it likes.
 */
export async function startPair(name, { pinned = false, ...options } = {}) {
  const wire = await import(`./wires/${name}.mjs`);
  const { argument, connect, fd } = await wire.near(options);
  const child = fork(program, [name, JSON.stringify(argument)], {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...(fd === undefined ? [] : [fd])],
  });
  const started = said(child, 'done');
  const end = await connect(child);
  await started;
  if (pinned) [process.pid, child.pid].forEach(pin);

  /** Runs `work` here while the other end does what it is told. */
  async function together(what, work) {
    const ready = said(child, 'ready');
    const done = said(child, 'done');
    child.send(what);
    await ready;
    await work();
    return (await done).answer;
  }

  return {
    /** Nanoseconds of a round trip: p50, p99, p99.9. */
    async trips(bytes, count) {
      const times = new Float64Array(count);
      await together({ call: 'echo', count }, () => end.trips(bytes, times));
      return spreadOf(times.map((ms) => ms * 1e6));
    },
    /** Messages a second, from the first until the other end has the last. */
    async rate(bytes, count) {
      let start = 0;
      const total = await together({ call: 'swallow', count, size: bytes.length }, () => {
        start = now();
        return end.send(bytes, count);
      });
      const seconds = (now() - start) / 1e9;
      if (total !== bytes.length * count) throw new Error(`${total} bytes came through ${name}`);
      return count / seconds;
    },
    async end() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      end.close();
      child.disconnect();
      await gone;
    },
  };
}
