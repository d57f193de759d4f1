// No message at all: a word whose lowest bit says whose turn it is. `later: true`: waited for without
// blocking.
import { performance } from 'node:perf_hooks';
import { SharedMemory, notify, wait, waitAsync } from 'memmap';

const FD = 4;

function end(memory, { mine, later }) {
  const mapping = memory.map();
  memory.close();
  const { buffer, byteOffset } = mapping.view(0, 4);
  const words = new Int32Array(buffer, byteOffset, 1);
  const isMine = () => (Atomics.load(words, 0) & 1) === mine;
  const pass = () => {
    Atomics.add(words, 0, 1);
    notify(mapping, 0, 1);
  };
  const awaited = () => {
    for (;;) {
      const seen = Atomics.load(words, 0);
      if ((seen & 1) === mine) return;
      wait(mapping, 0, seen);
    }
  };
  const awaitedLater = async () => {
    for (;;) {
      const seen = Atomics.load(words, 0);
      if ((seen & 1) === mine) return;
      await waitAsync(mapping, 0, seen);
    }
  };

  const now = {
    echo(count) {
      for (let i = 0; i < count; i++) {
        awaited();
        pass();
      }
    },
    trips(_bytes, times) {
      let before = performance.now();
      for (let i = 0; i < times.length; i++) {
        pass();
        awaited();
        const after = performance.now();
        times[i] = after - before;
        before = after;
      }
    },
    close() {},
  };
  const inTime = {
    async echo(count) {
      for (let i = 0; i < count; i++) {
        await awaitedLater();
        pass();
      }
    },
    async trips(_bytes, times) {
      let before = performance.now();
      for (let i = 0; i < times.length; i++) {
        pass();
        await awaitedLater();
        const after = performance.now();
        times[i] = after - before;
        before = after;
      }
    },
    close() {},
  };
  if (isMine() !== (mine === 0)) throw new Error('the turn is not where it begins');
  return later ? inTime : now;
}

export function near({ later = false }) {
  const memory = SharedMemory.create(null, { size: 4 });
  return {
    fd: memory.fd,
    argument: { later },
    connect: () => end(memory, { mine: 0, later }),
  };
}

export const far = ({ later }) => end(SharedMemory.fromFd(FD), { mine: 1, later });
