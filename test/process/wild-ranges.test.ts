// Every range that a caller can think of, by property: in bounds it works, out of bounds it is refused, and never does a
// call reach the pages next door.
import { survives } from './program';

const runs = 1000;

// A canary page on either side of four pages of a file; own, so that the kernel's list can be compared as well.
const setUp = `
const fc = require('fast-check');
const block = memmap.mapAnonymous(6 * PAGE);
memmap.sys.munmap(block.address + BigInt(PAGE), 4 * PAGE, { replace: block });
const canaries = block.parts.map((part) => part.buffer.fill(7));
const path = scratch(5 * PAGE);
const length = 3 * PAGE + 123;
const m = memmap.mapFileSync(path, {
  access: 'copy-on-write', offset: 100, length, address: block.address + BigInt(PAGE), placement: 'exclusive' });
const canariesLive = () => {
  assert.equal(canaries.every((view) => view.length === PAGE && isAll(view, 7)), true);
  assert.deepEqual(block.parts.map(({ protection }) => protection), ['read-write', 'read-write']);
};
const near = [0, 1, 99, 100, PAGE - 101, PAGE - 100, PAGE, length - 1, length, length + 1, 4 * PAGE, 5 * PAGE,
  2 ** 31, 2 ** 32, 2 ** 32 + PAGE, 2 ** 47, 2 ** 52, Number.MAX_SAFE_INTEGER - PAGE, Number.MAX_SAFE_INTEGER];
const wild = [-1, -PAGE, 2 ** 53, 2 ** 63, 2 ** 64, 1.5, NaN, Infinity, -Infinity, -0.5, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -1n,
  Number(m.address), m.address, 2n ** 64n - m.address];
const wrong = ['1', '', null, true, {}, [], [1], { valueOf: () => 1 }, () => 1, Symbol('x')];
const numbers = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 5 * PAGE }) },
  { weight: 3, arbitrary: fc.constantFrom(...near) },
  { weight: 2, arbitrary: fc.constantFrom(...near).map(BigInt) },
  { weight: 2, arbitrary: fc.constantFrom(...wild) },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.bigInt() },
  { weight: 1, arbitrary: fc.constantFrom(...wrong) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);
// What must become of a number: 'ok', or the code of its refusal.
function judge(value) {
  if (typeof value !== 'number' && typeof value !== 'bigint') return 'ERR_MEMMAP_ARGUMENT';
  const whole = typeof value === 'bigint' || Number.isInteger(value);
  return whole && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? 'ok' : 'ERR_MEMMAP_RANGE';
}
function judgeRange(offset, size) {
  for (const part of [offset, size]) {
    const found = part === undefined ? 'ok' : judge(part);
    if (found !== 'ok') return found;
  }
  const from = BigInt(offset ?? 0);
  const to = size === undefined ? BigInt(length) : from + BigInt(size);
  return from <= BigInt(length) && to <= BigInt(length) && from <= to ? 'ok' : 'ERR_MEMMAP_RANGE';
}
function outcome(call) {
  try {
    call();
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof TypeError || error instanceof RangeError, error);
    return error.code;
  }
}
const everyRange = (check) => fc.assert(fc.property(numbers, numbers, check), { numRuns: ${runs} });
`;

const synchronous: Record<string, string> = {
  flushSync: '(range) => m.flushSync(range)',
  "protect('read')": "(range) => { m.protect('read', range); m.protect('read-write'); }",
  "protect('none')": "(range) => { m.protect('none', range); m.protect('read-write'); }",
  "advise('random')": "(range) => m.advise('random', range)",
  "advise('dontneed')": "(range) => m.advise('dontneed', range)",
  lock: '(range) => { m.lock(range); m.unlock(); }',
  unlock: '(range) => m.unlock(range)',
  residency: '(range) => m.residency(range)',
};

for (const [name, call] of Object.entries(synchronous)) {
  test(`${name} of any range`, () =>
    survives(`
      ${setUp}
      const call = ${call};
      everyRange((offset, size) => {
        assert.equal(outcome(() => call({ offset, length: size })), judgeRange(offset, size));
        canariesLive();
      });
      assert.deepEqual(memmap.registry.verify(), []);
      assert.equal(isAll(fs.readFileSync(path), 97), true);
    `));
}

for (const name of ['flush', 'lockAsync', 'prefetch']) {
  test(`${name} of any range`, () =>
    survives(`
      ${setUp}
      await fc.assert(fc.asyncProperty(numbers, numbers, async (offset, size) => {
        const [{ status, reason }] = await Promise.allSettled([m.${name}({ offset, length: size })]);
        assert.equal(status === 'fulfilled' ? 'ok' : reason.code, judgeRange(offset, size));
        canariesLive();
      }), { numRuns: ${runs} });
    `));
}

test('view, read and write of any range', () =>
  survives(`
    ${setUp}
    everyRange((offset, size) => {
      // Here the offset must be given, and for read the length too.
      const from = offset === undefined ? 'ERR_MEMMAP_ARGUMENT' : undefined;
      assert.equal(outcome(() => m.view(offset, size)), from ?? judgeRange(offset, size));
      canariesLive();
    });
    const target = Buffer.alloc(100);
    fc.assert(fc.property(numbers, (offset) => {
      const expected = offset === undefined ? 'ERR_MEMMAP_ARGUMENT' : judgeRange(offset, 100);
      assert.equal(outcome(() => m.read(offset, target)), expected);
      assert.equal(outcome(() => m.write(offset, target)), expected);
      canariesLive();
    }), { numRuns: ${runs} });
    fc.assert(fc.property(numbers, (size) => {
      const expected = size === undefined ? 'ERR_MEMMAP_ARGUMENT' : judgeRange(0, size);
      assert.equal(outcome(() => m.read(0, size)), ArrayBuffer.isView(size) ? 'ok' : expected);
    }), { numRuns: ${runs} });
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `));

