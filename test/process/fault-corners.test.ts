// What two reviews of the fault guard found, kept found.
import { faultsSurvived } from '../helpers/faults';
import { withGc } from './program';

test('events belong to no request: AsyncLocalStorage of whoever came first is not theirs', () =>
  faultsSurvived(
    `
    const { AsyncLocalStorage } = require('node:async_hooks');
    const storage = new AsyncLocalStorage();
    const seen = [];
    const stores = [];
    const mappings = [];
    // A function of its own: what its frame held is gone with it.
    const visit = (i) => {
      const store = { request: i };
      stores.push(new WeakRef(store));
      storage.run(store, () => {
        const path = scratch(4 * PAGE);
        const m = memmap.mapFileSync(path);
        mappings.push(m);
        m.on('fault', () => seen.push(storage.getStore()));
        m.buffer;
        fs.truncateSync(path, 0);
        m.buffer[0];
      });
    };
    for (let i = 0; i < 3; i++) visit(i);
    for (let i = 0; i < 1000 && seen.length < 3; i++) await turn();
    assert.deepEqual(seen, [undefined, undefined, undefined]);
    for (const m of mappings) m.unmap();
    for (let i = 0; i < 20 && stores.some((ref) => ref.deref() !== undefined); i++) {
      await turn();
      gc();
    }
    assert.deepEqual(stores.map((ref) => ref.deref()), [undefined, undefined, undefined]);
  `,
    withGc,
  ));

test('repair() called again and again at once: all of it is right', () =>
  faultsSurvived(`
    const path = scratch(64 * PAGE);
    for (const access of ['read-write', 'copy-on-write']) {
      const m = memmap.mapFileSync(path, { access });
      m.on('fault', () => undefined);
      for (let round = 0; round < 50; round++) {
        fs.truncateSync(path, 0);
        for (let page = 0; page < 64; page += 1 + (round % 5)) m.buffer[page * PAGE] = page + 1;
        fs.truncateSync(path, 64 * PAGE);
        await Promise.all([m.repair(), m.repair(), m.repair(), m.repair()]);
        for (let page = 0; page < 64; page += 1 + (round % 5)) assert.equal(m.buffer[page * PAGE], page + 1);
        assert.deepEqual(m.faults, []);
      }
      m.unmap();
    }
  `));

test('readAsync and writeAsync that wait while the first Buffer is made and its pages are lost', () =>
  faultsSurvived(`
    const { pbkdf2 } = require('node:crypto');
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    m.on('fault', () => undefined);
    // Every thread of the pool is busy.
    for (let i = 0; i < 8; i++) pbkdf2('a', 'b', 20_000, 64, 'sha512', () => undefined);
    const reading = m.readAsync(0, 16 * PAGE);
    const writing = m.writeAsync(0, Buffer.alloc(PAGE, 'w'));
    const b = m.buffer;
    fs.truncateSync(path, 0);
    b[0];
    b[8 * PAGE];
    for (const { status, reason } of await Promise.allSettled([reading, writing])) {
      assert.equal(status, 'rejected');
      assert.ok(['ERR_MEMMAP_FAULT', 'EFAULT'].includes(reason.code), reason);
    }
  `));

test("protect('read-write') that the kernel refuses half way leaves lost pages read-only", () =>
  faultsSurvived(`
    const path = scratch(4 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    fs.truncateSync(path, 0);
    b[0];
    while (errors.length < 1) await turn();
    // Nobody may write to the file, as it was opened for reading: page 0 is private, page 1 is not.
    assert.throws(() => m.protect('read-write'), { code: 'EACCES', syscall: 'mprotect' });
    b[5] = 7;
    // Another thread brings the news.
    while (errors.length < 2) await turn();
    assert.deepEqual(errors.map(({ kind }) => kind), ['truncated', 'read-only']);
    assert.equal(b[5], 0);
  `));

test('a thousand stray writes in a life, each undone: the next one is of one page all the same', () =>
  faultsSurvived(`
    const path = join(folder, 'long');
    fs.writeFileSync(path, '');
    fs.truncateSync(path, 256 * 2 ** 20);
    for (const access of ['read', 'copy-on-write']) {
      const m = memmap.mapFileSync(path, { access });
      if (access !== 'read') m.protect('read');
      const errors = listen(m);
      const b = m.buffer;
      for (let i = 0; i < 1100; i++) {
        b[(i * 37 % 60_000) * PAGE] = 1;
        await turn();
        while (errors.length <= i) await turn();
        assert.equal(errors[i].length, PAGE);
        assert.equal(b[(i * 37 % 60_000) * PAGE], 0);
      }
      m.unmap();
    }
  `));

test('a listener that throws at exit keeps no other from being called', async () => {
  const said = await faultsSurvived(`
    const paths = [scratch(PAGE), scratch(PAGE)];
    const { status, stdout, stderr } = require('node:child_process').spawnSync(process.execPath, ['-e', \`
      const memmap = require(\${JSON.stringify(entry)});
      const fs = require('node:fs');
      const maps = \${JSON.stringify(paths)}.map((path) => memmap.mapFileSync(path));
      maps[0].on('fault', () => { throw new Error('mine'); });
      maps[1].on('fault', ({ kind }) => console.log('told', kind));
      for (const m of maps) { m.buffer; fs.truncateSync(m.path, 0); m.buffer[0]; }
      process.on('exit', (code) => console.log('exit', code));
      process.exit();
    \`], { encoding: 'utf8' });
    assert.equal(stdout, 'told truncated\\nexit 0\\n');
    assert.match(stderr, /Error: mine/);
    assert.equal(status, 1);
    console.log('checked');
  `);
  expect(said).toContain('checked');
});
