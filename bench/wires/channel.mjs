// Two Channels, one each way, with blocking calls. `sleeps`: they do so at once when there is nothing; if
// not they look for 50 microseconds first, as a Channel does if nothing is said. `looks`: at all that was
// received in place.
import { performance } from 'node:perf_hooks';
import { Channel, SharedMemory } from 'memmap';
import { MiB } from '../harness.mjs';

export const CAPACITY = 8 * MiB;
const FD = 4;
// What is longer is not copied out of the channel: it is received where it lies.
const SMALL = 64 * 1024;

/** A word of each cache line. */
function look(bytes) {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  let sum = 0;
  for (let i = 0; i < words.length; i += 16) sum = (sum + words[i]) | 0;
  return sum;
}

function end({ sends, receives }, { sleeps, looks }) {
  const options = sleeps ? { spin: 0 } : undefined;
  const target = Buffer.alloc(SMALL);
  const receiveSmall = () => receives.receiveIntoSync(target, options);
  return {
    send(bytes, count) {
      for (let i = 0; i < count; i++) sends.sendSync(bytes, options);
    },
    /** Bytes of `count` messages, copied out, or looked at in place. */
    swallow(count, size) {
      let total = 0;
      for (let i = 0; i < count; i++) {
        if (size <= SMALL) {
          total += receiveSmall();
        } else {
          const peek = receives.peekSync(options);
          if (looks) look(peek.buffer);
          total += peek.buffer.length;
          peek.release();
        }
      }
      return total;
    },
    echo(count) {
      let answer = target;
      for (let i = 0; i < count; i++) {
        const length = receiveSmall();
        if (answer.length !== length) answer = target.subarray(0, length);
        sends.sendSync(answer, options);
      }
    },
    trips(bytes, times) {
      let before = performance.now();
      for (let i = 0; i < times.length; i++) {
        sends.sendSync(bytes, options);
        receiveSmall();
        const after = performance.now();
        times[i] = after - before;
        before = after;
      }
    },
    close() {},
  };
}

const LENGTH = CAPACITY + 64 * 1024;

/** One memory, one channel after the other. */
function channelsIn(memory) {
  const mapping = memory.map();
  memory.close();
  const at = (offset) => new Channel(mapping, { offset, length: LENGTH });
  return [at(0), at(LENGTH)];
}

export function near(options) {
  const memory = SharedMemory.create(null, { size: 2 * LENGTH });
  return {
    fd: memory.fd,
    argument: options,
    connect() {
      const [sends, receives] = channelsIn(memory);
      return end({ sends, receives }, options);
    },
  };
}

export function far(options) {
  const [receives, sends] = channelsIn(SharedMemory.fromFd(FD));
  return end({ sends, receives }, options);
}
