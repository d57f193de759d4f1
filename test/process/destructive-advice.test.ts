// Advice that throws contents away destroys only one's own whole pages, whatever range it is given.
import { survives } from './program';

test("advise('dontneed') rounds inward and leaves the neighbours alone", () =>
  survives(`
    const whole = memmap.mapAnonymous(6 * PAGE);
    const neighbours = [0, 5].map((page) => whole.address + BigInt(page * PAGE));
    memmap.sys.munmap(whole.address + BigInt(PAGE), 4 * PAGE, { replace: whole });
    const m = memmap.mapAnonymous(4 * PAGE, { address: whole.address + BigInt(PAGE), placement: 'exclusive' });
    const around = whole.parts.map((part) => part.buffer.fill(7));
    const cases = [
      [1, PAGE - 1, []],
      [1, PAGE, []],
      [PAGE - 1, PAGE + 1, [1]],
      [1, 2 * PAGE, [1]],
      [PAGE, 2 * PAGE + 1, [1, 2]],
      [0, 1, []],
      [3 * PAGE, PAGE, [3]],
      [0, 4 * PAGE, [0, 1, 2, 3]],
      [2 * PAGE, 0, []],
      [4 * PAGE, 0, []],
    ];
    for (const [offset, length, gone] of cases) {
      m.buffer.fill(9);
      m.advise('dontneed', { offset, length });
      for (let page = 0; page < 4; page++) {
        const bytes = m.buffer.subarray(page * PAGE, (page + 1) * PAGE);
        assert.equal(isAll(bytes, gone.includes(page) ? 0 : 9), true, offset + ' ' + length + ' ' + page);
      }
      assert.equal(around.every((view) => isAll(view, 7)), true);
    }
  `));

test("advise('dontneed') outside of the mapping", () =>
  survives(`
    const m = memmap.mapAnonymous(2 * PAGE);
    m.buffer.fill(9);
    for (const range of [
      { offset: 2 * PAGE + 1 }, { offset: PAGE, length: PAGE + 1 }, { offset: 0, length: 2n ** 53n - 1n },
      { offset: Number.MAX_SAFE_INTEGER, length: 1 }, { offset: Number.MAX_SAFE_INTEGER, length: Number.MAX_SAFE_INTEGER },
      { offset: -PAGE, length: PAGE }, { length: -1 }, { offset: 0.5 }, { length: NaN }, { offset: Infinity }, { length: 2n ** 64n },
    ]) {
      assert.throws(() => m.advise('dontneed', range), { code: 'ERR_MEMMAP_RANGE' });
    }
    assert.equal(isAll(m.buffer, 9), true);
  `));

test('the hidden bytes of a part of a file are not rounded into', () =>
  survives(`
    const path = scratch(4 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'copy-on-write', offset: 100, length: 2 * PAGE });
    m.buffer.fill(9);
    m.advise('dontneed', { offset: PAGE - 100, length: PAGE });
    assert.equal(isAll(m.buffer.subarray(0, PAGE - 100), 9), true);
    assert.equal(isAll(m.buffer.subarray(PAGE - 100, 2 * PAGE - 100), 97), true);
    assert.equal(isAll(m.buffer.subarray(2 * PAGE - 100), 9), true);
  `));

test('sys.madvise: foreign pages, holes and bad addresses', () =>
  survives(`
    const { MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK } = memmap.constants;
    const heap = Array.from({ length: 1000 }, (_, i) => ({ i }));
    for (const advice of [MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK]) {
      for (const { start, length } of regions()) {
        if (start >= 2n ** 63n) continue;
        assert.throws(() => memmap.sys.madvise(start, length, advice), { code: 'ERR_MEMMAP_FOREIGN' });
        assert.throws(() => memmap.sys.madvise(start, 1, advice), { code: 'ERR_MEMMAP_FOREIGN' });
      }
      assert.throws(() => memmap.sys.madvise(1, PAGE, advice), { code: 'EINVAL', syscall: 'madvise' });
      assert.throws(() => memmap.sys.madvise(0, PAGE, advice), { code: 'ENOMEM', syscall: 'madvise' });
    }
    assert.equal(heap.every(({ i }, index) => i === index), true);
  `));

test('sys.madvise over a hole does the owned part and says ENOMEM', () =>
  survives(`
    const m = memmap.mapAnonymous(3 * PAGE);
    const middle = m.address + BigInt(PAGE);
    memmap.sys.munmap(middle, PAGE, { replace: m });
    const views = m.parts.map((part) => part.buffer.fill(9));
    assert.throws(
      () => memmap.sys.madvise(m.address, 3 * PAGE, memmap.constants.MADV_DONTNEED), { code: 'ENOMEM', syscall: 'madvise' });
    assert.equal(views.every((view) => view.length === PAGE && isAll(view, 0)), true);
  `));