const rawCalls: Record<string, string> = {
  munmap: '(at, length) => memmap.sys.munmap(at, length, { replace: m })',
  mprotect: '(at, length) => memmap.sys.mprotect(at, length, memmap.constants.PROT_NONE)',
  msync: '(at, length) => memmap.sys.msync(at, length, memmap.constants.MS_SYNC)',
  madvise: '(at, length) => memmap.sys.madvise(at, length, memmap.constants.MADV_DONTNEED)',
  mlock: '(at, length) => memmap.sys.mlock(at, length)',
  munlock: '(at, length) => memmap.sys.munlock(at, length)',
  mincore: '(at, length) => memmap.sys.mincore(at, length)',
  mremap: '(at, length) => memmap.sys.mremap(at, length, length, memmap.constants.MREMAP_MAYMOVE)',
  'mmap over': `(at, length) => {
    const { PROT_READ, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
    return memmap.sys.mmap(at, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, { replace: m });
  }`,
};

// What is not ours stays as it is: the canaries here belong to a worker.
for (const [name, call] of Object.entries(rawCalls)) {
  test(`sys.${name} of any address and length`, () =>
    survives(`
      const fc = require('fast-check');
      const worker = startWorker(\`
        const page = memmap.pageSize;
        const block = memmap.mapAnonymous(6 * page);
        memmap.sys.munmap(block.address + BigInt(page), 4 * page, { replace: block });
        const views = block.parts.map((part) => part.buffer.fill(7));
        parentPort.on('message', () => {
          parentPort.postMessage(views.every((view) => view.length === page && view.every((byte) => byte === 7)));
          parentPort.close();
        });
        parentPort.postMessage(block.address);
      \`);
      const [address] = await once(worker, 'message');
      const last = address + BigInt(5 * PAGE);
      const canaries = JSON.stringify([address, last].map((page) => regionAt(page).mode));
      let m;
      // Mapped anew where the call took it away, or moved it.
      const renew = () => {
        if (m?.state === 'mapped' && m.address === address + BigInt(PAGE) && m.protection !== 'none') return;
        for (const left of memmap.registry.mappings()) left.unmap();
        m = memmap.mapAnonymous(4 * PAGE, { address: address + BigInt(PAGE), placement: 'exclusive' });
      };
      const call = ${call};
      const addresses = fc.oneof(
        { weight: 5, arbitrary: fc.integer({ min: 0, max: 6 }).map((page) => address + BigInt(page * PAGE)) },
        { weight: 2, arbitrary: fc.integer({ min: -PAGE, max: 7 * PAGE }).map((byte) => address + BigInt(byte)) },
        { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n + 1n }).map((value) => value - (value % BigInt(PAGE))) },
        { weight: 1, arbitrary: fc.constantFrom(0, 0n, PAGE, 2n ** 47n - BigInt(PAGE), 2n ** 63n, 2n ** 64n - BigInt(PAGE), 2n ** 64n - 1n) },
        { weight: 1, arbitrary: fc.constantFrom(NaN, -1, -1n, 0.5, 2n ** 64n, 2 ** 53, 'x', null, undefined, {}) },
      );
      const lengths = fc.oneof(
        { weight: 5, arbitrary: fc.integer({ min: 0, max: 7 }).map((pages) => pages * PAGE) },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: 7 * PAGE }) },
        { weight: 2, arbitrary: fc.constantFrom(2n ** 64n - 1n, 2n ** 64n - BigInt(PAGE), 2n ** 63n, 2n ** 47n, 2 ** 40, Number.MAX_SAFE_INTEGER) },
        { weight: 1, arbitrary: addresses.map((at) => (typeof at === 'bigint' && at > 0n && at < 2n ** 64n ? 2n ** 64n - at : at)) },
        { weight: 1, arbitrary: fc.constantFrom(NaN, -1, -1n, 0.5, 2n ** 64n, 2 ** 53, 'x', null, undefined, {}) },
      );
      const answers = new Set();
      fc.assert(fc.property(addresses, lengths, (at, length) => {
        renew();
        try {
          call(at, length);
          answers.add('ok');
        } catch (error) {
          answers.add(error.code);
          assert.match(String(error.code), /^(ERR_MEMMAP_(RANGE|ARGUMENT|FOREIGN|OVERLAP)|EINVAL|ENOMEM|EFAULT)$/, String(error.stack));
        }
        assert.equal(JSON.stringify([address, last].map((page) => regionAt(page).mode)), canaries);
      }), { numRuns: ${runs} });
      // It was not refused wholesale, and not let through wholesale either.
      for (const answer of ['ok', 'ERR_MEMMAP_FOREIGN']) assert.ok(answers.has(answer), answer);
      worker.postMessage('check');
      assert.deepEqual(await once(worker, 'message'), [true]);
    `));
}
