// Code that runs while arguments are read - getters, iterators, callbacks - and takes the mapping away.
import { survives } from './program';

const setUp = `
const path = scratch(4 * PAGE);
let m = memmap.mapFileSync(path, { access: 'copy-on-write' });
// Something else lies there by then, which must not be touched.
let other;
const away = () => {
  if (m.state !== 'mapped') return;
  const { address, length } = m;
  m.unmap();
  other = memmap.mapAnonymous(length, { address, placement: 'exclusive' });
  other.write(0, Buffer.alloc(length, 7));
};
const gone = (call, what) => {
  m = memmap.mapFileSync(path, { access: 'copy-on-write' });
  assert.throws(call, (error) => (assert.equal(error.code, 'ERR_MEMMAP_UNMAPPED', what), true), what);
  assert.equal(m.state, 'unmapped', what);
  assert.equal(isAll(other.read(0, other.length), 7), true, what);
  assert.equal(regionAt(other.address).mode, 'rw-p', what);
};
const ranges = [
  { get offset() { away(); return 0; }, length: PAGE },
  { offset: PAGE, get length() { away(); return PAGE; } },
  { get offset() { away(); return undefined; } },
  new Proxy({}, { get(_, name) { away(); return name === 'offset' ? 0 : PAGE; } }),
  new Proxy({}, { ownKeys() { away(); return []; } }),
];
`;

test('ranges', () =>
  survives(`
    ${setUp}
    const calls = {
      flushSync: (range) => m.flushSync(range),
      protect: (range) => m.protect('none', range),
      advise: (range) => m.advise('dontneed', range),
      lock: (range) => m.lock(range),
      unlock: (range) => m.unlock(range),
      residency: (range) => m.residency(range),
    };
    for (const [name, call] of Object.entries(calls)) for (const range of ranges) gone(() => call(range), name);
  `));

test('ranges and options of the calls on the thread pool', () =>
  survives(`
    ${setUp}
    const options = [
      { get signal() { away(); return undefined; } },
      { get onProgress() { away(); return undefined; } },
    ];
    const target = Buffer.alloc(PAGE);
    const calls = {
      flush: (...given) => m.flush(...given),
      lockAsync: (...given) => m.lockAsync(...given),
      prefetch: (...given) => m.prefetch(...given),
      readAsync: (_, given) => m.readAsync(0, target, given),
      writeAsync: (_, given) => m.writeAsync(0, target, given),
    };
    for (const [name, call] of Object.entries(calls)) {
      const cases = options.map((given) => [undefined, given]);
      if (!/read|write/.test(name)) cases.push(...ranges.map((range) => [range]));
      for (const given of cases) {
        m = memmap.mapFileSync(path, { access: 'copy-on-write' });
        await assert.rejects(call(...given), { code: 'ERR_MEMMAP_UNMAPPED' }, name);
        assert.equal(isAll(other.read(0, other.length), 7), true, name);
      }
    }
  `));

test('a getter that resizes: the range is judged by the new length', () =>
  survives(`
    for (const method of ['flushSync', 'lock', 'unlock', 'residency']) {
      const m = memmap.mapAnonymous(8 * PAGE);
      const range = { offset: 4 * PAGE, get length() { m.resize(PAGE); return PAGE; } };
      assert.throws(() => m[method](range), { code: 'ERR_MEMMAP_RANGE' }, method);
      assert.equal(m.length, PAGE);
    }
    for (const method of ['flush', 'lockAsync', 'prefetch']) {
      const m = memmap.mapAnonymous(8 * PAGE);
      const options = { get signal() { m.resize(PAGE); return undefined; } };
      await assert.rejects(m[method]({ offset: 4 * PAGE, length: PAGE }, options), { code: 'ERR_MEMMAP_RANGE' }, method);
    }
  `));

test('sources of replace', () =>
  survives(`
    ${setUp}
    const fd = fs.openSync(path, 'r');
    const sources = [
      { get anonymous() { away(); return 4 * PAGE; } },
      { get file() { away(); return path; } },
      { file: path, get offset() { away(); return 0; } },
      { file: path, get length() { away(); return 4 * PAGE; } },
      { file: path, get access() { away(); return 'read'; } },
      { file: { get fd() { away(); return fd; } } },
    ];
    for (const source of sources) gone(() => m.replace(source), Object.keys(source).join());
  `));

test('bytes to read into and to write', () =>
  survives(`
    ${setUp}
    const trap = (name) => Object.defineProperty(Buffer.alloc(PAGE), name, { get() { away(); return Reflect.get(Buffer.prototype, name, this); } });
    for (const name of ['byteLength', 'length', 'constructor', 'buffer', 'byteOffset']) {
      for (const call of [(bytes) => m.read(0, bytes), (bytes) => m.write(0, bytes)]) {
        m = memmap.mapFileSync(path, { access: 'copy-on-write' });
        try { call(trap(name)); } catch (error) { assert.match(error.code, /^ERR_MEMMAP_(UNMAPPED|ARGUMENT)$/); }
        if (m.state === 'unmapped') assert.equal(isAll(other.read(0, other.length), 7), true, name);
      }
    }
    // The mapping's own view as the target or the source.
    m = memmap.mapFileSync(path, { access: 'copy-on-write' });
    assert.equal(isAll(m.read(0, m.buffer), 97), true);
    assert.equal(m.write(0, m.buffer), 4 * PAGE);
  `));

