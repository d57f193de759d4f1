// What memmap itself holds: each mapping is a row of its own, whoever of the threads made it.
import { survives, withGc } from './program';

const kit = `
const all = () => memmap.addressSpace.regions();
const at = (address) => all().find(({ start, end }) => start <= address && address < end);
const kernelRegion = (address) => {
  const blocks = fs.readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-)/m);
  const block = blocks.find((text) => {
    const [from, to] = text.split(' ')[0].split('-').map((hex) => BigInt('0x' + hex));
    return from <= address && address < to;
  });
  const [start, end] = block.split(' ')[0].split('-').map((hex) => BigInt('0x' + hex));
  const size = (name) => Number(new RegExp('^' + name + ': +(\\\\d+) kB', 'm').exec(block)[1]) * 1024;
  return { start, end, size };
};
`;

test('neighbours that the kernel merged are one row each, with what is in memory of each', () =>
  survives(`${kit}
    const base = 0x2000000000;
    const lengths = [3, 1, 4, 2];
    let next = base;
    const mappings = lengths.map((pages) => {
      const mapping = memmap.mapAnonymous(pages * PAGE, { address: next, placement: 'exclusive' });
      next += pages * PAGE;
      return mapping;
    });
    mappings[0].buffer[0] = 1;
    mappings[2].buffer.fill(7);
    mappings[3].buffer.toString('latin1', 0, 1);
    const merged = kernelRegion(BigInt(base));
    assert.deepEqual([merged.start, merged.end], [BigInt(base), BigInt(next)]);
    const rows = all().filter(({ start }) => start >= BigInt(base) && start < BigInt(next));
    assert.deepEqual(rows.map(({ start, length }) => [start, length / PAGE]),
      mappings.map(({ address, length }) => [address, length / PAGE]));
    assert.ok(rows.every(({ owner }, i) => owner.kind === 'mapping' && owner.certain && owner.mapping === mappings[i]));
    // Whether a page that was only read is in memory is the kernel's choice.
    const resident = rows.map((row) => row.resident / PAGE);
    assert.deepEqual(resident.slice(0, 3), [1, 0, 4]);
    assert.equal(resident.reduce((sum, pages) => sum + pages, 0) * PAGE, merged.size('Rss'));
    assert.deepEqual(rows.map(({ swapped }) => swapped), [0, 0, 0, 0]);
    // Page by page nobody tells what is dirty.
    assert.deepEqual(rows.map(({ dirty }) => dirty), [undefined, undefined, undefined, undefined]);
    for (const [i, { address, length }] of mappings.entries()) {
      const found = memmap.addressSpace.query(address + BigInt(length - 1));
      assert.deepEqual([found.start, found.length, found.owner.mapping], [address, length, mappings[i]]);
    }
    mappings[1].unmap();
    assert.equal(memmap.addressSpace.query(BigInt(base)).length, 3 * PAGE);
    assert.equal(memmap.addressSpace.query(BigInt(base + 3 * PAGE)), undefined);
    mappings[2].protect('read', { offset: PAGE, length: PAGE });
    const parts = all().filter(({ owner }) => owner.mapping === mappings[2]);
    assert.deepEqual(parts.map(({ protection, length }) => [protection, length / PAGE]), [['read-write', 1], ['read', 1], ['read-write', 2]]);
  `));

test('a reservation, and what is placed in it', () =>
  survives(`${kit}
    const reservation = memmap.reserve(8 * PAGE);
    const placed = reservation.place(2 * PAGE, { anonymous: PAGE });
    placed.write(0, 'x');
    const end = reservation.address + BigInt(reservation.length);
    const rows = all().filter(({ start }) => start >= reservation.address && start < end);
    const { address } = reservation;
    assert.deepEqual(rows.map(({ start, owner }) => [Number(start - address) / PAGE, owner.kind, owner.certain, owner.mapping]), [
      [0, 'reservation', true, reservation],
      [2, 'mapping', true, placed],
      [3, 'reservation', true, reservation],
    ]);
    assert.deepEqual(rows.map(({ protection, resident }) => [protection, resident]), [['none', 0], ['read-write', PAGE], ['none', 0]]);
    assert.equal(memmap.addressSpace.query(address).owner.mapping, reservation);
    assert.equal(memmap.addressSpace.query(placed.address).owner.mapping, placed);
    reservation.release();
    assert.notEqual(memmap.addressSpace.query(address)?.owner.kind, 'reservation');
  `));

test('between two mappings what is foreign stays foreign', () =>
  survives(`${kit}
    const base = 0x2000000000;
    const whole = memmap.mapAnonymous(3 * PAGE, { address: base, placement: 'exclusive', inherit: true });
    memmap.sys.munmap(BigInt(base + PAGE), PAGE, { replace: whole });
    const child = require('node:child_process');
    assert.equal(memmap.addressSpace.query(base + PAGE), undefined);
    const rows = all().filter(({ start }) => start >= BigInt(base) && start < BigInt(base + 3 * PAGE));
    assert.deepEqual(rows.map(({ start, owner }) => [Number(start) - base, owner.mapping]),
      [[0, whole.parts[0]], [2 * PAGE, whole.parts[1]]]);
  `));

