// Two mappings of one file are one memory, and two lives.
import { survives } from './program';

const setUp = `
const path = scratch(4 * PAGE);
const a = memmap.mapFileSync(path, { access: 'read-write' });
const b = memmap.mapFileSync(path, { access: 'read-write' });
`;

test('each sees the other, and the file sees both', () =>
  survives(`
    ${setUp}
    assert.notEqual(a.address, b.address);
    a.buffer[0] = 1;
    assert.equal(b.buffer[0], 1);
    b.write(PAGE, 'zz');
    assert.equal(a.read(PAGE, 2).toString(), 'zz');
    assert.equal(fs.readFileSync(path)[0], 1);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('one goes, the other stays', () =>
  survives(`
    ${setUp}
    const kept = b.buffer;
    a.buffer[0] = 1;
    a.unmap();
    assert.equal(kept[0], 1);
    kept[0] = 2;
    b.flushSync();
    assert.equal(fs.readFileSync(path)[0], 2);
    assert.equal(showsFile(path), true);
    b.unmap();
    assert.equal(kept.length, 0);
    assert.equal(showsFile(path), false);
  `));

test('protecting, replacing and resizing one does nothing to the other', () =>
  survives(`
    ${setUp}
    const kept = b.buffer;
    a.protect('none');
    assert.equal(kept[0], 97);
    a.protect('read-write');
    a.replace({ anonymous: a.length });
    a.buffer.fill(5);
    assert.equal(isAll(kept, 97), true);
    a.resize(100 * PAGE);
    a.unmap();
    assert.equal(isAll(kept, 97), true);
    assert.equal(fs.statSync(path).size, 4 * PAGE);
  `));

test('a private one parts from the shared one where it is written', () =>
  survives(`
    ${setUp}
    const own = memmap.mapFileSync(path, { access: 'copy-on-write' });
    own.buffer[0] = 1;
    a.buffer[0] = 2;
    a.buffer[PAGE] = 3;
    assert.deepEqual([own.buffer[0], own.buffer[PAGE], b.buffer[0]], [1, 3, 2]);
  `));

test('flushed by both at once, while one is unmapped', () =>
  survives(`
    ${setUp}
    a.buffer.fill(1);
    const flushes = [a.flush(), b.flush(), a.flush(), b.flush()];
    assert.throws(() => a.unmap(), { code: 'ERR_MEMMAP_BUSY' });
    await Promise.all(flushes);
    a.unmap();
    await b.flush();
    assert.equal(isAll(fs.readFileSync(path), 1), true);
  `));
