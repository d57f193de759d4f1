// Ways in which reservations and arenas were broken once.
import { itLong } from '../helpers/amount';
import { survives, testTransfer, withGc } from './program';

const prelude = `
const c = memmap.constants;
const settled = async () => { for (let i = 0; i < 4; i++) { await new Promise((resolve) => setTimeout(resolve, 5)); gc(); } };
const inRange = (address, length) => regions().filter(({ start, end }) => start < address + BigInt(length) && end > address);
// Where the kernel puts nothing unasked.
const apart = { address: 0x20_0000_0000n, placement: 'exclusive' };
// A function of its own: nothing is left of the Buffer when it returns.
const touch = (m) => { m.view(0, 1)[0] = 1; };
`;

test('quarantined pages of a reservation are not handed to strangers', () =>
  survives(
    `${prelude}
    const r = memmap.reserve(8 * PAGE);
    const fill = (n) => { for (let i = 0; i < n; i++) { const x = memmap.mapAnonymous(PAGE); x.buffer[0] = 1; x.unmap(); } };
    fill(4950);
    (() => {
      const m = memmap.mapAnonymous(3 * PAGE);
      const moved = memmap.sys.mremap(m.address, 3 * PAGE, 3 * PAGE, c.MREMAP_MAYMOVE | c.MREMAP_FIXED, r.address, { replace: r });
      touch(moved);
      moved.unmap();
    })();
    await settled();
    fill(100);
    const stranger = memmap.mapAnonymous(3 * PAGE);
    assert.notEqual(memmap.registry.at(stranger.address - 1n), r);
    assert.ok(stranger.address + BigInt(3 * PAGE) <= r.address || stranger.address >= r.address + BigInt(8 * PAGE));
    r.place(0, { anonymous: PAGE });
    r.release();
    assert.equal(stranger.state, 'mapped');
  `,
    withGc,
  ));

