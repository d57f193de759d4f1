// The second unmap does nothing, however the first one was said and whatever is there by now.
import { survives } from './program';

test('unmap, dispose and asyncDispose after unmap', () =>
  survives(`
    const m = memmap.mapFileSync(scratch(PAGE), { access: 'read-write' });
    let events = 0;
    m.on('unmap', () => events++);
    m.buffer;
    m.unmap();
    m.unmap();
    m[Symbol.dispose]?.();
    await m[Symbol.asyncDispose]?.();
    assert.equal(events, 1);
    assert.equal(m.state, 'unmapped');
  `));

test('the second does not touch what has taken the place', () =>
  survives(`
    const m = memmap.mapAnonymous(PAGE);
    const { address } = m;
    m.unmap();
    const other = memmap.mapAnonymous(PAGE, { address, placement: 'exclusive' });
    other.buffer.fill(9);
    m.unmap();
    assert.equal(isAll(other.buffer, 9), true);
    assert.throws(() => memmap.sys.munmap(address, PAGE, { replace: m }), { code: 'ERR_MEMMAP_OVERLAP' });
    assert.equal(isAll(other.buffer, 9), true);
  `));

test('sys.munmap twice: a hole is no error, a retired range is not ours any more', () =>
  survives(`
    const plain = memmap.mapAnonymous(PAGE);
    memmap.sys.munmap(plain.address, PAGE, { replace: plain });
    assert.equal(plain.state, 'unmapped');
    memmap.sys.munmap(plain.address, PAGE, { replace: plain });
    const viewed = memmap.mapAnonymous(PAGE);
    viewed.buffer.fill(1);
    memmap.sys.munmap(viewed.address, PAGE, { replace: viewed });
    assert.throws(() => memmap.sys.munmap(viewed.address, PAGE, { replace: viewed }), { code: 'ERR_MEMMAP_FOREIGN' });
    viewed.unmap();
  `));

test('again from the event, and from a listener that throws', () =>
  survives(`
    const m = memmap.mapAnonymous(PAGE);
    m.buffer;
    m.on('unmap', () => m.unmap());
    m.unmap();
    const other = memmap.mapAnonymous(PAGE);
    const view = other.buffer;
    other.on('unmap', () => { throw new Error('from the listener'); });
    assert.throws(() => other.unmap(), /from the listener/);
    assert.equal(other.state, 'unmapped');
    assert.equal(view.length, 0);
    other.unmap();
  `));

test('after a part is gone: the rest, once', () =>
  survives(`
    const m = memmap.mapAnonymous(3 * PAGE);
    memmap.sys.munmap(m.address + BigInt(PAGE), PAGE, { replace: m });
    const [left, right] = m.parts;
    left.unmap();
    m.unmap();
    m.unmap();
    assert.deepEqual([left.state, right.state], ['unmapped', 'unmapped']);
    assert.deepEqual(memmap.registry.mappings(), []);
  `));

test('an empty mapping', () =>
  survives(`
    const m = memmap.mapFileSync(scratch(0));
    assert.equal(m.length, 0);
    assert.equal(m.buffer.length, 0);
    m.flushSync();
    m.unmap();
    m.unmap();
    assert.equal(m.state, 'unmapped');
  `));
