// A Buffer that somebody kept after unmap() has length 0: nothing that is done to it reaches memory.
import { survives } from './program';

const mapped = `
const path = scratch(3 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
const buffer = m.buffer;
assert.equal(buffer[0], 97);
`;
const unmapped = `${mapped} m.unmap(); assert.equal(showsFile(path), false);`;

test('reading and writing by index', () =>
  survives(`
    ${mapped}
    const touch = (bytes, at) => { bytes[at] = 1; return bytes[at]; };
    for (let i = 0; i < 50_000; i++) touch(buffer, i % PAGE);
    m.unmap();
    for (let i = 0; i < 50_000; i++) assert.equal(touch(buffer, i % PAGE), undefined);
    assert.equal(buffer.length, 0);
    assert.equal(buffer.buffer.byteLength, 0);
  `));

test('read and write of the Mapping', () =>
  survives(`
    ${unmapped}
    assert.throws(() => m.read(0, 1), { code: 'ERR_MEMMAP_UNMAPPED' });
    assert.throws(() => m.write(0, 'x'), { code: 'ERR_MEMMAP_UNMAPPED' });
    assert.throws(() => m.buffer, { code: 'ERR_MEMMAP_UNMAPPED' });
    assert.throws(() => m.view(0, 1), { code: 'ERR_MEMMAP_UNMAPPED' });
    await assert.rejects(m.readAsync(0, 1), { code: 'ERR_MEMMAP_UNMAPPED' });
    await assert.rejects(m.writeAsync(0, 'x'), { code: 'ERR_MEMMAP_UNMAPPED' });
  `));

test('slice, subarray, toString and copies', () =>
  survives(`
    ${unmapped}
    // What Node makes of a detached buffer differs by version: nothing, or a TypeError.
    const nothing = (take) => {
      try {
        assert.equal(take().length, 0);
      } catch (error) {
        assert.ok(error instanceof TypeError, error);
      }
    };
    nothing(() => buffer.slice(0, 10));
    nothing(() => buffer.subarray(0, 10));
    nothing(() => Uint8Array.prototype.slice.call(buffer, 0));
    nothing(() => buffer.buffer.slice(0));
    nothing(() => Buffer.from(buffer.buffer));
    for (const encoding of ['utf8', 'hex', 'base64', 'latin1', 'ucs2', 'ascii']) {
      assert.equal(buffer.toString(encoding), '');
    }
    nothing(() => Buffer.concat([buffer]));
    nothing(() => Buffer.from(buffer));
    assert.equal(JSON.stringify(buffer.toJSON().data), '[]');
  `));

test('numbers of every width', () =>
  survives(`
    ${unmapped}
    const names = Object.getOwnPropertyNames(Buffer.prototype);
    const reads = names.filter((name) => /^read.+(8|16|32|64|Int|Float|Double)(LE|BE)?$/.test(name));
    const writes = names.filter((name) => /^write.+(8|16|32|64|Int|Float|Double)(LE|BE)?$/.test(name));
    assert.ok(reads.length >= 20 && writes.length >= 20);
    for (const name of reads) {
      assert.throws(() => buffer[name](0, 4), { name: 'RangeError' }, name);
    }
    for (const name of writes) {
      const value = /64/.test(name) && /Int/.test(name) ? 1n : 1;
      assert.throws(() => buffer[name](value, 0, 4), { name: 'RangeError' }, name);
    }
  `));

test('every method of Buffer and Uint8Array returns or throws', () =>
  survives(`
    ${unmapped}
    const values = [[], [0], [0, 1, 2], [buffer, 0, 0, 1], [() => 1, 0], ['x', 0, 1], [Buffer.from('xyz')]];
    let calls = 0;
    for (const prototype of [Buffer.prototype, Uint8Array.prototype, Object.getPrototypeOf(Uint8Array.prototype)]) {
      for (const name of Object.getOwnPropertyNames(prototype)) {
        const { value: method } = Object.getOwnPropertyDescriptor(prototype, name);
        if (typeof method !== 'function' || name === 'constructor') continue;
        for (const args of values) {
          calls++;
          try { method.apply(buffer, args); } catch (error) { assert.ok(error instanceof Error); }
        }
      }
    }
    assert.ok(calls > 500);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `));

