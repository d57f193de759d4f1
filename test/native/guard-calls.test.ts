// The exports of the fault guard below the TypeScript, whatever they are given and in whatever order: the process lives, what
// is refused is refused with data, and other threads' memory is not touched.

import { expectClean, runChild } from '../helpers/child';
import { Scratch } from '../helpers/files';

const scratch = new Scratch();
afterAll(() => scratch.remove());

/** A file of four pages of 'a', mapped shared and writable at `base`, guarded, with one view over all of it. */
const program = (): string => `
const fs = require('node:fs');
const { setImmediate: turn } = require('node:timers/promises');
const native = require('node-gyp-build')(process.cwd());
const P = native.pageSize;
const { MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS, PROT_READ, PROT_WRITE } = native.constants;
const RW = PROT_READ | PROT_WRITE, GUARDED = 2, OWNER = 7;
const ids = Float64Array.of(OWNER);
const path = ${JSON.stringify(scratch.file(''))};
const fresh = () => fs.writeFileSync(path, Buffer.alloc(4 * P, 'a'));
fresh();
const fd = fs.openSync(path, 'r+');
const mapFile = (protection = RW, flags = MAP_SHARED, owner = OWNER) =>
  native.map(owner, 0, 4 * P, protection, flags, fd, 0, GUARDED, false);
const base = mapFile();
const viewOf = (at, length = 4 * P) => { const buffer = native.view(at, 0, length); return new Uint8Array(buffer.buffer ?? buffer); };
const view = viewOf(base);
// Every page from this one on is lost.
const lose = (page) => { fs.ftruncateSync(fd, page * P); for (let i = page; i < 4; i++) view[i * P] = 1; };
// Nothing to take is no array at all.
const taken = () => native.takeFaults(0) ?? [];
const rows = (numbers, width) => Array.from({ length: numbers.length / width }, (_, i) => [...numbers.subarray(i * width, (i + 1) * width)]);
const shown = (answer) => (answer === undefined ? 'done' : answer.refusal ?? answer.errno);
const say = (...values) => console.log(JSON.stringify(values));
`;

const output = async (source: string): Promise<unknown> => {
  const result = await runChild(`${program()}\n${source}`);
  expectClean(result);
  return JSON.parse(result.stdout);
};

describe('startGuard', () => {
  it('refuses what is no function, and installs nothing for it', async () => {
    const found = await output(`
      native.unmap(base, 4 * P);
      const wrong = [undefined, null, 5, 'x', {}, [], 1n, Symbol('x'), new Proxy({}, {})];
      const answers = wrong.map((value) => native.startGuard(0, value)).map(({ refusal, at }) => [refusal, at].join());
      fs.ftruncateSync(fd, 0);
      const at = mapFile(RW, MAP_SHARED, 8);
      viewOf(at)[0];
      say([...new Set(answers)], taken().length);`);
    // Nobody is told: there is no inbox. The fault itself is mended, since the mapping is guarded.
    expect(found).toEqual([['argument,1'], 0]);
  });

  it('calls the first function, once for what came together, again after the next fault', async () => {
    const found = await output(`
      const calls = [];
      native.startGuard(0, (...given) => calls.push(['first', given.length]));
      native.startGuard(0, () => calls.push('second'));
      const own = mapFile(RW, MAP_SHARED, 8);
      const mine = viewOf(own);
      fs.ftruncateSync(fd, 0);
      mine[0]; mine[3 * P];
      while (calls.length < 1) await turn();
      const first = calls.length;
      taken();
      mine[P];
      while (calls.length < 2) await turn();
      say(first, calls);`);
    expect(found).toEqual([
      1,
      [
        ['first', 0],
        ['first', 0],
      ],
    ]);
  });

  it('outlives a function that throws, and what happened can still be taken', async () => {
    const found = await output(`
      let calls = 0;
      // What becomes of the exception is Node's: a warning in older versions.
      process.on('uncaughtException', () => {});
      native.startGuard(0, () => { calls++; throw new Error('mine'); });
      const mine = viewOf(mapFile(RW, MAP_SHARED, 8));
      fs.ftruncateSync(fd, 0);
      mine[0];
      while (calls < 1) await turn();
      const first = taken().length;
      mine[2 * P];
      while (calls < 2) await turn();
      say(first, taken().length);`);
    expect(found).toEqual([8, 8]);
  });

  it('is not needed to survive: what nobody asked to hear is not heard', async () => {
    const found = await output(`
      lose(1);
      const [ever, bus, segmentation, ...watched] = native.guardStatus();
      say([ever, bus, segmentation], watched.length === 1 && watched[0] === base, taken().length, rows(native.damaged(base, 4 * P), 4).length);`);
    expect(found).toEqual([[1, 1, 1], true, 0, 1]);
  });
});

