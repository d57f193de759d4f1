// Calls of one handle that wait for the same thing: first come, first served.
import { notAfterAll, stopWith } from './stops.js';
import { timedOut } from './waiting-options.js';

/** How long and how one waits. `deadline`: by performance.now(). */
export interface Patience {
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly ref: boolean;
}

interface Waiter {
  readonly go: () => void;
}

export class Line {
  #busy = false;
  readonly #waiters: Waiter[] = [];

  /** Whether the next one to come would be served at once. */
  get isFree(): boolean {
    return !this.#busy;
  }

  /** Resolves when it is one's turn; then `leave` is owed. */
  async enter({ deadline, signal, ref }: Patience): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#busy) {
      this.#busy = true;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const stop = (reason: unknown): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        end();
        // Whatever it is: that of a signal is its owner's to choose.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(reason);
      };
      const abort = (): void => {
        stop(signal?.reason);
      };
      const timer = alarm(deadline, ref, () => {
        stop(timedOut());
      });
      const end = (): void => {
        clearTimeout(timer);
        if (signal !== undefined) notAfterAll(signal, abort);
      };
      const waiter: Waiter = {
        go: () => {
          end();
          resolve();
        },
      };
      this.#waiters.push(waiter);
      if (signal !== undefined) stopWith(signal, abort);
    });
  }

  leave(): void {
    const next = this.#waiters.shift();
    if (next === undefined) this.#busy = false;
    else next.go();
  }
}

const LONGEST_TIMER = 0x7fffffff;

function alarm(deadline: number, ref: boolean, ring: () => void): NodeJS.Timeout | undefined {
  const left = Math.ceil(Math.max(0, deadline - performance.now()));
  if (left > LONGEST_TIMER) return undefined;
  const timer = setTimeout(ring, left);
  return ref ? timer : timer.unref();
}
