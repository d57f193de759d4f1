// Waiting without an event loop.

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread for so many milliseconds. A worker that is terminated meanwhile ends. */
export const pause = (ms: number): void => {
  Atomics.wait(nobody, 0, 0, ms);
};

/** So many milliseconds in slices, counted as they are slept: a test may have stopped the clock. */
export class Patience {
  #left: number;

  constructor(ms: number) {
    this.#left = ms;
  }

  /** Sleeps for a slice. False: there is nothing left. */
  wait(slice: number): boolean {
    if (this.#left <= 0) return false;
    const ms = Math.min(this.#left, slice);
    pause(ms);
    this.#left -= ms;
    return true;
  }
}
