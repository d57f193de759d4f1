// Mapping.replace and Reservation.place are swaps: who reads meanwhile sees what was there or what is there now, never a hole.
import { amount } from '../helpers/amount';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { buildReaders } from '../helpers/readers';
import { runProgram, survives } from './program';

const addon = buildReaders();
afterAll(() => {
  rmSync(dirname(addon), { recursive: true });
});

const prelude = `
const readers = require(${JSON.stringify(addon)});
const SIZE = 4 * PAGE;
const A = scratch(Buffer.alloc(SIZE, 0xaa)), B = scratch(Buffer.alloc(SIZE, 0xbb));
// Open once: opening a file costs more than mapping it.
const [fdA, fdB] = [A, B].map((path) => fs.openSync(path));
// No guard: a hole would be the end of the process.
memmap.configure({ guard: false });
const read = (address) => readers.start(BigInt(address), BigInt(SIZE), BigInt(PAGE), 0xaan, 0xbbn, 0n);
const judge = () => { const words = readers.stop(); assert.ok(words > 1000, 'stop() said ' + words); };
`;

test('readers meet a swap that is none: the test can fail', async () => {
  const { code, signal } = await runProgram(`${prelude}
    const m = memmap.mapAnonymous(SIZE);
    read(m.address);
    for (let i = 0; i < 1e6; i++) readers.hole(m.address, BigInt(SIZE));
  `);
  expect([code, signal]).toEqual([null, 'SIGSEGV']);
});

test(
  'replacements by files and by memory',
  () =>
    survives(
      `${prelude}
    const m = memmap.mapFileSync(fdA);
    const { buffer, address } = m;
    read(address);
    const sources = [{ file: fdB }, { anonymous: SIZE, access: 'read' }, { file: fdA, access: 'copy-on-write' }, { file: fdA }];
    for (let i = 0; i < ${String(amount(10_000, 100_000))}; i++) m.replace(sources[i % 4]);
    judge();
    assert.equal(m.buffer, buffer);
    assert.equal(m.address, address);
    assert.ok(isAll(buffer, 0xaa));
    assert.deepEqual(memmap.registry.verify(), []);
    m.unmap();
  `,
      { timeout: 120_000 },
    ),
  130_000,
);

test(
  'placements over one another in a reservation, under a Buffer that spans them',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(SIZE);
    const half = SIZE / 2;
    let low = r.place(0, { file: fdA, length: half });
    let high = r.place(half, { file: fdA, offset: half });
    const view = r.view(0, SIZE);
    read(r.address);
    for (let i = 0; i < ${String(amount(5000, 50_000))}; i++) {
      const file = i % 2 === 0 ? fdB : fdA;
      low = r.place(0, i % 3 === 0 ? { anonymous: half } : { file, length: half }, { replace: low });
      high = r.place(half, { file, offset: half }, { replace: high });
    }
    judge();
    assert.equal(view.length, SIZE);
    assert.ok(isAll(view.subarray(half), 0xaa));
    assert.deepEqual(memmap.registry.verify(), []);
    assert.equal(r.layout().length, 2);
    r.release();
  `,
      { timeout: 120_000 },
    ),
  130_000,
);

test(
  'what lies beside a placement that comes and goes is not touched',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(3 * SIZE);
    const middle = r.place(SIZE, { file: fdA });
    read(middle.address);
    for (let i = 0; i < ${String(amount(2000, 20_000))}; i++) {
      const below = r.place(0, { anonymous: SIZE });
      const above = r.place(2 * SIZE, { file: fdB });
      below.unmap();
      r.vacate(2 * SIZE, SIZE);
    }
    readers.stop();
    assert.ok(isAll(middle.buffer, 0xaa));
    r.release();
  `,
      { timeout: 120_000 },
    ),
  130_000,
);
