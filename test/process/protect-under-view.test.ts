// Pages that can no longer be read detach the views over them, and only those.
import { survives } from './program';

const ways: Record<string, string> = {
  'Mapping.protect':
    "(page, pages) => m.protect('none', { offset: page * PAGE, length: pages * PAGE })",
  'sys.mprotect':
    '(page, pages) => memmap.sys.mprotect(m.address + BigInt(page * PAGE), pages * PAGE, memmap.constants.PROT_NONE)',
};

for (const [name, way] of Object.entries(ways)) {
  test(`${name} to none, and back`, () =>
    survives(`
      const m = memmap.mapAnonymous(4 * PAGE);
      const hide = ${way};
      const { buffer } = m;
      buffer.fill(9);
      hide(0, 4);
      assert.equal(buffer.length, 0);
      buffer[0] = 1;
      assert.equal(m.protection, 'none');
      assert.equal(regionAt(m.address).mode, '---p');
      assert.throws(() => m.buffer, { code: 'ERR_MEMMAP_UNSUPPORTED' });
      assert.throws(() => m.read(0, 1), { code: 'EFAULT' });
      assert.throws(() => m.write(0, 'x'), { code: 'ERR_MEMMAP_READ_ONLY' });
      m.protect('read-write');
      assert.equal(buffer.length, 0);
      assert.equal(isAll(m.buffer, 9), true);
      assert.deepEqual(memmap.registry.verify(), []);
    `));

  test(`${name} of one page: other views stay`, () =>
    survives(`
      const m = memmap.mapAnonymous(4 * PAGE);
      const hide = ${way};
      m.write(0, Buffer.alloc(4 * PAGE, 9));
      const views = [0, 1, 2, 3].map((page) => m.view(page * PAGE, PAGE));
      const across = m.view(PAGE - 1, 2);
      hide(1, 1);
      assert.deepEqual(views.map((view) => view.length), [PAGE, 0, PAGE, PAGE]);
      assert.equal(across.length, 0);
      assert.equal([views[0], views[2], views[3]].every((view) => isAll(view, 9)), true);
      assert.equal(m.protection, 'mixed');
      assert.throws(() => m.read(0, 2 * PAGE), { code: 'EFAULT' });
      assert.throws(() => m.view(PAGE, 1), { code: 'ERR_MEMMAP_UNSUPPORTED' });
      m.unmap();
      assert.equal(views.every((view) => view.length === 0), true);
    `));
}

test('unmap, resize and replace of hidden pages', () =>
  survives(`
    for (const end of [(m) => m.unmap(), (m) => m.resize(300 * PAGE), (m) => m.resize(1), (m) => m.replace({ anonymous: m.length })]) {
      const m = memmap.mapAnonymous(4 * PAGE);
      const { buffer } = m;
      m.protect('none');
      end(m);
      assert.equal(buffer.length, 0);
      if (m.state === 'mapped') {
        m.protect('read-write');
        m.buffer.fill(1);
        m.unmap();
      }
    }
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('flush, lock, prefetch and residency of hidden pages are answers of the kernel', () =>
  survives(`
    const m = memmap.mapFileSync(scratch(4 * PAGE), { access: 'read-write' });
    m.protect('none', { offset: PAGE, length: PAGE });
    m.flushSync();
    await m.flush();
    assert.equal(m.residency().pages, 4);
    assert.throws(() => m.lock(), { code: 'ENOMEM', syscall: 'mlock' });
    await assert.rejects(m.prefetch(), { syscall: 'madvise' });
    m.unmap();
  `));
