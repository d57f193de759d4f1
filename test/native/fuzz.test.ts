// Any sequence of calls with any arguments below the TypeScript: the process lives, and what is still
// an ArrayBuffer can still be read.

import { expectClean, runChild } from '../helpers/child';

const program = `
const fc = require('fast-check');
const native = require('node-gyp-build')(process.cwd());
const P = native.pageSize;
const { MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE } = native.constants;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const SHARED = MAP_SHARED | MAP_ANONYMOUS;

// Places: bases that were given to us, by number, and near them.
const bases = [];
const views = [];
const start = () => {
  const rows = native.ownedRanges();
  for (let row = 0; row < rows.length; row += 4) {
    if (rows[row + 2] >= 0) native.unmap(rows[row], rows[row + 1] - rows[row]);
  }
  native.reap(true);
  bases.length = 0;
  views.length = 0;
  for (let owner = 1; owner <= 4; owner++) {
    const base = native.map(owner, 0, 4 * P, 3, owner % 2 ? ANON : SHARED, -1, 0, 2, false);
    bases.push(base);
    views.push(native.view(base, 0, 4 * P), native.view(base, P - 3, 6));
  }
};
const place = fc
  .tuple(fc.nat(40), fc.constantFrom(0, 0, 0, 0, 0, 0, P, P, 2 * P, 3 * P, 4 * P, 1, P - 1, 2 * P + 5))
  .map(([which, by]) => ({ which, by }));
const length = fc.constantFrom(P, P, P, 2 * P, 2 * P, 3 * P, 4 * P, 4 * P, 4 * P, 0, 1, P - 1, P, P, P + 1, 2 * P, 4 * P, 5 * P, 2 ** 20, 2 ** 47, 2 ** 53, 2 ** 62);
const number = fc.constantFrom(0, 0, 1, 1, 2, 3, 4, 4, 7, 8, 22, 23, -1, 2 ** 31 - 1, 0.5, NaN, 2 ** 53);
// Poisoning pages is the one advice that hurts the machine.
const advice = fc.oneof(fc.integer({ min: -1, max: 26 }), fc.constantFrom(102, 103));
const protection = fc.constantFrom(0, 1, 1, 2, 3, 3, 3, 4, 5, 7, 16);
const flags = fc.constantFrom(ANON, ANON, SHARED, ANON | MAP_FIXED, ANON | MAP_NORESERVE, 0, -1, SHARED | MAP_FIXED);
const owner = fc.integer({ min: 0, max: 6 });
const owners = fc.constantFrom([1], [1, 2], [1, 2, 3, 4, 5, 6], []).map((ids) => Float64Array.from(ids));
const bytes = fc.constantFrom(0, 1, 7, 100, 5 * P).map((size) => new Uint8Array(size));
const odd = fc.constantFrom(undefined, null, 'x', 1n, Symbol('x'), {}, NaN, -1, Infinity, new ArrayBuffer(3));
const flag = fc.boolean();
// Guarded, with or without the rest: what is beyond the end of shared memory may be looked at then.
const GUARDED = 2;
const treatment = fc.nat(7).map((bits) => bits | GUARDED);
// Once in a while something odd in the place of an argument.
const spoil = fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.tuple(fc.nat(9), odd) });

const shapes = {
  map: [owner, place, length, protection, flags, fc.constant(-1), fc.constant(0), treatment, flag],
  overlay: [owner, place, length, protection, flags, fc.constant(-1), fc.constant(0), treatment, owners, fc.integer({ min: -1, max: 3 })],
  unmap: [place, length], unmapCollected: [place, length], detach: [place, length], regions: [place, fc.constantFrom(0, P, 5 * P)],
  protect: [place, length, protection], advise: [place, length, advice],
  sync: [place, length, number], syncAsync: [place, length, number],
  lock: [place, length, number], unlock: [place, length, number],
  populate: [place, length, number], populateAsync: [place, length, number],
  residency: [place, length, bytes],
  copyOut: [place, length, bytes], copyOutAsync: [place, length, bytes],
  copyIn: [place, length, bytes], copyInAsync: [place, length, bytes],
  reserve: [place, length], release: [place, length], isVacant: [place, length], reserveView: [place, length, length],
  view: [place, length, length], sharedView: [place, length, length],
  grow: [place, length, fc.constantFrom(0, 1, P, 2 * P, 4 * P, 9 * P, 2 ** 47, 2 ** 62), flag],
  remap: [owner, place, length, fc.constantFrom(0, P, 2 * P, 4 * P, 2 ** 47), fc.integer({ min: 0, max: 9 }), place, owners],
  loadFile: [number, number, place, length],
  reap: [flag], retired: [], ownedRanges: [], derefWeakRef: [number], deleteWeakRef: [number],
};
const call = fc.oneof(
  ...Object.entries(shapes).map(([name, shape]) =>
    fc.record({ name: fc.constant(name), args: fc.tuple(...shape), spoil }),
  ),
);

const resolve = (value) =>
  value?.which === undefined ? value : (bases[value.which % bases.length] ?? 0) + value.by;

const told = [];
function run({ name, args, spoil }) {
  const given = args.map(resolve);
  if (spoil !== null) given[spoil[0] % Math.max(1, given.length)] = spoil[1];
  let answer;
  try {
    answer = native[name](...given);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
  if (typeof answer === 'number' && answer >= P && ['map', 'grow', 'remap'].includes(name)) bases.push(answer);
  if (answer instanceof Uint8Array) views.push(answer);
  if (answer instanceof SharedArrayBuffer) views.push(new Uint8Array(answer));
  return answer;
}

function look() {
  for (const view of views) {
    if (view.byteLength === 0) continue;
    const seen = new Uint8Array(view);
    for (let at = 0; at < seen.length; at += P) told[0] = seen[at];
    told[0] = seen[seen.length - 1];
  }
  const rows = native.ownedRanges();
  for (let row = 4; row < rows.length; row += 4) {
    if (rows[row] < rows[row - 3]) throw new Error('two claims overlap');
  }
}
`;

it('lives through anything', async () => {
  const seed = Number(process.env['MEMMAP_SEED'] ?? Date.now() % 2 ** 31);
  const result = await runChild(
    `${program}
    let succeeded = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 20, maxLength: 40, size: 'max' }), async (calls) => {
        start();
        const answers = [];
        for (const each of calls) {
          const answer = run(each);
          // A call on the thread pool works on memory that its caller keeps in place.
          answers.push(await answer);
          look();
        }
        succeeded += answers.filter((answer) => typeof answer !== 'object').length;
      }),
      { numRuns: 800, seed: ${String(seed)}, endOnFailure: true },
    );
    console.log(succeeded > 5000);
    `,
    { timeout: 50_000 },
  );
  if (result.code !== 0) process.stderr.write(`MEMMAP_SEED=${String(seed)}\n`);
  expectClean(result);
  expect(result.stdout.trim()).toBe('true');
});
