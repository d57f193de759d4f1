// The addon below the TypeScript: whatever it is given, it answers with data or a TypeError, and lives.

import { expectClean, runChild } from '../helpers/child';

// Right arguments of each export, for one mapping of four pages at `base`: the program puts something
// wrong in the place of each of them.
const program = `
const native = require('node-gyp-build')(process.cwd());
const P = native.pageSize;
const { MAP_PRIVATE, MAP_ANONYMOUS, PROT_READ, PROT_WRITE } = native.constants;
const PLAIN = MAP_PRIVATE | MAP_ANONYMOUS, RW = PROT_READ | PROT_WRITE;
const base = native.map(7, 0, 4 * P, RW, PLAIN, -1, 0, 0, false);
const mail = native.createCompletionQueue(() => undefined);
const digest = native.openDigest('sha256');
const ids = Float64Array.of(7), bytes = new Uint8Array(16);
const right = {
  map: [8, 0, P, RW, PLAIN, -1, 0, 0, false],
  overlay: [7, base, P, RW, PLAIN, -1, 0, 0, ids, 0],
  unmap: [base, P], unmapCollected: [base, P], reserve: [base, P], release: [base, P], isVacant: [base, P],
  protect: [base, P, RW], advise: [base, P, 0],
  sync: [base, P, 4], syncAsync: [base, P, 4],
  lock: [base, P, 0], lockAsync: [base, P, 0], unlock: [base, P, 0],
  populate: [base, P, 0], populateAsync: [base, P, 0],
  residency: [base, P, bytes],
  copyOut: [base, 0, bytes], copyOutAsync: [base, 0, bytes],
  copyIn: [base, 0, bytes], copyInAsync: [base, 0, bytes],
  detach: [base, P], view: [base, 0, P], reserveView: [base, 0, P], sharedView: [base, 0, P],
  grow: [base, 4 * P, 8 * P, true],
  remap: [7, base, 4 * P, 4 * P, 1, 0, ids],
  regions: [base, P],
  fileStatus: [0, new Float64Array(8)],
  allocateFile: [-1, 0, false], allocateFileAsync: [-1, 0, false],
  loadFile: [-1, 0, base, 1], loadFileAsync: [-1, 0, base, 1],
  openDigest: ['sha256'], updateDigestAsync: [digest, base, 0, P], finishDigest: [digest],
  allocateOwnerIds: [], startGuard: [0, () => undefined], takeFaults: [0], faultCount: [], guardStatus: [],
  discardStrays: [base, P], restoreAsync: [base, P], damaged: [base, P], openedLate: [base, P],
  reap: [true], retired: [], ownedRanges: [],
  regionTable: [0], locate: [base, new Float64Array(9)], usage: [0], pageUsage: [0, Float64Array.of(base, base + P)],
  threadStacks: [0], programPath: [0], limits: [],
  traceTable: [],
  futexWait: [base, 0, 0, 0], futexWake: [base, 0, 1], waitAsync: [base, 0, 0, mail, 1],
  createCompletionQueue: [() => undefined], refCompletionQueue: [mail, false], takeCompletions: [mail], cancelWait: [mail, 1, true],
  tryLockRobust: [base, 0, false], unlockRobust: [base, 0, false], waitRobust: [base, 0, 0, 0],
  shmOpen: ['memmap-test-none', false], shmCreate: ['', 0o600], shmPublish: [-1, '', 'x'], shmCanPublish: [],
  shmUnlink: ['memmap-test-none'], shmNames: [], shmStatus: [0, new Float64Array(10)], shmNamed: ['x', new Float64Array(10)],
  memoryFile: [], canHold: [1], seals: [0], addSeals: [-1, 0], duplicate: [-1], reopen: [-1, false],
  openOfProcess: [1, -1, false], lockRange: [-1, 0, 0, 1], lockPresence: [-1, 0], presenceOf: [-1], lockRemoval: [-1, 0],
  markAndReap: [-1, 'x', '', 'x'], waitForReapers: [],
  descriptorOf: [{}], closeDescriptor: [{}],
  createWeakRef: [{}], derefWeakRef: [0], deleteWeakRef: [0], setStrongRef: [{}],
};
const detached = new Uint8Array(8);
structuredClone(detached, { transfer: [detached.buffer] });
const hostile = new Proxy({}, { get() { throw new Error('a getter ran'); } });
const wrong = [undefined, null, 'x', 1n, Symbol('x'), {}, [], () => 0, NaN, 0.5, -0.5, -2147483649, Infinity,
  -Infinity, 2 ** 64, 2 ** 65, new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Uint16Array(4), detached,
  { valueOf() { throw new Error('valueOf ran'); } }, hostile];
`;