describe('takeFaults and damaged', () => {
  const heard = `native.startGuard(0, () => {}); native.unmap(base, 4 * P);
    const at = mapFile(RW, MAP_SHARED, 8), mine = viewOf(at);`;

  it('give each record once, and the damage for as long as it is there', async () => {
    const found = await output(`${heard}
      fs.ftruncateSync(fd, P + 1);
      mine[2 * P] = 1; mine[3 * P] = 1;
      const [[page, kind, signal, thread, offset, length, count, time], ...more] = rows(taken(), 8);
      const again = taken().length;
      const damaged = rows(native.damaged(at, 4 * P), 4).map(([begin, end, ...rest]) => [(begin - at) / P, (end - at) / P, ...rest]);
      say((page - at) / P, kind, signal === require('node:os').constants.signals.SIGBUS, thread === process.pid,
        offset / P, length / P, count, Number.isInteger(time) && time > 1e12, more.length, again, damaged);`);
    expect(found).toEqual([2, 1, true, true, 2, 2, 2, true, 0, 0, [[2, 4, 1, 0]]]);
  });

  it('take any part of a mapping', async () => {
    const found = await output(`${heard}
      fs.ftruncateSync(fd, P);
      mine[2 * P] = 1;
      const count = (address, length) => native.damaged(address, length).length / 4;
      say([[at, 0], [at, 2 * P], [at, 2 * P + 1], [at + 2 * P, P], [at + 3 * P - 1, 1], [at + 3 * P, P], [at + 5, P]].map((range) => count(...range)));`);
    expect(found).toEqual([[0, 0, 1, 1, 1, 0, 0]]);
  });

  it('say nothing of memory that is gone', async () => {
    const found = await output(`${heard}
      fs.ftruncateSync(fd, 0);
      mine[0];
      native.unmap(at, 4 * P);
      const answers = [native.damaged(at, P), native.discardStrays(at, P), await native.restoreAsync(at, P)];
      say(answers.map(({ refusal }) => refusal), taken().length, mine.length);`);
    expect(found).toEqual([['retired', 'retired', 'retired'], 0, 0]);
  });
});

describe('ranges of nobody, or of another thread', () => {
  it('are refused', async () => {
    const found = await output(`
      const maps = fs.readFileSync('/proc/self/maps', 'utf8').split('\\n');
      const code = Number('0x' + maps.find((line) => line.includes(' r-xp ')).split('-')[0]);
      const odd = [];
      for (const address of [code, 0, P, 2 ** 46, base - P, base + 4 * P, 2 ** 62]) {
        for (const call of ['damaged', 'discardStrays', 'restoreAsync']) {
          const answer = await native[call](address, P);
          if (answer?.refusal !== 'foreign' && !(answer?.errno < 0)) odd.push([call, address.toString(16), String(answer)]);
        }
      }
      for (const call of ['damaged', 'discardStrays', 'restoreAsync']) {
        for (const length of [5 * P, 2 ** 47, 2 ** 62, 2 ** 63 - 1024]) {
          const answer = await native[call](base, length);
          if (answer?.refusal !== 'foreign' && !(answer?.errno < 0)) odd.push([call, length, String(answer)]);
        }
      }
      say(odd);`);
    expect(found).toEqual([[]]);
  });

  it('of the main thread are refused to a worker, and it hears nothing of them', async () => {
    const found = await output(`
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      native.startGuard(0, () => {});
      const at = mapFile(RW, MAP_SHARED, 8), mine = viewOf(at);
      fs.ftruncateSync(fd, 0);
      mine[0] = 5;
      const worker = new Worker(\`
        const { parentPort, workerData: { at, P } } = require('node:worker_threads');
        const native = require('node-gyp-build')(process.cwd());
        native.startGuard(0, () => {});
        (async () => {
          const answers = [native.damaged(at, P), native.discardStrays(at, P), await native.restoreAsync(at, P)];
          parentPort.postMessage([answers.map((answer) => answer?.refusal), (native.takeFaults(0) ?? []).length, native.guardStatus().length]);
        })();\`, { eval: true, workerData: { at, P } });
      // Watched from the start: a worker may end in the turn of its last message.
      const ended = once(worker, 'exit');
      const [message] = await once(worker, 'message');
      await ended;
      // The worker that installed it as well is gone, and took nothing along.
      mine[2 * P] = 6;
      say(message, taken().length / 8, [...native.guardStatus()].slice(0, 3), mine[0], mine[2 * P]);`);
    expect(found).toEqual([[['foreign', 'foreign', 'foreign'], 0, 3], 2, [1, 1, 1], 5, 6]);
  });
});

