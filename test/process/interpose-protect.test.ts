// Calls of others that hit memory which memmap mapped: refused, reported, or let be.

import { Scratch } from '../helpers/files';
import { entry, runUnder, traceUnder, unsupported, expectGood } from '../helpers/interposed';
import { buildOutside } from '../helpers/outside';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const built = unsupported ?? buildOutside(scratch.folder);
const test = itUnless(typeof built === 'string' ? built : undefined);

/** In the child: `outside`, an addon that knows nothing of memmap, and a mapping full of sevens. */
const program = (source: string): string[] => [
  process.execPath,
  '-e',
  `
  const memmap = require(${JSON.stringify(entry)});
  const call = require(${JSON.stringify(`${scratch.folder}/outside.node`)});
  const [MUNMAP, MPROTECT, MMAP] = [0n, 1n, 2n];
  const PAGE = memmap.pageSize;
  const outside = (what, address, length, protection = 0) =>
    call(what, address, BigInt(length), BigInt(protection));
  const mapping = memmap.mapAnonymous(4 * PAGE);
  mapping.buffer.fill(7);
  const region = () => memmap.addressSpace.query(mapping.address);
  const dirty = () => region().dirty;
  ${source}`,
];

const attacks = `
  const results = [
    outside(MUNMAP, mapping.address + BigInt(PAGE), PAGE),
    outside(MPROTECT, mapping.address, 4 * PAGE, 0),
    outside(MMAP, mapping.address - BigInt(0), PAGE, 3),
  ];
`;

test('refused: nothing happens to the bytes, and it is in the trace and on stderr, once', async () => {
  const result = await traceUnder(
    scratch,
    program(`${attacks}
      for (let i = 0; i < 5; i++) outside(MUNMAP, mapping.address, PAGE);
      console.log(JSON.stringify({ results, whole: mapping.buffer.every((byte) => byte === 7),
        length: region().length, mode: region().protection, dirty: dirty(), drift: memmap.registry.verify().length }));
      mapping.unmap();
    `),
    { options: ['--protect', 'refuse'] },
  );
  expectGood(result);
  const seen = JSON.parse(result.stdout) as { length: number; dirty: number };
  expect(seen).toMatchObject({ results: [-1, -1, -1], whole: true, mode: 'read-write', drift: 0 });
  expect(seen.dirty).toBeGreaterThanOrEqual(4 * 1024);
  const refused = result.trace.events.filter(({ verdict }) => verdict === 'refused');
  expect(refused.map(({ call }) => call)).toEqual([
    ...['munmap', 'mprotect', 'mmap'],
    ...Array<string>(5).fill('munmap'),
  ]);
  for (const event of refused) {
    expect(event).toMatchObject({ result: null, error: 'EPERM' });
    expect(event.caller).toMatch(/outside\.node$/);
  }
  expect(result.summary).toContain("that hit memmap's memory: 8 refused");
  const told = result.summary.match(
    /munmap by .*outside\.node in thread \d+ hits memory that memmap/g,
  );
  expect(told).toHaveLength(1);
});

test('reported: it happens, and is told', async () => {
  const result = await traceUnder(
    scratch,
    program(`${attacks} console.log(JSON.stringify(results));`),
  );
  expectGood(result);
  expect(JSON.parse(result.stdout)).toEqual([0, -1, 0]);
  const reported = result.trace.events.filter(({ verdict }) => verdict === 'reported');
  // The second meets the hole that the first has left, and fails by itself.
  expect(reported).toMatchObject([
    { call: 'munmap', result: '0x0' },
    { call: 'mprotect', result: null, error: 'ENOMEM' },
    { call: 'mmap' },
  ]);
});

test('off: nobody looks', async () => {
  const result = await traceUnder(
    scratch,
    program(`console.log(outside(MUNMAP, mapping.address + BigInt(PAGE), PAGE));`),
    { options: ['--protect', 'off'] },
  );
  expectGood(result);
  expect(result.stdout).toBe('0\n');
  expect(result.trace.events.every(({ verdict }) => verdict === 'done')).toBe(true);
  expect(result.summary).toContain('not looked for');
});

test('what memmap does itself is never refused: every verb, workers, garbage', async () => {
  const result = await runUnder(
    [
      process.execPath,
      '--expose-gc',
      '-e',
      `
      const memmap = require(${JSON.stringify(entry)});
      const fs = require('node:fs');
      const { Worker } = require('node:worker_threads');
      const path = ${JSON.stringify(scratch.path())};
      const PAGE = memmap.pageSize;
      fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 1));
      const work = () => {
        const a = memmap.mapFileSync(path, { access: 'read-write' });
        a.buffer[0] = 3; a.flushSync(); a.protect('read'); a.advise('dontneed'); a.resize(2 * PAGE);
        a.replace({ anonymous: 2 * PAGE }); a.buffer[5]; a.unmap();
        const b = memmap.mapAnonymous(16 * PAGE);
        b.view(0, 10); b.resize(64 * PAGE); b.resize(PAGE); b.protect('none'); b.unmap();
        for (let i = 0; i < 300; i++) memmap.mapAnonymous(PAGE * (1 + i % 5)).buffer[0] = 1;
      };
      const source = 'const fs = require("node:fs"); const memmap = require(${JSON.stringify(entry)}); const path = '
        + JSON.stringify(path) + '; const PAGE = memmap.pageSize; (' + work + ')();';
      (async () => {
        for (let round = 0; round < 3; round++) {
          const workers = [1, 2].map(() => new Worker(source, { eval: true }));
          work();
          await Promise.all(workers.map((worker) => new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))));
          gc();
          await new Promise(setImmediate);
        }
        console.log('all done');
      })();
      `,
    ],
    { options: ['--protect', 'refuse', '--policy', 'best-fit'] },
  );
  expectGood(result);
  expect(result.stdout).toBe('all done\n');
  expect(result.summary).toContain("that hit memmap's memory: 0 refused");
});

test('memory that memmap has given back is anybody’s', async () => {
  const result = await runUnder(
    program(`
      const { address } = mapping;
      memmap.sys.munmap(address, 4 * PAGE, { replace: mapping });
      let left = 0;
      // Views were handed out: it goes when they cannot be read any more.
      const still = () => memmap.addressSpace.query(address)?.owner.kind === 'retired';
      const plain = memmap.mapAnonymous(PAGE);
      const freed = plain.address;
      plain.unmap();
      const free = memmap.addressSpace.query(freed)?.owner.kind !== 'retired';
      if (free) left = outside(MMAP, freed, PAGE, 3) + outside(MUNMAP, freed, PAGE);
      console.log(JSON.stringify([free, left]));
    `),
    { options: ['--protect', 'refuse'] },
  );
  expectGood(result);
  expect(JSON.parse(result.stdout)).toEqual([true, 0]);
});