itLong(
  'what is left of quarantined pages that were placed over goes in its time, and once',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(8 * PAGE, apart);
    const { address } = r;
    touch(r.place(0, { anonymous: 4 * PAGE }));
    touch(r.place(4 * PAGE, { anonymous: PAGE }));
    await settled();
    r.vacate(0, 4 * PAGE);
    r.place(PAGE, { anonymous: PAGE }).unmap();
    for (let i = 0; i < 10; i++) { r.vacate(4 * PAGE, PAGE); r.place(4 * PAGE, { anonymous: PAGE }); }
    r.release();
    await new Promise((resolve) => setTimeout(resolve, 12000));
    await settled();
    const until = Date.now() + 20000;
    while (inRange(address, 8 * PAGE).length > 0) {
      assert.ok(Date.now() < until, inRange(address, 8 * PAGE).map(({ mode }) => mode).join());
      await new Promise((resolve) => setTimeout(resolve, 200));
      gc();
    }
  `,
      { ...withGc, timeout: 60_000 },
    ),
  70_000,
);

test('a mapping that came in by MAP_FIXED is kept like one that was placed', () =>
  survives(
    `${prelude}
    const r = memmap.reserve(4 * PAGE);
    r.place(0, { anonymous: PAGE });
    (() => { memmap.sys.mmap(r.address + BigInt(PAGE), PAGE, 3, c.MAP_PRIVATE | c.MAP_ANONYMOUS | c.MAP_FIXED, -1, 0, { replace: r }).write(0, 'x'); })();
    const view = r.view(0, 2 * PAGE);
    await settled();
    assert.equal(r.layout()[1].mapping.state, 'mapped');
    assert.equal(view[PAGE], 120);
    r.vacate(0, PAGE);
    assert.equal(view.length, 0);
  `,
    withGc,
  ));

test('vacate() that cannot cut a damaged mapping leaves the others alone', () =>
  survives(`${prelude}
    const path = scratch(3 * PAGE);
    const r = memmap.reserve(8 * PAGE);
    const a = r.place(0, { anonymous: PAGE });
    a.write(0, 'precious');
    const b = r.place(PAGE, { file: path });
    b.on('fault', () => undefined);
    fs.truncateSync(path, 0);
    assert.equal(b.buffer[2 * PAGE], 0);
    assert.throws(() => r.vacate(0, 2 * PAGE), { code: 'ERR_MEMMAP_FAULT' });
    assert.equal(a.read(0, 8).toString(), 'precious');
    assert.equal(b.state, 'mapped');
    r.vacate(0, 4 * PAGE);
    assert.deepEqual(r.layout().length, 1);
  `));

test('resize() that is refused makes no file longer', () =>
  survives(`${prelude}
    const [one, two] = [scratch(PAGE), scratch(PAGE)];
    const r = memmap.reserve(4 * PAGE);
    const arena = memmap.addressSpace.arena({ size: 8 * PAGE });
    for (const [path, m] of [
      [one, r.place(0, { file: one, access: 'read-write' })],
      [two, memmap.mapFileSync(two, { arena, access: 'read-write' })],
    ]) {
      assert.throws(() => m.resize(4 * PAGE), { code: 'ERR_MEMMAP_UNSUPPORTED' });
      assert.equal(fs.statSync(path).size, PAGE);
    }
  `));

test(
  'pages that native code reads through a view of what was there before stay readable',
  () =>
    survives(
      `${prelude}
    const LENGTH = 4096 * PAGE;
    const r = memmap.reserve(LENGTH);
    const m = r.place(0, { anonymous: LENGTH });
    require('crypto').randomFillSync(m.buffer);
    const deflated = new Promise((resolve) => { require('zlib').deflate(m.buffer, { level: 9, chunkSize: 2 * LENGTH }, resolve); });
    await new Promise((resolve) => setTimeout(resolve, 3));
    // zlib of Node 20 asserts that its input is attached; what is asked here is that its thread lives.
    const old = Number(process.versions.node.split('.')[0]) < 22;
    r.vacate(0, LENGTH);
    const n = r.place(0, { anonymous: LENGTH });
    assert.throws(() => n.protect('none'), { code: 'ERR_MEMMAP_BUSY' });
    assert.throws(() => n.advise('guard-install'), { code: /ERR_MEMMAP_/ });
    const fixed = c.MAP_PRIVATE | c.MAP_ANONYMOUS | c.MAP_FIXED;
    assert.throws(() => memmap.sys.mmap(n.address, PAGE, 0, fixed, -1, 0, { replace: n }), { code: 'ERR_MEMMAP_BUSY' });
    n.unmap();
    assert.throws(() => memmap.sys.mmap(r.address, PAGE, 0, fixed, -1, 0, { replace: r }), { code: 'ERR_MEMMAP_BUSY' });
    if (!old) await deflated;
    if (old) await Promise.race([deflated, new Promise((resolve) => setTimeout(resolve, 3000))]);
  `,
      { ...withGc, timeout: 60_000 },
    ),
  70_000,
);

test('an arena that only a pending mapFile() knows is not collected', () =>
  survives(
    `${prelude}
    const path = scratch(8 * PAGE);
    for (let i = 0; i < 8; i++) require('crypto').pbkdf2('a', 'b', 1e5, 32, 'sha512', () => undefined);
    const pending = memmap.mapFile(path, { arena: memmap.addressSpace.arena({ size: 64 * PAGE }) });
    await settled();
    assert.equal((await pending).buffer[0], 97);
    // Nor one that collects because it is full.
    for (let i = 0; i < 20; i++) memmap.mapAnonymous(PAGE, { arena: memmap.addressSpace.arena({ size: PAGE }) });
    const full = memmap.addressSpace.arena({ size: PAGE });
    for (let i = 0; i < 20; i++) memmap.mapAnonymous(PAGE, { arena: full });
  `,
    withGc,
  ));

testTransfer('a transferred ArrayBuffer of a collected arena mapping is no drift', () =>
  survives(
    `${prelude}
    const arena = memmap.addressSpace.arena({ size: 16 * PAGE });
    const bytes = (() => new Uint8Array(memmap.mapFileSync(scratch(2 * PAGE), { arena }).buffer.buffer.transfer()))();
    await settled();
    assert.equal(bytes[PAGE], 97);
    assert.deepEqual(memmap.registry.verify(), []);
    assert.equal(arena.stats().cooling, 2 * PAGE);
  `,
    withGc,
  ),
);

test('a full arena does not collect garbage at every call', () =>
  survives(
    `${prelude}
    const { PerformanceObserver } = require('perf_hooks');
    const arena = memmap.addressSpace.arena({ size: PAGE });
    const m = memmap.mapAnonymous(PAGE, { arena });
    let collections = 0;
    new PerformanceObserver((list) => { collections += list.getEntries().filter(({ detail }) => detail.kind === 4).length; }).observe({ entryTypes: ['gc'] });
    const before = process.cpuUsage().user;
    for (let i = 0; i < 200; i++) assert.throws(() => memmap.mapAnonymous(PAGE, { arena }), { code: 'ERR_MEMMAP_NO_ROOM' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(collections < 100, String(collections));
    assert.equal(m.state, 'mapped');
  `,
    withGc,
  ));

test('a live placement over once quarantined pages is not given to the next who asks', () =>
  survives(
    `${prelude}
    const r = memmap.reserve(4 * PAGE);
    touch(r.place(0, { anonymous: PAGE }));
    await settled();
    r.vacate(0, PAGE);
    const live = r.place(0, { anonymous: PAGE });
    live.write(0, 'precious');
    const fill = (n) => { for (let i = 0; i < n; i++) { const x = memmap.mapAnonymous(2 * PAGE); x.buffer[0] = 1; x.unmap(); } };
    fill(4950);
    await settled();
    fill(100);
    const other = memmap.mapAnonymous(PAGE);
    assert.notEqual(other.address, live.address);
    assert.equal(other.read(0, 8).every((byte) => byte === 0), true);
    assert.equal(live.read(0, 8).toString(), 'precious');
    r.release();
    assert.equal(other.state, 'mapped');
  `,
    withGc,
  ));

itLong(
  'what is placed over a part of pages that wait for a view leaves the rest waiting, not for ever',
  () =>
    survives(
      `${prelude}
    const r = memmap.reserve(4 * PAGE, apart);
    const { address } = r;
    (() => { const m = r.place(0, { anonymous: 4 * PAGE }); touch(m); r.vacate(0, 4 * PAGE); r.place(PAGE, { anonymous: PAGE }); })();
    await settled();
    r.release();
    const until = Date.now() + 40000;
    while (inRange(address, 4 * PAGE).length > 0) {
      assert.ok(Date.now() < until, inRange(address, 4 * PAGE).map(({ mode }) => mode).join());
      await new Promise((resolve) => setTimeout(resolve, 200));
      gc();
    }
  `,
      { ...withGc, timeout: 60_000 },
    ),
  70_000,
);

test('listeners that place and throw do so after the release, and all are told', () =>
  survives(`${prelude}
    const r = memmap.reserve(8 * PAGE);
    const a = r.place(0, { anonymous: PAGE });
    a.on('unmap', () => { r.place(4 * PAGE, { anonymous: PAGE }); });
    assert.throws(() => r.release(), { code: 'ERR_MEMMAP_UNMAPPED' });
    assert.equal(r.state, 'released');
    const s = memmap.reserve(8 * PAGE);
    const [b, d] = [s.place(0, { anonymous: PAGE }), s.place(PAGE, { anonymous: PAGE })];
    let told = 0;
    b.on('unmap', () => { throw new Error('first'); });
    d.on('unmap', () => told++);
    assert.throws(() => s.vacate(0, 2 * PAGE), { message: 'first' });
    assert.deepEqual([d.state, told, s.layout().length], ['unmapped', 1, 1]);
    s.release();
    assert.equal(memmap.registry.mappings().length, 0);
  `));

test('thousands of windows of one mapping are collected in no time that anybody would notice', () =>
  survives(
    `${prelude}
    const m = memmap.mapAnonymous(4 * PAGE);
    for (let i = 0; i < 50000; i++) m.view(0, PAGE);
    // Quadratic, this alone would take longer than the whole test may.
    await settled();
    assert.equal(m.view(0, 1).length, 1);
  `,
    { ...withGc, timeout: 20_000 },
  ));
