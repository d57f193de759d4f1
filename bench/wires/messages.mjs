// What both ends of a wire do that gives its messages to a listener.
import { performance } from 'node:perf_hooks';

/** @param {{ send(bytes: Uint8Array): Promise<void>, listen(take: (message: Uint8Array) => void): void, close(): void }} wire */
export function messages(wire) {
  /** @type {(message: Uint8Array) => void} */
  let take = () => {
    throw new Error('a message that nobody waits for');
  };
  wire.listen((message) => take(message));

  /** Calls `use` with each of the next `count` messages. */
  const each = (count, use) =>
    new Promise((resolve) => {
      let left = count;
      take = (message) => {
        use(message);
        if (--left === 0) resolve();
      };
    });

  return {
    async send(bytes, count) {
      for (let i = 0; i < count; i++) await wire.send(bytes);
    },
    async swallow(count) {
      let total = 0;
      await each(count, ({ length }) => (total += length));
      return total;
    },
    echo: (count) => each(count, (message) => wire.send(message)),
    /** Sends `bytes` and waits for the answer, as often as `times` is long; milliseconds each. */
    trips(bytes, times) {
      const { length } = times;
      let done = 0;
      let before = performance.now();
      const all = each(length, () => {
        const after = performance.now();
        times[done++] = after - before;
        before = after;
        if (done < length) wire.send(bytes);
      });
      wire.send(bytes);
      return all;
    },
    close: () => wire.close(),
  };
}