for (const deny of ['', 'pagemap_scan']) {
  test(`parts of files, ${deny === '' ? 'asked by PAGEMAP_SCAN' : 'read from pagemap'}`, () =>
    survives(
      `${kit}
      const path = scratch(8 * PAGE);
      const base = 0x2000000000;
      // One descriptor: the kernel merges what comes of the same.
      const fd = fs.openSync(path, 'r+');
      const [one, two] = [0, 4].map((page) => memmap.mapFileSync(fd,
        { access: 'read-write', address: base + page * PAGE, placement: 'exclusive', offset: page * PAGE, length: 4 * PAGE }));
      one.buffer[0] = 1;
      two.buffer[0] = 1;
      two.buffer[PAGE] = 1;
      const merged = kernelRegion(BigInt(base));
      assert.equal(merged.end - merged.start, BigInt(8 * PAGE));
      const rows = all().filter(({ start }) => start >= BigInt(base) && start < BigInt(base + 8 * PAGE));
      assert.deepEqual(rows.map(({ offset, path: shown, inode, shared }) => [offset, shown, inode, shared]),
        [0, 4].map((page) => [page * PAGE, path, fs.statSync(path).ino, true]));
      assert.deepEqual(rows.map(({ owner }) => [owner.label, owner.mapping]), [[path.split('/').at(-1), one], [path.split('/').at(-1), two]]);
      assert.equal(rows[0].resident + rows[1].resident, merged.size('Rss'));
      assert.ok(rows[0].resident >= PAGE && rows[1].resident >= 2 * PAGE);
      const huge = rows[0].hugePages;
      assert.equal(huge, process.env.MEMMAP_DENY === '' ? 0 : undefined);
    `,
      { env: { MEMMAP_DENY: deny } },
    ));
}

test('retired ranges and those of other threads are known as such', () =>
  survives(`${kit}
    const mapping = memmap.mapAnonymous(2 * PAGE);
    mapping.buffer[0] = 1;
    const { address } = mapping;
    const before = memmap.addressSpace.query(address);
    assert.equal(before.owner.mapping, mapping);
    mapping.unmap();
    // A Buffer of it was handed out, so it is kept a little longer.
    const { owner } = memmap.addressSpace.query(address);
    assert.deepEqual([owner.kind, owner.label, owner.certain, owner.mapping], ['retired', 'retired', true, undefined]);
    assert.equal(before.owner.mapping, undefined);

    const worker = startWorker(
      'const kept = memmap.mapAnonymous(5 * memmap.pageSize); kept.write(0, "x");' +
      'parentPort.postMessage(kept.address); setInterval(() => kept.length, 1000);');
    const [theirs] = await once(worker, 'message');
    const seen = at(theirs);
    assert.deepEqual([seen.start, seen.length], [theirs, 5 * PAGE]);
    assert.deepEqual([seen.owner.kind, seen.owner.label, seen.owner.mapping], ['mapping', 'another thread’s mapping', undefined]);
    assert.deepEqual(memmap.addressSpace.query(theirs).toJSON().owner, seen.toJSON().owner);
    await worker.terminate();
    assert.notEqual(memmap.addressSpace.query(theirs)?.owner.kind, 'mapping');
  `));

test('a region keeps no Mapping alive', () =>
  survives(
    `${kit}
    const { address } = memmap.mapAnonymous(PAGE);
    const region = memmap.addressSpace.query(address);
    const kept = all();
    assert.ok(region.owner.mapping instanceof memmap.Mapping);
    assert.equal(kept.filter(({ owner }) => owner.mapping !== undefined).length, 1);
    await collectUntil(() => memmap.addressSpace.query(address) === undefined, 'it is mapped');
    assert.equal(region.owner.mapping, undefined);
    assert.equal(region.owner.kind, 'mapping');
  `,
    withGc,
  ));

test('60,000 regions', () =>
  survives(
    `${kit}
    const live = [];
    while (live.length < 60_000) live.push(memmap.mapAnonymous(PAGE, { shared: live.length % 2 === 0 }));
    live[40_000].write(0, 'x');
    const found = all();
    assert.ok(found.length >= 60_000, String(found.length));
    const owned = found.filter(({ owner }) => owner.kind === 'mapping');
    assert.equal(owned.length, 60_000);
    assert.equal(new Set(owned.map(({ owner }) => owner.mapping)).size, 60_000);
    const touched = found.filter(({ owner }) => owner.mapping === live[40_000]);
    assert.deepEqual(touched.map(({ resident, length }) => [resident, length]), [[PAGE, PAGE]]);
    const { regions: counted, limit } = memmap.addressSpace.fragmentation();
    assert.ok(counted >= 60_000);
    assert.equal(limit, Number(fs.readFileSync('/proc/sys/vm/max_map_count', 'latin1')));
    for (let i = 0; i < live.length; i += 997) assert.equal(memmap.addressSpace.query(live[i].address).owner.mapping, live[i]);
  `,
    { timeout: 55_000 },
  ));
