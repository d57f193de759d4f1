// Which part of a file a mapping or a view shows: private copies, odd offsets, windows, several mappings, far offsets.
import { faultsSurvived } from '../helpers/faults';

test('a copy-on-write mapping: own pages stay, the others are lost, and nothing reaches the file', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
    const errors = listen(m);
    const b = m.buffer;
    b[0] = 1;
    b[4 * PAGE] = 2;
    assert.equal(b[5 * PAGE], 97);
    truncate(path, 2 * PAGE);
    // The kernel drops private copies of what was cut off as well.
    const same = cutBytes(2 * PAGE, 8 * PAGE);
    same[0] = 1;
    assert.equal(b.equals(same), true);
    const faults = assertLost(m, 2 * PAGE, 8 * PAGE);
    await assertTold(errors, faults, m);
    b[6 * PAGE] = 3;
    truncate(path, 8 * PAGE);
    anotherWrites(path, 7 * PAGE, 'new');
    await m.repair();
    assert.deepEqual(m.faults, []);
    same[6 * PAGE] = 3;
    same.write('new', 7 * PAGE);
    assert.equal(b.equals(same), true);
    const file = cutBytes(2 * PAGE, 8 * PAGE);
    file.write('new', 7 * PAGE);
    assert.equal(fs.readFileSync(path).equals(file), true);
  `));

test('at an odd offset of the file: records are of the bytes that were asked for', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const offset = PAGE + 1000;
    const length = 5 * PAGE;
    const m = memmap.mapFileSync(path, { offset, length });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 3 * PAGE);
    // The mapping ends in the middle of a page too.
    const kept = 2 * PAGE - 1000;
    assert.equal(b.equals(cutBytes(kept, length)), true);
    const faults = assertLost(m, kept, length);
    assert.equal(faults[0].fileOffset, BigInt(3 * PAGE));
    await assertTold(errors, faults, m);
    truncate(path, 0);
    assert.equal(b[0], 0);
    const lead = m.faults.at(-1);
    assert.deepEqual([lead.offset, lead.length, lead.fileOffset], [0, PAGE - 1000, BigInt(offset)]);
    assert.equal(lead.address, m.address);
    await turn();
    assertFaultError(errors.at(-1), lead, m);
    await assert.rejects(m.repair(), isFault(m));
    fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'n'));
    await m.repair();
    assert.equal(isAll(b, 110), true);
  `));

test('windows: a fault is told with the offset in the mapping, not in the window', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const low = m.view(0, 3 * PAGE);
    const odd = m.view(3 * PAGE + 10, 2 * PAGE);
    truncate(path, 2 * PAGE);
    assert.equal(low.equals(cutBytes(2 * PAGE, 3 * PAGE)), true);
    assertLost(m, 2 * PAGE, 3 * PAGE);
    odd.fill(7);
    const faults = assertLost(m, 2 * PAGE, 6 * PAGE);
    await assertTold(errors, faults, m);
    // Both windows and a new one see the same pages.
    const same = Buffer.alloc(6 * PAGE);
    same.fill(7, PAGE + 10, 3 * PAGE + 10);
    assert.equal(m.view(2 * PAGE, 4 * PAGE).equals(same.subarray(0, 4 * PAGE)), true);
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path).subarray(2 * PAGE).equals(same), true);
    assert.equal(isAll(odd, 7), true);
  `));

test('two mappings of one file: each is told of its own pages', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const one = memmap.mapFileSync(path, { access: 'read-write' });
    const two = memmap.mapFileSync(path, { offset: 4 * PAGE });
    const told = [listen(one), listen(two)];
    const [first, second] = [one.buffer, two.buffer];
    truncate(path, 4 * PAGE);
    first[6 * PAGE] = 9;
    assert.equal(second[2 * PAGE], 0);
    assert.equal(first[7 * PAGE], 0);
    const ones = one.faults;
    const twos = assertLost(two, 2 * PAGE, 3 * PAGE);
    assert.deepEqual(ones.map(({ offset, count }) => [offset, count]), [[6 * PAGE, 2]]);
    await assertTold(told[0], ones, one);
    await assertTold(told[1], twos, two);
    truncate(path, 8 * PAGE);
    await one.repair();
    assert.equal(second[2 * PAGE], 0);
    await two.repair();
    assert.equal(second[2 * PAGE], 9);
  `));

test('far into a large file: 64 bits of file offset', () =>
  faultsSurvived(`
    const path = scratch('');
    const far = 6 * 2 ** 30 + PAGE;
    truncate(path, far + 8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write', offset: far });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 5 * 2 ** 30);
    b[3 * PAGE + 1] = 3;
    const faults = assertLost(m, 3 * PAGE, 4 * PAGE);
    assert.equal(faults[0].fileOffset, BigInt(far + 3 * PAGE));
    await assertTold(errors, faults, m);
    await assert.rejects(m.repair(), (error) => isFault(m)(error) && error.fileOffset === BigInt(far + 3 * PAGE));
    truncate(path, far + 8 * PAGE);
    await m.repair();
    const fd = fs.openSync(path, 'r');
    const byte = Buffer.alloc(1);
    assert.equal(fs.readSync(fd, byte, 0, 1, far + 3 * PAGE + 1), 1);
    assert.equal(byte[0], 3);
  `));
