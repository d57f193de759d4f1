// resize detaches what was handed out before it moves or cuts the memory below.
import { survives } from './program';

const kinds: Record<string, string> = {
  anonymous: 'memmap.mapAnonymous(2 * PAGE)',
  'shared anonymous': 'memmap.mapAnonymous(2 * PAGE, { shared: true })',
  'of a file': "memmap.mapFileSync(scratch(2 * PAGE), { access: 'read-write' })",
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: grows to another place`, () =>
    survives(`
      const m = ${make};
      m.buffer.fill(9);
      const old = [m.buffer, m.view(0, 10), new DataView(m.buffer.buffer)];
      const place = m.address;
      // Something right above it: it cannot grow where it is.
      try {
        memmap.mapAnonymous(PAGE, { address: place + BigInt(2 * PAGE), placement: 'exclusive' });
      } catch (error) {
        assert.equal(error.code, 'EEXIST');
      }
      try {
        m.resize(64 * PAGE);
      } catch (error) {
        // Memory that was shared and anonymous from the start ends where it ended.
        assert.equal(error.code, 'ERR_MEMMAP_RANGE');
        assert.equal(m.length, 2 * PAGE);
        assert.equal(m.buffer[2 * PAGE - 1], 9);
        assert.equal(${JSON.stringify(kind)}, 'shared anonymous');
        console.log('the last line was reached');
        return console.log('-- the last line was reached --');
      }
      assert.notEqual(m.address, place);
      assert.equal(m.length, 64 * PAGE);
      for (const view of old.slice(0, 2)) { assert.equal(view.length, 0); view[0] = 1; }
      assert.throws(() => old[2].getInt8(0), TypeError);
      assert.equal(isAll(m.buffer.subarray(0, 2 * PAGE), 9), true);
      assert.equal(isAll(m.buffer.subarray(2 * PAGE), 0), true);
      m.buffer.fill(3);
      assert.deepEqual(memmap.registry.verify(), []);
      const others = Array.from({ length: 50 }, () => memmap.mapAnonymous(2 * PAGE));
      assert.equal(others.some(({ address }) => address === place), false);
      m.unmap();
    `));

  test(`${kind}: shrinks`, () =>
    survives(`
      const m = ${make};
      m.buffer.fill(9);
      const old = m.buffer;
      m.resize(100);
      assert.equal(old.length, 0);
      assert.equal(m.length, 100);
      assert.equal(m.buffer.length, 100);
      assert.equal(isAll(m.buffer, 9), true);
      assert.throws(() => m.read(100, 1), { code: 'ERR_MEMMAP_RANGE' });
      assert.throws(() => m.view(0, 101), { code: 'ERR_MEMMAP_RANGE' });
      assert.deepEqual(memmap.registry.verify(), []);
      m.unmap();
    `));
}

test('up and down a hundred times, every old view looked at', () =>
  survives(`
    const m = memmap.mapAnonymous(PAGE);
    const views = [];
    for (let i = 0; i < 100; i++) {
      m.buffer[0] = i;
      views.push(m.buffer);
      m.resize(((i * 7919) % 200 + 1) * PAGE);
      assert.equal(m.buffer[0], i);
      for (const view of views) { assert.equal(view.length, 0); view[0] = 1; }
    }
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('to a length that cannot be: as it was, or at least no dangling view', () =>
  survives(`
    const m = memmap.mapAnonymous(PAGE);
    m.buffer.fill(9);
    const { buffer } = m;
    for (const length of [2 ** 50, 2n ** 52n, Number.MAX_SAFE_INTEGER]) {
      assert.throws(() => m.resize(length), { code: 'ENOMEM', syscall: 'mremap' });
    }
    for (const length of [0, -1, 0.5, NaN, Infinity, 2 ** 53, 2n ** 64n]) {
      assert.throws(() => m.resize(length), { code: 'ERR_MEMMAP_RANGE' });
    }
    if (buffer.length > 0) assert.equal(isAll(buffer, 9), true);
    assert.equal(m.length, PAGE);
    assert.equal(isAll(m.buffer, 9), true);
    assert.deepEqual(memmap.registry.verify(), []);
  `));
