// The guard follows a mapping that is moved, grown, duplicated or cut into parts, and keeps many apart.
import { faultsSurvived } from '../helpers/faults';

const mapped = `
const { MREMAP_MAYMOVE, MREMAP_FIXED } = memmap.constants;
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
m.buffer;
`;

test('parts of a mapping: each is told of its own, with its own offset', () =>
  faultsSurvived(`
    ${mapped}
    memmap.sys.munmap(m.address + BigInt(3 * PAGE), PAGE, { replace: m });
    const [low, high] = m.parts;
    const told = [listen(low), listen(high)];
    m.on('fault', () => assert.fail('of a part'));
    truncate(path, PAGE);
    low.buffer[2 * PAGE] = 2;
    high.buffer[PAGE] = 5;
    const lows = assertLost(low, 2 * PAGE, 3 * PAGE);
    const highs = assertLost(high, PAGE, 2 * PAGE);
    assert.equal(highs[0].fileOffset, BigInt(5 * PAGE));
    await assertTold(told[0], lows, low);
    await assertTold(told[1], highs, high);
    truncate(path, 8 * PAGE);
    await low.repair();
    await high.repair();
    const file = fs.readFileSync(path);
    assert.deepEqual([file[2 * PAGE], file[5 * PAGE]], [2, 5]);
  `));

test('moved by mremap', () =>
  faultsSurvived(`
    ${mapped}
    const errors = listen(m);
    const place = memmap.mapAnonymous(64 * PAGE);
    const { address } = place;
    memmap.sys.mremap(m.address, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address, { replace: place });
    assert.equal(m.address, address);
    truncate(path, PAGE);
    m.buffer[4 * PAGE] = 4;
    await assertTold(errors, assertLost(m, 4 * PAGE, 5 * PAGE), m);
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path)[4 * PAGE], 4);
  `));

test('made longer and shorter by resize', () =>
  faultsSurvived(`
    ${mapped}
    const errors = listen(m);
    m.resize(64 * PAGE);
    const b = m.buffer;
    m.resize(16 * PAGE);
    assert.equal(b.length, 0);
    truncate(path, PAGE);
    m.buffer.fill(9, 12 * PAGE);
    await assertTold(errors, assertLost(m, 12 * PAGE, 16 * PAGE), m);
    truncate(path, 16 * PAGE);
    await m.repair();
    assert.equal(isAll(fs.readFileSync(path).subarray(12 * PAGE), 9), true);
  `));

test('a duplicate by mremap of length 0: each has pages and records of its own', () =>
  faultsSurvived(`
    ${mapped}
    const n = memmap.sys.mremap(m.address + BigInt(2 * PAGE), 0, 4 * PAGE, MREMAP_MAYMOVE);
    const told = [listen(m), listen(n)];
    assert.equal(n.fileOffset, BigInt(2 * PAGE));
    truncate(path, PAGE);
    n.buffer[PAGE] = 3;
    const ns = assertLost(n, PAGE, 2 * PAGE);
    assert.deepEqual(m.faults, []);
    assert.equal(m.buffer[3 * PAGE], 0);
    await assertTold(told[0], assertLost(m, 3 * PAGE, 4 * PAGE), m);
    await assertTold(told[1], ns, n);
    truncate(path, 8 * PAGE);
    await n.repair();
    await m.repair();
    assert.equal(m.buffer[3 * PAGE], 3);
  `));

test('pages of different protection: each lost page allows what it did, and does again', () =>
  faultsSurvived(`
    ${mapped}
    const errors = listen(m);
    const modes = () => [2, 4, 6].map((page) => regionAt(m.address + BigInt(page * PAGE)).mode);
    const b = m.buffer;
    m.protect('read', { offset: 4 * PAGE, length: 2 * PAGE });
    truncate(path, PAGE);
    b[2 * PAGE] = 2;
    assert.equal(b[4 * PAGE], 0);
    b[6 * PAGE] = 6;
    const { faults } = m;
    assert.deepEqual(faults.map(({ kind, offset }) => [kind, offset / PAGE]), [2, 4, 6].map((page) => ['truncated', page]));
    await assertTold(errors, faults, m);
    assert.deepEqual(modes(), ['rw-p', 'r--p', 'rw-p']);
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.deepEqual(modes(), ['rw-s', 'r--s', 'rw-s']);
    const file = fs.readFileSync(path);
    assert.deepEqual([file[2 * PAGE], file[6 * PAGE]], [2, 6]);
  `));

test('a thousand mappings at once: every fault finds its own', () =>
  faultsSurvived(`
    const many = Array.from({ length: 1000 }, () => {
      const path = scratch(2 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      m.buffer;
      return { m, path, errors: listen(m) };
    });
    assert.equal(memmap.guardStatus().mappings.length, 1000);
    for (const { path } of many) fs.truncateSync(path, PAGE);
    many.forEach(({ m }, i) => { m.buffer[PAGE + 5] = 1 + (i % 255); });
    await turn();
    for (const [i, { m, path, errors }] of many.entries()) {
      await assertTold(errors, assertLost(m, PAGE, 2 * PAGE), m);
      fs.truncateSync(path, 2 * PAGE);
      await m.repair();
      assert.equal(fs.readFileSync(path)[PAGE + 5], 1 + (i % 255));
      m.unmap();
    }
    assert.deepEqual(memmap.guardStatus().mappings, []);
  `));

test('mapped, met and unmapped thousands of times: every fault is told', () =>
  faultsSurvived(`
    const path = scratch(4 * PAGE);
    let told = 0;
    for (let round = 0; round < 3000; round++) {
      fs.truncateSync(path, 4 * PAGE);
      const m = memmap.mapFileSync(path, { access: round % 2 === 0 ? 'read-write' : 'copy-on-write' });
      m.on('fault', ({ kind, offset, mapping }) => {
        assert.deepEqual([kind, offset, mapping === m], ['truncated', 2 * PAGE, true]);
        told++;
      });
      const b = m.buffer;
      fs.truncateSync(path, PAGE);
      b[2 * PAGE] = 1;
      assert.equal(b[2 * PAGE], 1);
      m.unmap();
      if (round % 100 === 0) await turn();
    }
    await turn();
    assert.equal(told, 3000);
    assert.equal(showsFile(path), false);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('bytes of a cut file as the source or the target of another mapping: its own fault, or EFAULT', () =>
  faultsSurvived(`
    ${mapped}
    const errors = listen(m);
    const next = scratch(Buffer.alloc(8 * PAGE, 'n'));
    const n = memmap.mapFileSync(next, { access: 'read-write' });
    n.on('fault', () => assert.fail('of the other one'));
    const b = m.buffer;
    truncate(path, PAGE);
    assert.throws(() => n.write(0, b.subarray(4 * PAGE)), { code: 'EFAULT' });
    assert.throws(() => n.read(0, b.subarray(4 * PAGE)), { code: 'EFAULT' });
    assert.throws(() => m.write(0, b.subarray(4 * PAGE)), { code: 'EFAULT' });
    assert.deepEqual(m.faults, []);
    assert.equal(isAll(fs.readFileSync(next), 110), true);
    n.buffer.set(b);
    assert.equal(fs.readFileSync(next).equals(cutBytes(PAGE, 8 * PAGE)), true);
    await assertTold(errors, assertLost(m, PAGE, 8 * PAGE), m);
    assert.deepEqual(n.faults, []);
  `));
