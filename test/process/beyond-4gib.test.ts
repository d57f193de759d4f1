// A sparse file of 6 GiB: every byte of it is within reach on every Node.
import { constants } from 'node:buffer';
import { survives } from './program';

const GiB = 2 ** 30;
const oneBuffer = constants.MAX_LENGTH >= 6 * GiB;

const setUp = `
const GiB = 2 ** 30;
const path = scratch(1);
fs.truncateSync(path, 6 * GiB);
const fd = fs.openSync(path, 'r+');
const marks = [4 * GiB - 4, 4 * GiB, 5 * GiB + 123, 6 * GiB - 8];
marks.forEach((at, i) => fs.writeSync(fd, Buffer.from('mark' + i), 0, 5 - (i === 0 ? 1 : 0), at));
`;

test('buffer: whole, or an error that names view', () =>
  survives(`
    ${setUp}
    const m = memmap.mapFileSync(path);
    assert.equal(m.length, 6 * GiB);
    if (${String(oneBuffer)}) {
      assert.equal(m.buffer.length, 6 * GiB);
      assert.equal(m.buffer.subarray(marks[2], marks[2] + 5).toString(), 'mark2');
    } else {
      assert.throws(() => m.buffer, (error) => {
        assert.equal(error.code, 'ERR_MEMMAP_RANGE');
        assert.match(error.message, /too long for one Buffer/);
        assert.match(error.hint, /view/);
        return true;
      });
      assert.throws(() => m.view(0, 4 * GiB + 1), { code: 'ERR_MEMMAP_RANGE' });
    }
    m.unmap();
  `));

test('view beyond 4 GiB', () =>
  survives(`
    ${setUp}
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    assert.equal(m.view(marks[0], 9).toString(), 'markmark1');
    for (const at of [marks[2], BigInt(marks[2])]) assert.equal(m.view(at, 5).toString(), 'mark2');
    const tail = m.view(marks[3]);
    assert.equal(tail.length, 8);
    tail[7] = 0x21;
    m.flushSync({ offset: marks[3], length: 8 });
    const last = Buffer.alloc(1);
    fs.readSync(fd, last, 0, 1, 6 * GiB - 1);
    assert.equal(last.toString(), '!');
    const wide = m.view(3 * GiB, 3 * GiB);
    assert.equal(wide.length, 3 * GiB);
    assert.equal(wide[3 * GiB - 1], 0x21);
    m.unmap();
    assert.deepEqual([tail.length, wide.length], [0, 0]);
  `));

test('read, write, flush, advise and residency beyond 4 GiB', () =>
  survives(`
    ${setUp}
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    assert.equal(m.read(marks[2], 5).toString(), 'mark2');
    assert.equal(m.read(BigInt(marks[1]), Buffer.alloc(5)).toString(), 'mark1');
    assert.equal((await m.readAsync(marks[0], 9)).toString(), 'markmark1');
    assert.equal(m.write(5 * GiB, 'here'), 4);
    await m.writeAsync(5 * GiB + 4, 'there');
    await m.flush({ offset: 5 * GiB, length: PAGE });
    const found = Buffer.alloc(9);
    fs.readSync(fd, found, 0, 9, 5 * GiB);
    assert.equal(found.toString(), 'herethere');
    m.advise('random', { offset: 5 * GiB });
    assert.deepEqual(m.residency({ offset: 5 * GiB, length: 1 }).resident, 1);
    assert.throws(() => m.read(6 * GiB - 1, 2), { code: 'ERR_MEMMAP_RANGE' });
    m.unmap();
  `));

test('a mapping that begins beyond 4 GiB, anywhere in a page', () =>
  survives(`
    ${setUp}
    const m = memmap.mapFileSync(path, { offset: BigInt(marks[2]), length: 1000 });
    assert.equal(m.fileOffset, BigInt(marks[2]));
    assert.equal(m.buffer.length, 1000);
    assert.equal(m.buffer.toString('latin1', 0, 5), 'mark2');
    assert.deepEqual(memmap.registry.verify(), []);
    const later = await memmap.mapFile(path, { offset: 5 * GiB });
    assert.equal(later.length, GiB);
    assert.equal(later.buffer.toString('latin1', 123, 128), 'mark2');
  `));