it('every export is known to these tests', async () => {
  const result = await runChild(`${program}
    const functions = Object.keys(native).filter((name) => typeof native[name] === 'function');
    console.log(JSON.stringify([functions.sort(), Object.keys(right).sort()]));
  `);
  expectClean(result);
  const [exported, known] = JSON.parse(result.stdout) as [string[], string[]];
  expect(exported).toEqual(known);
});

it('a wrong value in any place is refused with its index, and nothing is done', async () => {
  const result = await runChild(`${program}
    // What these take is any object, or anything.
    const takesObjects = new Set(['createWeakRef', 'setStrongRef', 'derefWeakRef', 'deleteWeakRef']);
    const odd = [];
    for (const [name, args] of Object.entries(right)) {
      if (takesObjects.has(name)) continue;
      for (let index = 0; index < args.length; index++) {
        for (const value of wrong) {
          const given = args.with ? args.with(index, value) : [...args.slice(0, index), value, ...args.slice(index + 1)];
          if (typeof value === 'string' && typeof args[index] === 'string') continue;
          if (typeof value === 'function' && typeof args[index] === 'function') continue;
          // A detached array is one of length 0.
          if (value === detached && args[index] === bytes) continue;
          let answer;
          try { answer = native[name](...given); } catch (error) { answer = error; }
          const refused = answer?.refusal === 'argument' && answer.at === index;
          const typeError = answer instanceof TypeError;
          if (!refused && !typeError) odd.push([name, index, String(wrong.indexOf(value)), String(answer)]);
        }
      }
      for (let count = 0; count < args.length; count++) {
        const answer = native[name](...args.slice(0, count));
        if (answer?.refusal !== 'argument') odd.push([name, 'only', count, String(answer)]);
      }
    }
    const rows = native.ownedRanges();
    console.log(JSON.stringify({ odd, claims: rows.length / 4, mine: [rows[0] === base, rows[1] - rows[0] === 4 * P] }));
  `);
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual({ odd: [], claims: 1, mine: [true, true] });
});

it('weak handles take objects only, and give nothing for numbers that are none', async () => {
  const result = await runChild(`${program}
    const object = {};
    const handle = native.createWeakRef(object);
    const wild = [-1, 0.5, NaN, 1e9, 2 ** 53, 2 ** 64, undefined, 'x', null, {}, 1n, Symbol('x')];
    const answers = [];
    for (const value of wild) { answers.push(native.derefWeakRef(value)); native.deleteWeakRef(value); }
    const kept = native.derefWeakRef(handle) === object;
    native.deleteWeakRef(handle); native.deleteWeakRef(handle);
    const refused = [5, 'x', undefined, null, 1n, true].every((value) => native.createWeakRef(value).refusal === 'argument');
    const [a, b] = [native.createWeakRef({}), native.createWeakRef({})];
    console.log(JSON.stringify([answers.filter((value) => value !== undefined), kept, native.derefWeakRef(handle) === object, refused, a !== b]));
  `);
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual([[], true, false, true, true]);
});

