// What memmap does by itself belongs to no request: AsyncLocalStorage of whoever came first is not
// its own, and must not be kept alive by it.
import { AsyncResource } from 'node:async_hooks';

const home = new AsyncResource('memmap');

/** Runs `call` as if nobody had asked for it. */
export const inHome = (call: () => void): void => {
  home.runInAsyncScope(call);
};
