// Runs threads that share words in every order of their steps. The code under test is the real one: it is run again from its
// start for each step, with the answers it got before, and stopped at the next access to a word. A thread can be killed
// between any two steps. States that were seen are not looked at again.
import { createHash } from 'node:crypto';

export interface Thread {
  /**
   * Runs the code under test. It may only look at the words, and throws what it finds wrong. With `mark` it may say that all
   * that it still knows are these numbers: histories that no longer matter are then one state.
   */
  readonly body: (words: Int32Array, mark: (...known: number[]) => void) => void;
  /** It may die before any of its steps. */
  readonly mortal?: boolean;
  /** It starts when this one has ended or died. */
  readonly after?: number;
}

/** Makes the code under test wrong on purpose. */
export interface Mutation {
  /** `or` that changes nothing. */
  readonly silent?: boolean;
  /** What is stored or swapped into this word is lost. */
  readonly lost?: number;
}

export interface Plan {
  readonly words: number;
  /** What the words hold at first; zeros. */
  readonly initial?: Readonly<Record<number, number>>;
  /** What the system does when a thread dies. */
  readonly bury?: (memory: Int32Array, thread: number) => void;
  readonly threads: readonly Thread[];
  /** Words that no two threads of the plan look at, or that never change: nobody can tell when a step on them was done. */
  readonly quiet?: readonly number[];
  readonly mutation?: Mutation;
}

interface Running {
  readonly answers: readonly number[];
  /** All that is known after the first so many answers. */
  readonly marked: number;
  readonly known: readonly number[];
  readonly state: 'running' | 'ended' | 'dead';
}

const OVER = { answers: [], marked: 0, known: [] } as const;

interface State {
  readonly memory: Int32Array;
  readonly threads: readonly Running[];
  /** Whose step it was; a death is the negative. Newest first, as a linked list. */
  readonly path: Step | undefined;
}

interface Step {
  readonly thread: number;
  readonly before: Step | undefined;
}

/** Thrown through the code under test where it must stop. */
const PAUSE = new Error('paused');

/** Atomics as it was; the code under test meets others in its place. */
const real = plain(Atomics);

function plain({ load, store, or, exchange, compareExchange }: typeof Atomics) {
  return { load, store, or, exchange, compareExchange };
}

/** The only memory, and the answers of the thread that runs. */
interface Stage {
  memory: Int32Array;
  answers: readonly number[];
  next: number;
  fresh: number[];
  /** The one step on a word that is not quiet was done. */
  done: boolean;
  marked: number;
  known: readonly number[];
}

function onStage(
  plan: Plan,
  stage: Stage,
): { words: Int32Array; atomics: Partial<typeof Atomics> } {
  const quiet = new Set(plan.quiet);
  const step = (at: number, act: (memory: Int32Array) => number): number => {
    if (!(at >= 0 && at < plan.words))
      throw new Error(`word ${String(at)} of ${String(plan.words)}`);
    const known = stage.answers[stage.next];
    if (known !== undefined) {
      stage.next++;
      return known;
    }
    if (!quiet.has(at)) {
      if (stage.done) throw PAUSE;
      stage.done = true;
    }
    const answer = act(stage.memory);
    stage.fresh.push(answer);
    return answer;
  };
  const { silent = false, lost = -1 } = plan.mutation ?? {};
  const words = new Proxy({} as Int32Array, {
    get: (_, name) =>
      name === 'length' ? plan.words : step(Number(name), (memory) => memory[Number(name)] ?? 0),
    set: (_, name, value: number) => {
      const at = Number(name);
      step(at, (memory) => (at === lost ? 0 : (memory[at] = value)));
      return true;
    },
  });
  const atomics = {
    load: (_: unknown, at: number) => step(at, (memory) => real.load(memory, at)),
    store: (_: unknown, at: number, value: number) =>
      step(at, (memory) => (at === lost ? 0 : real.store(memory, at, value))),
    or: (_: unknown, at: number, value: number) =>
      step(at, (memory) => real.or(memory, at, silent ? 0 : value)),
    exchange: (_: unknown, at: number, value: number) =>
      step(at, (memory) => real.exchange(memory, at, value)),
    compareExchange: (_: unknown, at: number, old: number, value: number) =>
      step(at, (memory) =>
        at === lost ? real.load(memory, at) : real.compareExchange(memory, at, old, value),
      ),
  };
  return { words, atomics: atomics as unknown as Partial<typeof Atomics> };
}

const told = (path: Step | undefined): number[] => {
  const steps: number[] = [];
  for (let step = path; step !== undefined; step = step.before) steps.unshift(step.thread);
  return steps;
};

const NEW = { done: false, marked: 0, known: [] as readonly number[] };