it('memory that is not ours is refused by every call that touches memory', async () => {
  const result = await runChild(`${program}
    const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8').split('\\n');
    const foreign = [
      Number('0x' + maps.find((line) => line.includes(' r-xp ')).split('-')[0]), // code
      Number('0x' + maps.find((line) => line.includes('[stack]')).split('-')[0]),
      0, P, 2 ** 46, 2 ** 62,
      base - P, base + 4 * P, base - 1, // a neighbour, or one byte of one
    ];
    const names = Object.keys(right);
    const takeNoMemory = names.slice(names.indexOf('shmOpen'), names.indexOf('closeDescriptor') + 1);
    const skipped = new Set([...takeNoMemory, 'openDigest', 'finishDigest', 'allocateOwnerIds', 'faultCount', 'startGuard', 'takeFaults', 'guardStatus', 'map', 'isVacant', 'regions', 'traceTable', 'fileStatus', 'allocateFile', 'allocateFileAsync', 'reap', 'retired',
      'ownedRanges', 'regionTable', 'locate', 'usage', 'pageUsage', 'threadStacks', 'programPath', 'limits',
      'createCompletionQueue', 'refCompletionQueue', 'takeCompletions', 'cancelWait', 'createWeakRef', 'derefWeakRef', 'deleteWeakRef', 'setStrongRef']);
    const odd = [];
    for (const [name, args] of Object.entries(right)) {
      if (skipped.has(name)) continue;
      for (const address of foreign) {
        const answer = native[name](...args.map((value) => (value === base ? address : value)));
        // What must not be is success: a refusal of ours, or the kernel's number.
        const refused = ['foreign', 'argument'].includes(answer?.refusal) || answer?.errno < 0;
        if (!refused) odd.push([name, address.toString(16), String(answer)]);
      }
    }
    console.log(JSON.stringify(odd));
  `);
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual([]);
});

it('words and cells are where they may be, or nothing is touched', async () => {
  const result = await runChild(`${program}
    const shared = native.map(1, 0, 2 * P, RW, native.constants.MAP_SHARED | MAP_ANONYMOUS, -1, 0, 0, false);
    const said = (answer) => answer?.refusal ?? answer?.errno ?? answer;
    console.log(JSON.stringify([
      // Private memory; an odd place; over the end; numbers that are too large.
      said(native.futexWait(base, 0, 0, 0)), said(native.tryLockRobust(base, 0, false)),
      said(native.futexWait(shared, 2, 0, 0)), said(native.tryLockRobust(shared, 4, false)),
      said(native.futexWake(shared, 2 ** 40, 1)), said(native.tryLockRobust(shared, 2 * P - 56, false)),
      said(native.futexWait(shared, 0, 2 ** 32, 0)), said(native.futexWait(shared, 0, 0, 1e10)),
      said(native.futexWake(shared, 2 ** 63 - 2 ** 53, 1)), said(native.waitAsync(shared, 0, 0, 99, 1)),
      said(native.unlockRobust(shared, 0, false)),
      // Pages that a held cell is in stay, and can be written.
      native.tryLockRobust(shared, P, false), said(native.unmap(shared, 2 * P)), said(native.unmap(shared + P, P)),
      said(native.protect(shared, 2 * P, PROT_READ)), said(native.protect(shared, P, PROT_READ)),
      said(native.tryLockRobust(shared, 0, false)), said(native.unlockRobust(shared, 0, true)),
      said(native.overlay(1, shared + P, P, RW, PLAIN, -1, 0, 0, Float64Array.of(1), 0)),
      said(native.grow(shared, 2 * P, 4 * P, true)), said(native.remap(1, shared, 2 * P, 2 * P, 1, 0, Float64Array.of(1))),
      said(native.remap(7, base, P, P, 3, shared + P, Float64Array.of(1, 7))),
      native.unlockRobust(shared, P, false), native.unlockRobust(shared, P, false), native.unmap(shared, P),
    ]));
  `);
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual([
    ...['private', 'private', 'argument', 'argument', 'foreign', 'foreign', 'argument', 'argument'],
    ...['foreign', 'argument', 1],
    ...[
      0,
      'busy',
      'busy',
      'busy',
      null,
      'unreadable',
      'unreadable',
      'busy',
      'busy',
      'busy',
      'busy',
    ],
    ...[0, 1, false],
  ]);
});