test('valueOf of an offset or length is never called', () =>
  survives(`
    const m = memmap.mapAnonymous(4 * PAGE);
    const trap = { valueOf() { throw new Error('valueOf was called'); }, toString() { throw new Error('toString was called'); },
      [Symbol.toPrimitive]() { throw new Error('toPrimitive was called'); } };
    const calls = [
      () => m.view(trap), () => m.view(0, trap), () => m.read(trap, 1), () => m.write(trap, 'x'), () => m.resize(trap),
      () => m.flushSync({ offset: trap }), () => m.flushSync({ length: trap }), () => m.protect(trap), () => m.advise(trap),
      () => m.replace({ anonymous: trap }), () => memmap.mapAnonymous(trap), () => memmap.mapAnonymous(1, { address: trap }),
      () => memmap.mapFileSync(trap), () => memmap.mapFileSync('x', { offset: trap }), () => memmap.mapFileSync('x', { length: trap }),
      () => memmap.sys.mmap(trap, 1, 0, 0, 0, 0), () => memmap.sys.mmap(0, trap, 0, 0, 0, 0), () => memmap.sys.mmap(0, 1, trap, 0, 0, 0),
      () => memmap.sys.mmap(0, 1, 0, trap, 0, 0), () => memmap.sys.mmap(0, 1, 0, 0, trap, 0), () => memmap.sys.mmap(0, 1, 0, 0, 0, trap),
      () => memmap.sys.munmap(trap, 1), () => memmap.sys.munmap(0, trap), () => memmap.sys.mprotect(0, 1, trap),
      () => memmap.sys.madvise(0, 1, trap), () => memmap.sys.msync(0, 1, trap), () => memmap.sys.mincore(0, trap),
      () => memmap.sys.mremap(trap, 1, 1, 0), () => memmap.sys.mremap(0, 1, 1, trap), () => memmap.sys.mremap(0, 1, 1, 0, trap),
      () => memmap.registry.at(trap), () => memmap.registry.overlapping(0, trap),
    ];
    for (const call of calls) assert.throws(call, { name: 'TypeError', code: 'ERR_MEMMAP_ARGUMENT' }, String(call));
  `));

test('the names in sys: a getter or an iterator that unmaps', () =>
  survives(`
    const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MREMAP_MAYMOVE, MREMAP_FIXED } = memmap.constants;
    ${setUp}
    const target = memmap.mapAnonymous(4 * PAGE);
    const names = [
      () => ({ get replace() { away(); return m; } }),
      () => ({ replace: Object.defineProperty([m], 0, { get() { away(); return m; } }) }),
      () => ({ replace: Object.assign([m], { *[Symbol.iterator]() { away(); yield m; } }) }),
      () => ({ replace: new Proxy([m], { get(list, name) { away(); return Reflect.get(list, name); } }) }),
    ];
    const calls = {
      mmap: (given) => memmap.sys.mmap(m.address, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, given),
      munmap: (given) => memmap.sys.munmap(m.address, 4 * PAGE, given),
      mremap: (given) => memmap.sys.mremap(target.address, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, m.address, given),
    };
    for (const [name, call] of Object.entries(calls)) {
      for (const make of names) {
        m = memmap.mapFileSync(path, { access: 'copy-on-write' });
        // What lies there now was not named.
        assert.throws(() => call(make()), { code: 'ERR_MEMMAP_OVERLAP' }, name);
        assert.equal(isAll(other.read(0, other.length), 7), true, name);
      }
    }
  `));

test('onProgress that unmaps: refused, and the call goes on or is rejected with the refusal', () =>
  survives(`
    const path = scratch(1);
    fs.truncateSync(path, 80 * 2 ** 20);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    for (const method of ['flush', 'prefetch']) {
      let calls = 0;
      await m[method](undefined, { onProgress() {
        calls++;
        assert.throws(() => m.unmap(), { code: 'ERR_MEMMAP_BUSY' });
        assert.throws(() => m.resize(1), { code: 'ERR_MEMMAP_BUSY' });
      } });
      assert.equal(calls, 3);
      await assert.rejects(m[method](undefined, { onProgress() { m.unmap(); } }), { code: 'ERR_MEMMAP_BUSY' });
      await assert.rejects(m[method](undefined, { signal: { get aborted() { m.unmap(); return false; }, addEventListener() {} } }));
      assert.equal(m.state, 'mapped');
    }
    m.unmap();
  `));