describe('a damaged range', () => {
  it('is not handed to anything that would lose it, and says where', async () => {
    const found = await output(`
      lose(2);
      const answers = {
        unmap: native.unmap(base + 2 * P, P),
        below: native.unmap(base + P, P),
        overlay: native.overlay(OWNER, base + 3 * P, P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0, ids, 0),
        grow: native.grow(base, 4 * P, 8 * P, true),
        remap: native.remap(OWNER, base, 4 * P, 8 * P, 1, 0, ids),
        advise: native.advise(base, 4 * P, 4),
        protect: native.protect(base, 4 * P, PROT_READ),
        blind: native.protect(base, 4 * P, 0),
        sync: native.sync(base, 4 * P, native.constants.MS_SYNC),
        later: await native.syncAsync(base, 4 * P, native.constants.MS_SYNC),
        restore: await native.restoreAsync(base, 4 * P),
        copyOut: native.copyOut(base, 2 * P, new Uint8Array(1)),
        copyIn: native.copyIn(base, 3 * P, new Uint8Array(1)),
      };
      const odd = Object.entries(answers).filter(([, answer]) => answer?.refusal !== 'fault').map(([name, answer]) => [name, shown(answer)]);
      const places = ['unmap', 'sync', 'later', 'restore', 'copyOut', 'copyIn'].map((name) => (answers[name]?.at - base) / P);
      const rowsNow = native.ownedRanges();
      say(odd, places, rowsNow.length / 4, view.length / P, view[2 * P], view[3 * P]);`);
    expect(found).toEqual([[], [2, 2, 2, 2, 2, 3], 1, 4, 1, 1]);
  });

  it('may be protected, locked, read ahead, looked at and unmapped as a whole', async () => {
    const found = await output(`
      lose(2);
      const answers = [
        native.protect(base, 2 * P, PROT_READ), native.protect(base + 2 * P, P, RW), native.protect(base, 4 * P, RW),
        native.unlock(base, 4 * P, 0), native.advise(base, 4 * P, 1),
        native.residency(base, 4 * P, new Uint8Array(4)),
        native.copyOut(base, 0, new Uint8Array(2 * P)),
      ].map(shown);
      view[2 * P] = 9;
      const kept = view[2 * P];
      const gone = native.unmap(base, 4 * P);
      say(answers, kept, gone, view.length, native.reap(true) >= 0);`);
    expect(found).toEqual([Array(7).fill('done'), 9, true, 0, true]);
  });

  it('is given back by restoreAsync with what was written, any number of times at once', async () => {
    const found = await output(`
      lose(1);
      view.fill(66, 2 * P, 2 * P + 10);
      fs.ftruncateSync(fd, 4 * P);
      const answers = await Promise.all([0, 1, 2, 3].map((i) => native.restoreAsync(base + (i % 2) * P, (4 - (i % 2)) * P)));
      say(answers.map(shown), native.damaged(base, 4 * P).length, fs.readFileSync(path).subarray(2 * P, 2 * P + 11).toString('latin1'));`);
    expect(found).toEqual([Array(4).fill('done'), 0, 'BBBBBBBBBB\0']);
  });

  it('that is unmapped, replaced or protected while restoreAsync works is not brought back', async () => {
    const found = await output(`
      const ends = [];
      for (let round = 0; round < 60; round++) {
        fresh();
        const at = mapFile(RW, MAP_SHARED, 100 + round), mine = viewOf(at);
        fs.ftruncateSync(fd, 0);
        for (let i = 0; i < 4; i++) mine[i * P] = 7;
        fs.ftruncateSync(fd, 4 * P);
        const restoring = native.restoreAsync(at, 4 * P);
        if (round % 3 === 0) native.unmap(at, 4 * P);
        if (round % 3 === 1) native.overlay(100 + round, at, 4 * P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0, Float64Array.of(100 + round), 2);
        if (round % 3 === 2) native.protect(at, 4 * P, PROT_READ);
        const answer = await restoring;
        let sum = 0;
        for (let i = 0; i < mine.length; i += P) sum += mine[i];
        // What replaced it is zeros; what was protected shows the file or what was written.
        const right = [() => mine.length === 0, () => sum === 0, () => sum === 28][round % 3];
        ends.push(right());
        if (round % 3 > 0) native.unmap(at, 4 * P);
      }
      say(ends.every(Boolean), ends.length, view.length / P);`);
    expect(found).toEqual([true, 60, 4]);
  });
});

