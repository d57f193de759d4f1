// 200,000 mappings dropped in one synchronous loop: more than the kernel allows at once, and no turn of the event loop in
// which to collect them. All succeed, or the last one is told which limit it met. Never an abort.
import { amount } from '../helpers/amount';
import { survives, withGc } from './program';

/** More than the kernel allows at once. */
const COUNT = String(amount(80_000, 200_000));

const kinds: Record<string, string> = {
  'anonymous, shared': 'memmap.mapAnonymous(PAGE, { shared: true })',
  'of a file': 'memmap.mapFileSync(fd)',
  'with .buffer touched': 'touch(memmap.mapAnonymous(PAGE, { shared: true }))',
  'of a file, with .buffer touched': 'touch(memmap.mapFileSync(fd))',
};

const loop = (make: string) => `
const fd = fs.openSync(scratch(PAGE), 'r');
const touch = (m) => m.buffer[0];
let made = 0;
try {
  for (; made < ${COUNT}; made++) ${make};
} catch (error) {
  assert.equal(error.name, 'MapError');
  assert.equal(error.code, 'ENOMEM');
  assert.equal(error.errno, -12);
  assert.equal(error.syscall, 'mmap');
  assert.match(error.message, /vm\\.max_map_count/);
  // It was not refused early: there was hardly room for more.
  assert.ok(made > 30_000, 'only ' + made);
}
console.log(made);
`;

const stillAlive = `
// Without a turn in between: whoever else needs memory still gets it.
const blocks = Array.from({ length: 64 }, () => Buffer.alloc(2 ** 20, 1));
assert.equal(blocks.every((block) => block[0] === 1), true);
const arrays = Array.from({ length: 200 }, (_, i) => new Array(20_000).fill(i));
assert.equal(arrays[199][0], 199);
const worker = new Worker('require("node:worker_threads").parentPort.postMessage(1)', { eval: true });
await once(worker, 'message');
`;

for (const [kind, make] of Object.entries(kinds)) {
  test(kind, async () => {
    const printed = await survives(
      `
      ${loop(make)}
      ${stillAlive}
      await collectUntil(() => memmap.registry.mappings().length === 0, 'everything dropped is gone');
      const again = Array.from({ length: 1000 }, () => memmap.mapAnonymous(PAGE));
      assert.equal(again.every((m) => m.buffer[0] === 0), true);
      await collectUntil(() => regions().length < 20_000, 'the kernel has its regions back');
    `,
      { ...withGc, timeout: 55_000 },
    );
    expect(Number.parseInt(printed, 10)).toBeGreaterThan(30_000);
  });
}

test('one after the other is collected, without --expose-gc and without a turn', () =>
  survives(`
    const seen = [];
    for (let i = 0; i < ${COUNT}; i++) memmap.mapAnonymous(PAGE, { shared: true });
    ${stillAlive}
    assert.equal(memmap.mapAnonymous(PAGE).buffer[0], 0);
  `));