test('DataView', () =>
  survives(`
    ${mapped}
    const view = new DataView(buffer.buffer, buffer.byteOffset, 100);
    assert.equal(view.getUint8(0), 97);
    m.unmap();
    assert.throws(() => view.getUint8(0), TypeError);
    assert.throws(() => view.setFloat64(0, 1), TypeError);
    assert.throws(() => view.getBigInt64(8), TypeError);
    assert.throws(() => view.byteLength, TypeError);
  `));

test('TextDecoder', () =>
  survives(`
    ${unmapped}
    for (const label of ['utf-8', 'utf-16le', 'latin1']) {
      const decoder = new TextDecoder(label);
      let text = '';
      try { text = decoder.decode(buffer); } catch (error) { assert.ok(error instanceof TypeError); }
      assert.equal(text, '');
    }
  `));

test('Atomics', () =>
  survives(`
    ${mapped}
    const words = new Int32Array(buffer.buffer, buffer.byteOffset, 16);
    const longs = new BigInt64Array(buffer.buffer, buffer.byteOffset, 8);
    Atomics.add(words, 0, 1);
    m.unmap();
    for (const name of ['add', 'and', 'exchange', 'or', 'store', 'sub', 'xor']) {
      assert.throws(() => Atomics[name](words, 0, 1), Error, name);
      assert.throws(() => Atomics[name](longs, 0, 1n), Error, name);
    }
    assert.throws(() => Atomics.load(words, 0), Error);
    assert.throws(() => Atomics.compareExchange(words, 0, 0, 1), Error);
    try { assert.equal(Atomics.notify(words, 0), 0); } catch (error) { assert.ok(error instanceof Error); }
  `));

test('unmapped in the middle of a built-in that is working on it', () =>
  survives(`
    const away = (m) => ({ valueOf() { m.unmap(); return 1; } });
    const uses = {
      forEach: (b, m) => b.forEach(() => m.unmap()),
      map: (b, m) => b.map(() => (m.unmap(), 1)),
      filter: (b, m) => b.filter(() => (m.unmap(), true)),
      reduce: (b, m) => b.reduce((sum, byte) => (m.unmap(), sum + (byte ?? 0)), 0),
      find: (b, m) => b.findLast(() => (m.unmap(), false)),
      sort: (b, m) => b.sort(() => (m.unmap(), 1)),
      fill: (b, m) => Uint8Array.prototype.fill.call(b, away(m)),
      'fill from': (b, m) => Uint8Array.prototype.fill.call(b, 7, away(m)),
      set: (b, m) => b.set({ length: 3, get 0() { m.unmap(); return 1; }, 1: 2, 2: 3 }),
      'set at': (b, m) => b.set([1, 2, 3], away(m)),
      includes: (b, m) => Uint8Array.prototype.includes.call(b, 98, away(m)),
      indexOf: (b, m) => Uint8Array.prototype.indexOf.call(b, 98, away(m)),
      copyWithin: (b, m) => b.copyWithin(away(m), 10),
      slice: (b, m) => Uint8Array.prototype.slice.call(b, away(m)),
      subarray: (b, m) => Uint8Array.prototype.subarray.call(b, away(m)),
      join: (b, m) => b.join({ toString() { m.unmap(); return ','; } }),
      with: (b, m) => b.with?.(0, away(m)),
      toSorted: (b, m) => b.toSorted?.(() => (m.unmap(), 1)),
      from: (b, m) => Uint8Array.from(b, (byte) => (m.unmap(), byte)),
      of: (b, m) => { for (const byte of b) { m.unmap(); if (byte === 98) break; } },
      species: (b, m) => { b.constructor = { get [Symbol.species]() { m.unmap(); return Uint8Array; } }; Uint8Array.prototype.slice.call(b, 0); },
      atomics: (b, m) => Atomics.store(b, 0, away(m)),
      'atomics index': (b, m) => Atomics.add(b, away(m), 1),
      dataview: (b, m) => new DataView(b.buffer).setUint32(0, away(m)),
      'array from': (b, m) => Array.from(b, (byte) => (m.unmap(), byte)),
      'array concat': (b, m) => { Object.defineProperty(b, Symbol.isConcatSpreadable, { get() { m.unmap(); return true; } }); return [].concat(b); },
    };
    for (const [name, use] of Object.entries(uses)) {
      const path = scratch(3 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
      try { use(m.buffer, m); } catch (error) { assert.ok(error instanceof TypeError || error instanceof RangeError, name + ': ' + error); }
      m.unmap();
      assert.equal(showsFile(path), false, name);
    }
  `));
