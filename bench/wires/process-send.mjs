// process.send between a process and its child, with the serialization that child_process.fork calls
// 'advanced': what Node has for it.
import { messages } from './messages.mjs';

const wireOf = (end) => ({
  /** Resolves when more should be sent. */
  send: (bytes) =>
    new Promise((resolve) => {
      if (end.send(bytes, resolve)) resolve();
    }),
  listen(take) {
    // What this end is told to do comes the same way.
    end.on('message', (message) => {
      if (message instanceof Uint8Array) take(message);
    });
  },
  close() {},
});

export const near = () => ({ argument: null, connect: (child) => messages(wireOf(child)) });
export const far = () => messages(wireOf(process));
