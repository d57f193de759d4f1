// The kernel's list of a running process, looked at now and then: what is left of one that is killed.

import { readFileSync, readlinkSync } from 'node:fs';

/** One look; time is that of the monotonic clock, in nanoseconds. */
export interface Sample {
  readonly at: bigint;
  readonly text: string;
}

const FIRST_PAUSE = 50;
const MOST_SAMPLES = 48;

/** Looks at a process until it is stopped, ever less often, and keeps looks from all of its life. */
export class Sampler {
  readonly #pid: number;
  readonly #samples: Sample[] = [];
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;
  /** What it runs, by the last look. */
  program: string | undefined;

  constructor(pid: number) {
    this.#pid = pid;
    this.#next();
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      this.#look();
      this.#next();
    }, this.#pause);
  }

  #look(): void {
    try {
      const at = process.hrtime.bigint();
      const text = readFileSync(`/proc/${String(this.#pid)}/maps`, 'utf8');
      // A process that has ended has no list, and one that is about to has an empty one.
      if (text === '') return;
      this.program = readlinkSync(`/proc/${String(this.#pid)}/exe`);
      this.#samples.push({ at, text });
    } catch {
      return;
    }
    if (this.#samples.length < MOST_SAMPLES) return;
    // Every other one goes, and twice the time passes until the next.
    for (let at = this.#samples.length - 2; at >= 0; at -= 2) this.#samples.splice(at, 1);
    this.#pause *= 2;
  }

  stop(): readonly Sample[] {
    clearTimeout(this.#timer);
    return this.#samples;
  }
}
