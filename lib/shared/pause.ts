// Waiting without an event loop.

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread for so many milliseconds. A worker that is terminated meanwhile ends. */
export const pause = (ms: number): void => {
  Atomics.wait(nobody, 0, 0, ms);
};
