// After unmap the file is let go at once; where a view was handed out, its address stays out of reach for a while.
import { amount } from '../helpers/amount';
import { survives, withGc } from './program';

test('the file is released at once, with a view out and with none', () =>
  survives(`
    for (const look of [() => {}, (m) => m.buffer[0], (m) => m.view(1, 2)[0], (m) => m.read(0, 10)]) {
      for (const access of ['read', 'read-write', 'copy-on-write']) {
        const path = scratch(4 * PAGE);
        const m = memmap.mapFileSync(path, { access });
        look(m);
        assert.equal(showsFile(path), true);
        m.unmap();
        assert.equal(showsFile(path), false);
      }
    }
  `));

test('a viewed range becomes private zeros that cost no memory', () =>
  survives(`
    const m = memmap.mapFileSync(scratch(4 * PAGE), { access: 'read-write' });
    const { address } = m;
    m.buffer.fill(1);
    m.unmap();
    const region = regionAt(address);
    assert.equal(region.inode, 0);
    assert.match(region.mode, /^r.-p$/);
    // 4 MiB that were written, retired, are not resident any more.
    const rss = () => Number(/^Rss: +(\\d+)/m.exec(fs.readFileSync('/proc/self/smaps', 'latin1').split(big.address.toString(16))[1])[1]);
    const big = memmap.mapAnonymous(4 * 2 ** 20);
    big.buffer.fill(1);
    assert.ok(rss() >= 4096);
    big.unmap();
    assert.ok(rss() < 4096);
  `));

test('a range without views is a hole at once', () =>
  survives(`
    const m = memmap.mapAnonymous(4 * PAGE);
    m.write(0, m.read(0, 10));
    m.unmap();
    assert.equal(regionAt(m.address), undefined);
  `));

test('the address is not used again at once', () =>
  survives(`
    const m = memmap.mapAnonymous(4 * PAGE);
    const { address } = m;
    m.buffer.fill(1);
    m.unmap();
    for (let i = 0; i < 200; i++) {
      const other = memmap.mapAnonymous(4 * PAGE, { address });
      assert.notEqual(other.address, address);
    }
    assert.throws(() => memmap.mapAnonymous(PAGE, { address, placement: 'exclusive' }), { code: 'EEXIST' });
    assert.equal(memmap.registry.at(address), undefined);
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('retired ranges do not pile up when memory is mapped, viewed and unmapped again and again', () =>
  survives(`
    let most = 0;
    for (let i = 0; i < ${String(amount(20_000, 100_000))}; i++) {
      const m = memmap.mapAnonymous(PAGE, { shared: true });
      m.buffer[0] = 1;
      m.unmap();
      if (i % 5000 === 0) most = Math.max(most, regions().length);
    }
    assert.ok(most < 10_000, String(most));
    await turn();
    assert.ok(regions().length < 10_000);
  `));

test('nor does their address space: 1 GiB each', () =>
  survives(
    `
    for (let i = 0; i < 1000; i++) {
      const m = memmap.mapAnonymous(2 ** 30, { noReserve: true });
      m.view(0, PAGE)[0] = 1;
      m.unmap();
    }
    const { native } = require(join(entry, '..', 'binding.js'));
    await turn();
    gc();
    native.reap(true);
    const [ranges, bytes] = native.retired();
    assert.ok(ranges <= 1 && bytes <= 2 ** 30, ranges + ' ' + bytes);
  `,
    withGc,
  ));

test('part of a mapping: the file is released there at once', () =>
  survives(
    `
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const { buffer } = m;
    memmap.sys.munmap(m.address + BigInt(2 * PAGE), 4 * PAGE, { replace: m });
    assert.equal(buffer.length, 0);
    const shown = regions().filter(({ name }) => name === path).map(({ start, length }) => [start - m.address, length]);
    assert.deepEqual(shown, [[0n, 2 * PAGE], [BigInt(6 * PAGE), 2 * PAGE]]);
    assert.equal(regionAt(m.address + BigInt(2 * PAGE)).inode, 0);
  `,
    withGc,
  ));