class Explorer {
  readonly #plan: Plan;
  readonly #stage: Stage;
  readonly #words: Int32Array;
  readonly #atomics: Partial<typeof Atomics>;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#stage = { memory: new Int32Array(0), answers: [], next: 0, fresh: [], ...NEW };
    const { words, atomics } = onStage(plan, this.#stage);
    this.#words = words;
    this.#atomics = atomics;
  }

  start(): State {
    const { words, threads } = this.#plan;
    const running = threads.map((): Running => ({ ...OVER, state: 'running' }));
    const memory = new Int32Array(words);
    for (const [at, value] of Object.entries(this.#plan.initial ?? {})) memory[Number(at)] = value;
    return { memory, threads: running, path: undefined };
  }

  enabled({ threads }: State): number[] {
    return threads.flatMap(({ state }, thread) => {
      const after = this.#plan.threads[thread]?.after;
      const waits = after !== undefined && threads[after]?.state === 'running';
      return state === 'running' && !waits ? [thread] : [];
    });
  }

  mortal(thread: number): boolean {
    return this.#plan.threads[thread]?.mortal === true;
  }

  kill(state: State, thread: number): State {
    const threads = state.threads.map((each, index) =>
      index === thread ? ({ ...OVER, state: 'dead' } as const) : each,
    );
    const memory = state.memory.slice();
    this.#plan.bury?.(memory, thread);
    return { memory, threads, path: { thread: -1 - thread, before: state.path } };
  }

  /** One step of one thread. */
  step(state: State, thread: number): State {
    const stage = this.#stage;
    stage.memory = state.memory.slice();
    stage.answers = state.threads[thread]?.answers ?? [];
    stage.next = 0;
    stage.fresh = [];
    Object.assign(stage, NEW);
    const path: Step = { thread, before: state.path };
    const ended = this.#run(thread, path);
    const { marked, known } = stage;
    const after: Running = ended
      ? { ...OVER, state: 'ended' }
      : { answers: [...stage.answers, ...stage.fresh], marked, known, state: 'running' };
    const threads = state.threads.map((each, index) => (index === thread ? after : each));
    return { memory: stage.memory, threads, path };
  }

  #run(thread: number, path: Step): boolean {
    const stage = this.#stage;
    const mark = (...known: number[]): void => {
      stage.marked = stage.next + stage.fresh.length;
      stage.known = known;
    };
    Object.assign(Atomics, this.#atomics);
    try {
      this.#plan.threads[thread]?.body(this.#words, mark);
      return true;
    } catch (error) {
      if (error === PAUSE) return false;
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`thread ${String(thread)}: ${message}; steps ${told(path).join(' ')}`, {
        cause: error,
      });
    } finally {
      Object.assign(Atomics, real);
    }
  }
}

function keyOf({ memory, threads }: State): string {
  const hash = createHash('sha1').update(memory);
  for (const { answers, marked, known, state } of threads) {
    const later = answers.slice(marked);
    hash.update(state).update(Int32Array.from([known.length, ...known, later.length, ...later]));
  }
  return hash.digest('base64').slice(0, 20);
}

/** Every order, every death. Gives how many states there are. */
export function everyOrder(plan: Plan): number {
  const explorer = new Explorer(plan);
  const start = explorer.start();
  const seen = new Set([keyOf(start)]);
  const open = [start];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const thread of explorer.enabled(state)) {
      const next = [explorer.step(state, thread)];
      if (explorer.mortal(thread)) next.push(explorer.kill(state, thread));
      for (const each of next) {
        const key = keyOf(each);
        if (seen.has(key)) continue;
        seen.add(key);
        open.push(each);
      }
    }
  }
  return seen.size;
}

/** Some orders of a plan that has too many: the same seed gives the same. */
export function someOrders(plan: Plan, { orders, seed }: { orders: number; seed: number }): void {
  const explorer = new Explorer(plan);
  let chance = seed;
  const below = (limit: number): number => {
    // Numerical Recipes' generator: good enough to choose who is next.
    chance = (Math.imul(chance, 1664525) + 1013904223) >>> 0;
    return Math.trunc((chance / 2 ** 32) * limit);
  };
  for (let order = 0; order < orders; order++) {
    let state = explorer.start();
    let runs = 0;
    let running = 0;
    for (;;) {
      const enabled = explorer.enabled(state);
      if (enabled.length === 0) break;
      // A thread that is left running for a while gets further than one that is interrupted at each step.
      if (runs === 0 || !enabled.includes(running)) {
        running = enabled[below(enabled.length)] ?? 0;
        runs = 1 + below(12);
      }
      runs--;
      const dies = explorer.mortal(running) && below(40) === 0;
      state = dies ? explorer.kill(state, running) : explorer.step(state, running);
    }
  }
}