describe('discardStrays', () => {
  it('throws away what was written to read-only pages of the range, and nothing else', async () => {
    const found = await output(`
      const reading = mapFile(PROT_READ, MAP_SHARED, 8), mine = viewOf(reading);
      const kept = native.map(9, 0, 4 * P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, GUARDED, false);
      native.copyIn(kept, 0, new Uint8Array(4 * P).fill(5));
      const memory = viewOf(kept);
      native.protect(kept, 4 * P, PROT_READ);
      mine[0] = 1; mine[P] = 1; memory[0] = 1;
      const before = [mine[0], mine[P], memory[0]];
      const answers = [native.discardStrays(reading, 4 * P), native.discardStrays(base, 4 * P), native.discardStrays(reading, 0)];
      const between = [mine[0], mine[P], memory[0]];
      native.discardStrays(kept, 4 * P);
      say(before, answers.map(shown), between, memory[0], native.damaged(reading, 4 * P).length, fs.readFileSync(path)[0]);`);
    expect(found).toEqual([[1, 1, 1], ['done', 'done', 'done'], [97, 97, 1], 5, 0, 97]);
  });

  it('leaves lost pages lost', async () => {
    const found = await output(`
      const reading = mapFile(PROT_READ, MAP_SHARED, 8), mine = viewOf(reading);
      const damage = () => rows(native.damaged(reading, 4 * P), 4).map(([begin, end, kind, stray]) => [(begin - reading) / P, (end - reading) / P, kind, stray]);
      fs.ftruncateSync(fd, 2 * P);
      mine[2 * P]; mine[3 * P];
      mine[3 * P] = 8;
      const [before, shows] = [damage(), mine[3 * P]];
      const answer = shown(native.discardStrays(reading, 4 * P));
      say(before, shows, answer, damage(), mine[3 * P]);`);
    const lost = [2, 4, 1, 0];
    const withStray = [
      [2, 3, 1, 0],
      [3, 4, 1, 1],
    ];
    expect(found).toEqual([withStray, 8, 'done', [lost], 0]);
  });
});

