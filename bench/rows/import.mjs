// import: what require('memmap') adds to the start of a program.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { duel, now } from '../harness.mjs';

const script = (name) => fileURLToPath(new URL(`../scripts/${name}`, import.meta.url));

function milliseconds(path) {
  const start = now();
  const { status } = spawnSync(process.execPath, [path], { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${path} ended with ${status}`);
  return (now() - start) / 1e6;
}

const LIMIT = 10;

export const importing = {
  name: 'import',
  what: "a process with require('memmap'), over an empty script",
  results: {
    import: {
      unit: 'ms',
      peer: 'the empty script, whole',
      target: {
        text: `<= ${LIMIT} ms`,
        ratioOf: ({ value, against }) => value / against,
        isMet: (_ratio, { value }) => value <= LIMIT,
      },
    },
  },
  async run() {
    const { value, against } = await duel({
      ours: () => milliseconds(script('require.cjs')),
      theirs: () => milliseconds(script('empty.cjs')),
      rounds: 41,
    });
    return { import: { value: value - against, against } };
  },
};
