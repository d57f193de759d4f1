// Two Channels, one each way. `sleeps`: round trips are made of blocking calls that sleep at once when there
// is nothing; if not, of calls that never wait, in a loop. `looks`: at all that was received in place. `capacity`: bytes of
// a ring.
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
  const atOnce = { spin: 0 };
  const target = Buffer.alloc(SMALL);
  const sleeping = {
    send: (bytes) => sends.sendSync(bytes, atOnce),
    receive: () => receives.receiveIntoSync(target, atOnce),
  };
  const spinning = {
    send(bytes) {
      while (!sends.trySend(bytes));
    },
    receive() {
      for (;;) {
        const length = receives.tryReceiveInto(target);
        if (length !== undefined) return length;
      }
    },
  };
  const { send, receive } = sleeps ? sleeping : spinning;
  return {
    send(bytes, count) {
      for (let i = 0; i < count; i++) sends.sendSync(bytes);
    },
    /** Bytes of `count` messages, copied out, or looked at in place. */
    swallow(count, size) {
      let total = 0;
      for (let i = 0; i < count; i++) {
        if (size <= SMALL) {
          total += receives.receiveIntoSync(target);
        } else {
          const peek = receives.peekSync();
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
        const length = receive();
        if (answer.length !== length) answer = target.subarray(0, length);
        send(answer);
      }
    },
    trips(bytes, times) {
      let before = performance.now();
      for (let i = 0; i < times.length; i++) {
        send(bytes);
        receive();
        const after = performance.now();
        times[i] = after - before;
        before = after;
      }
    },
    close() {},
  };
}

const lengthOf = ({ capacity = CAPACITY }) => capacity + 64 * 1024;

/** One memory, one channel after the other. */
function channelsIn(memory, options) {
  const length = lengthOf(options);
  const mapping = memory.map();
  memory.close();
  const at = (offset) => new Channel(mapping, { offset, length });
  return [at(0), at(length)];
}

export function near(options) {
  const memory = SharedMemory.create(null, { size: 2 * lengthOf(options) });
  return {
    fd: memory.fd,
    argument: options,
    connect() {
      const [sends, receives] = channelsIn(memory, options);
      return end({ sends, receives }, options);
    },
  };
}

export function far(options) {
  const [receives, sends] = channelsIn(SharedMemory.fromFd(FD), options);
  return end({ sends, receives }, options);
}
