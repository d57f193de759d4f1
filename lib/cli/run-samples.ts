// The kernel's list of a running process, looked at now and then: what is left of one that is killed.

import { readFileSync, readlinkSync } from 'node:fs';

/** One look; time is that of the monotonic clock, in nanoseconds. */
export interface Sample {
  readonly at: bigint;
  readonly text: Buffer;
}

const FIRST_PAUSE = 50;
const MOST_SAMPLES = 48;
const MOST_BYTES = 32 * 2 ** 20;
/** Of the time that passes: while it looks, the process cannot map. */
const SHARE_OF_LOOKING = 1 / 20;

/** Looks from all of a life, as many and as large as they may be. */
export class Samples {
  readonly #kept: Sample[] = [];
  #bytes = 0;

  get kept(): readonly Sample[] {
    return this.#kept;
  }

  /** Whether there were too many: then every other one has gone. */
  add(sample: Sample): boolean {
    this.#kept.push(sample);
    this.#bytes += sample.text.length;
    const before = this.#kept.length;
    while (this.#isMuch()) this.#thin();
    return this.#kept.length < before;
  }

  #isMuch(): boolean {
    const { length } = this.#kept;
    return length >= MOST_SAMPLES || (length > 1 && this.#bytes > MOST_BYTES);
  }

  #thin(): void {
    for (let at = this.#kept.length - 2; at >= 0; at -= 2) {
      const [gone] = this.#kept.splice(at, 1);
      this.#bytes -= gone?.text.length ?? 0;
    }
  }
}

/** Looks at a process until it is stopped, ever less often. */
export class Sampler {
  readonly #pid: number;
  readonly #samples = new Samples();
  #pause = FIRST_PAUSE;
  /** What the last look took, in milliseconds. */
  #cost = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What it runs, by the last look. */
  program: string | undefined;

  constructor(pid: number) {
    this.#pid = pid;
    this.#next();
  }

  #next(): void {
    const pause = Math.max(this.#pause, this.#cost / SHARE_OF_LOOKING);
    this.#timer = setTimeout(() => {
      this.#look();
      this.#next();
    }, pause);
  }

  #look(): void {
    try {
      const at = process.hrtime.bigint();
      const text = readFileSync(`/proc/${String(this.#pid)}/maps`);
      this.#cost = Number(process.hrtime.bigint() - at) / 1e6;
      // A process that has ended has no list, and one that is about to has an empty one.
      if (text.length === 0) return;
      this.program = readlinkSync(`/proc/${String(this.#pid)}/exe`);
      if (this.#samples.add({ at, text })) this.#pause *= 2;
    } catch {
      // It has ended.
    }
  }

  stop(): readonly Sample[] {
    clearTimeout(this.#timer);
    return this.#samples.kept;
  }
}
