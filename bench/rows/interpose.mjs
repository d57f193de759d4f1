// interpose: what `memmap run` costs a program that maps and unmaps all the time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atMost, duel } from '../harness.mjs';

const script = fileURLToPath(new URL('../scripts/interposed.cjs', import.meta.url));
const memmap = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PEER = 'the same without memmap run';
const ROUNDS = 201;
const WARMUP = 20;

/** A program that measures one round for each line it is sent. */
function start(options) {
  const under = options === undefined ? [] : [memmap, 'run', ...options, '--', process.execPath];
  const child = spawn(process.execPath, [...under, script], { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout });
  return {
    async round() {
      child.stdin.write('\n');
      const [line] = await once(lines, 'line');
      return Number(line);
    },
    async end() {
      child.stdin.end();
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error(`a side ended with ${code}`);
    },
  };
}

async function fight(options) {
  const [ours, theirs] = [start(options), start()];
  const found = await duel({
    ours: () => ours.round(),
    theirs: () => theirs.round(),
    rounds: ROUNDS,
    warmup: WARMUP,
    shuffle: true,
  });
  await Promise.all([ours.end(), theirs.end()]);
  return found;
}

const runs = {
  interpose: [],
  'interpose-first-fit': ['--policy', 'first-fit', '--protect', 'refuse'],
};

export const interpose = {
  name: 'interpose',
  what: 'anonymous 4 KiB: map, unmap, under memmap run',
  results: {
    interpose: { unit: 'ns', peer: PEER, target: atMost(1.3) },
    'interpose-first-fit': {
      unit: 'ns',
      peer: `${PEER}; placed first-fit, protected`,
      target: atMost(2),
    },
  },
  async run(names) {
    const found = {};
    for (const name of names) found[name] = await fight(runs[name]);
    return found;
  },
};