describe('ranges that lib/ never hands over', () => {
  it('of no bytes leave the books and the views alone', async () => {
    const result = await runChild(`${program}
      const view = new Uint8Array(native.view(base, 0, 4 * P)).fill(9);
      for (const address of [base, base + P, base + 5, base + 4 * P - 1]) {
        native.unmap(address, 0); native.unmapCollected(address, 0); native.detach(address, 0); native.protect(address, 0, 0);
        native.overlay(7, address, 0, RW, PLAIN, -1, 0, 0, ids, 0);
        native.overlay(7, address, 0, RW, PLAIN, -1, 0, 0, ids, 2);
        native.grow(address, 0, P, true); native.view(address, 0, 0);
      }
      native.reap(true);
      const rows = native.ownedRanges();
      console.log(JSON.stringify([view.length / P, view[4 * P - 1], rows.length, rows[1] - rows[0] === 4 * P]));
    `);
    expectClean(result);
    expect(JSON.parse(result.stdout)).toEqual([4, 9, 4, true]);
  });

  it('off the page boundary are never moved over more than was staged', async () => {
    const result = await runChild(`${program}
      // Something of ours next to wherever the kernel stages: if it moved too, its bytes would be gone.
      const witness = native.map(9, 0, 64 * P, RW, PLAIN, -1, 0, 0, false);
      native.copyIn(witness, 0, new Uint8Array(64 * P).fill(5));
      const answers = [];
      for (const [at, length] of [[base + 1, P], [base + P - 1, 2], [base + 5, 2 * P]]) {
        for (const keep of [0, 1, 2]) {
          const answer = native.overlay(7, at, length, RW, PLAIN, -1, 0, 0, ids, keep);
          answers.push(answer === undefined ? 'done' : 'refused');
        }
      }
      const copy = new Uint8Array(64 * P);
      const whole = native.copyOut(witness, 0, copy);
      console.log(JSON.stringify([new Set(answers).size, answers[0], whole === undefined, copy.every((b) => b === 5)]));
    `);
    expectClean(result);
    expect(JSON.parse(result.stdout)).toEqual([1, 'refused', true, true]);
  });

  it('of a part do not keep views that cross its edge alive over nothing', async () => {
    const result = await runChild(`${program}
      const view = new Uint8Array(native.view(base, 0, 4 * P)).fill(9);
      native.overlay(7, base + P, P, RW, PLAIN, -1, 0, 0, ids, 2);
      native.unmapCollected(base + P, P);
      native.unmap(base + P, P);
      native.reap(true);
      let sum = 0;
      for (let i = 0; i < view.length; i += P) sum += view[i];
      console.log(sum >= 0);
    `);
    expectClean(result);
    expect(result.stdout.trim()).toBe('true');
  });

  it('over two mappings do not leave one of them in the books twice', async () => {
    const result = await runChild(`${program}
      native.unmap(base, 4 * P);
      const one = native.map(1, base, 2 * P, RW, PLAIN, -1, 0, 0, true);
      const two = native.map(2, base + 2 * P, 2 * P, RW, PLAIN, -1, 0, 0, true);
      const views = [native.view(one, 0, 2 * P), native.view(two, 0, 2 * P)].map((buffer) => new Uint8Array(buffer));
      native.overlay(1, base, 4 * P, RW, PLAIN, -1, 0, 0, Float64Array.of(1, 2), 2);
      native.unmap(two, 2 * P);
      native.reap(true);
      for (const view of views) for (let i = 0; i < view.length; i += P) view[i];
      const rows = native.ownedRanges();
      let end = 0, sorted = true;
      for (let row = 0; row < rows.length; row += 4) { sorted &&= rows[row] >= end; end = rows[row + 1]; }
      console.log(sorted);
    `);
    expectClean(result);
    expect(result.stdout.trim()).toBe('true');
  });
});