it('any order of calls and faults is survived', async () => {
  const seed = Number(process.env['MEMMAP_SEED'] ?? Date.now() % 2 ** 31);
  const result = await runChild(
    `${program()}
    const fc = require('fast-check');
    native.startGuard(0, () => void taken());
    process.on('uncaughtException', (error) => { console.error(error); process.exit(3); });
    native.unmap(base, 4 * P);
    let bases = [], views = [];
    const kinds = [[RW, MAP_SHARED], [PROT_READ, MAP_SHARED], [RW, MAP_PRIVATE], [PROT_READ, MAP_PRIVATE]];
    const start = () => {
      const claimed = native.ownedRanges();
      for (let row = 0; row < claimed.length; row += 4) {
        if (claimed[row + 2] >= 0) native.unmap(claimed[row], claimed[row + 1] - claimed[row]);
      }
      native.reap(true);
      fresh();
      bases = kinds.map(([protection, flags], i) => mapFile(protection, flags, i + 1));
      views = bases.map((at) => viewOf(at));
    };
    const which = fc.nat(7), page = fc.nat(4), count = fc.integer({ min: 0, max: 5 });
    const place = fc.record({ which, page, count });
    const owners = Float64Array.of(1, 2, 3, 4, 5);
    const at = ({ which, page }) => bases[which % bases.length] + page * P;
    const touch = (write) => ({ which, page }) => {
      const mine = views[which % views.length];
      if (page * P >= mine.length) return;
      if (write) mine[page * P + 3] = 7; else mine[page * P];
    };
    const moved = (answer) => { if (typeof answer === 'number' && answer >= P) bases.push(answer); return answer; };
    const calls = {
      read: touch(false), write: touch(true), readAgain: touch(false), writeAgain: touch(true),
      truncate: ({ count }) => fs.ftruncateSync(fd, count * P),
      extend: () => fs.ftruncateSync(fd, 4 * P),
      take: () => taken(),
      status: () => native.guardStatus(),
      damaged: (p) => native.damaged(at(p), p.count * P),
      discard: (p) => native.discardStrays(at(p), p.count * P),
      restore: (p) => native.restoreAsync(at(p), p.count * P),
      restoreAll: (p) => native.restoreAsync(bases[p.which % bases.length], 4 * P),
      sync: (p) => native.sync(at(p), p.count * P, 4),
      protect: (p) => native.protect(at(p), p.count * P, [PROT_READ, RW, RW][p.which % 3]),
      advise: (p) => native.advise(at(p), p.count * P, p.which % 5),
      unmap: (p) => native.unmap(at(p), p.count * P),
      unmapAll: (p) => native.unmap(bases[p.which % bases.length], 4 * P),
      overlay: (p) => native.overlay(1 + (p.which % 4), at(p), p.count * P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, GUARDED, owners, p.page % 3),
      file: (p) => native.overlay(1 + (p.which % 4), at(p), p.count * P, RW, MAP_SHARED, fd, 0, GUARDED, owners, 2),
      grow: (p) => moved(native.grow(bases[p.which % bases.length], 4 * P, (p.count + 1) * P, true)),
      remap: (p) => moved(native.remap(1 + (p.which % 4), at(p), p.count * P, (p.page + 1) * P, 1, 0, owners)),
      view: (p) => { const found = native.view(at(p), 0, p.count * P); if (ArrayBuffer.isView(found) || found instanceof ArrayBuffer) views.push(new Uint8Array(found.buffer ?? found)); },
      copyOut: (p) => native.copyOut(bases[p.which % bases.length], p.page * P, new Uint8Array(p.count * P)),
      copyIn: (p) => native.copyIn(bases[p.which % bases.length], p.page * P, new Uint8Array(p.count * P).fill(3)),
      reap: () => native.reap(true),
    };
    const call = fc.record({ name: fc.constantFrom(...Object.keys(calls)), p: place, waits: fc.boolean() });
    const told = [];
    let faults = 0;
    const look = () => {
      for (const mine of views) for (let i = 0; i < mine.length; i += P) told[0] = mine[i];
      const claimed = native.ownedRanges();
      for (let row = 4; row < claimed.length; row += 4) {
        if (claimed[row] < claimed[row - 3]) throw new Error('two claims overlap');
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 15, maxLength: 40, size: 'max' }), async (list) => {
        start();
        const pending = [];
        for (const { name, p, waits } of list) {
          const answer = calls[name](p);
          if (answer instanceof Promise) { if (waits) await answer; else pending.push(answer); }
          look();
          faults += taken().length / 8;
        }
        await Promise.all(pending);
        look();
      }),
      { numRuns: 500, seed: ${String(seed)}, endOnFailure: true },
    );
    say(faults > 500);`,
    { timeout: 50_000 },
  );
  if (result.code !== 0) process.stderr.write(`MEMMAP_SEED=${String(seed)}\n`);
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual([true]);
});
