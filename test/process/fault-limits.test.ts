// Faults while the process has as many regions as the kernel lets it have: each ends in an error.
import { readFileSync } from 'node:fs';
import { noTmpfs, withTmpfs } from '../helpers/disks';
import { Scratch } from '../helpers/files';
import { buildWild, wildTools } from '../helpers/wild';
import { survives, testWhere } from './program';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const limit = (): number => {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
  } catch {
    return Infinity;
  }
};
const most = 1 << 17;
const tooMany = `vm.max_map_count is above ${String(most)}: that many regions take too long`;
const testLimit = testWhere(limit() <= most, tooMany);
const { addon, missing } = buildWild(scratch.folder);
const testBrim = testWhere(limit() <= most && missing === undefined, missing ?? tooMany);

/** In scope of a child. */
const tools = `
${wildTools(addon)}
const reads = (path) => require('node:child_process').execFileSync('cat', [path], { maxBuffer: 1 << 30 });
function open(pages, options) {
  const m = memmap.mapFileSync(scratch(pages * PAGE), options);
  m.told = [];
  m.on('fault', (error) => m.told.push(error));
  m.buffer[0];
  return m;
}
async function isTold(m, kind) {
  assert.deepEqual([...new Set(m.faults.map((each) => each.kind))], [kind]);
  await turn();
  assert.ok(m.told.length > 0);
  for (const error of m.told) assert.deepEqual([error.code, error.kind], ['ERR_MEMMAP_FAULT', kind]);
}
const isLost = (m, page) =>
  m.faults.some(({ offset, length }) => offset <= page * PAGE && page * PAGE < offset + length);
`;

const child = (source: string, denied = '') =>
  survives(tools + source, { env: { MEMMAP_DENY: denied } });

testLimit('up to where memmap itself refuses to map more', () =>
  child(`
    const read = open(64);
    const written = open(64, { access: 'read-write' });
    const truncated = open(64, { access: 'read-write' });
    const fillers = [];
    assert.throws(() => {
      // Neighbours that differ are regions of their own.
      for (;;) fillers.push(memmap.mapAnonymous(PAGE, { access: fillers.length % 2 === 0 ? 'read' : 'read-write' }));
    }, { code: 'ENOMEM', syscall: 'mmap' });
    assert.ok(regions().length > ${String(limit())} / 2);
    fs.truncateSync(truncated.path, PAGE);
    for (let page = 1; page < 64; page += 2) truncated.buffer[page * PAGE] = 5;
    for (let page = 1; page < 64; page += 2) read.buffer[page * PAGE] = 5;
    await isTold(truncated, 'truncated');
    await isTold(read, 'read-only');
    assert.equal(isAll(read.buffer, 'a'), true);
    for (let page = 1; page < 64; page += 2) assert.equal(truncated.buffer[page * PAGE], 5);
    for (const m of fillers) m.unmap();
    fs.truncateSync(truncated.path, 64 * PAGE);
    await truncated.repair();
    for (let page = 1; page < 64; page += 2) assert.equal(reads(truncated.path)[page * PAGE], 5);
    assert.equal(isAll(written.buffer, 'a'), true);
    assert.deepEqual(memmap.registry.verify(), []);
  `),
);

describe.each(['', 'procmap_query,process_vm,populate'])(
  'full to the brim, without "%s"',
  (denied) => {
    testBrim('truncated: one page', () =>
      child(
        `
      const wild = loadWild();
      const m = open(64, { access: 'read-write' });
      fs.truncateSync(m.path, PAGE);
      assert.equal(wild.writeAtTheBrim(m.address + BigInt(10 * PAGE), PAGE, 1), 1);
      await isTold(m, 'truncated');
      assert.ok(isLost(m, 10));
      fs.truncateSync(m.path, 64 * PAGE);
      await m.repair();
      assert.deepEqual(m.faults, []);
      assert.equal(reads(m.path)[10 * PAGE], 1);
      assert.equal(m.buffer[0], 97);
    `,
        denied,
      ),
    );

    testBrim('truncated: every other page of many', () =>
      child(
        `
      const wild = loadWild();
      const m = open(512, { access: 'read-write' });
      fs.truncateSync(m.path, PAGE);
      assert.equal(wild.writeAtTheBrim(m.address + BigInt(PAGE), 2 * PAGE, 255), 255);
      await isTold(m, 'truncated');
      for (let page = 1; page < 511; page += 2) {
        assert.ok(isLost(m, page), String(page));
        assert.equal(m.buffer[page * PAGE], 1);
      }
      fs.truncateSync(m.path, 512 * PAGE);
      await m.repair();
      await m.flush();
      const found = reads(m.path);
      for (let page = 1; page < 511; page += 2) assert.equal(found[page * PAGE], 1);
    `,
        denied,
      ),
    );

    testBrim('truncated: private pages', () =>
      child(
        `
      const wild = loadWild();
      const m = open(64, { access: 'copy-on-write' });
      m.buffer[PAGE] = 7;
      fs.truncateSync(m.path, PAGE);
      assert.equal(wild.writeAtTheBrim(m.address + BigInt(10 * PAGE), 2 * PAGE, 20), 20);
      await isTold(m, 'truncated');
      for (let page = 10; page < 50; page += 2) assert.equal(m.buffer[page * PAGE], 1);
      assert.equal(m.buffer[0], 97);
    `,
        denied,
      ),
    );

    for (const [name, make] of [
      ['a file', 'open(64)'],
      ['anonymous memory', "withEvents(memmap.mapAnonymous(64 * PAGE, { access: 'read' }))"],
    ]) {
      testBrim(`stray writes to ${String(name)}`, () =>
        child(
          `
        const wild = loadWild();
        const withEvents = (m) => {
          m.told = [];
          m.on('fault', (error) => m.told.push(error));
          m.buffer[0];
          return m;
        };
        const m = ${String(make)};
        const before = Buffer.from(m.buffer);
        assert.equal(wild.writeAtTheBrim(m.address + BigInt(PAGE), 2 * PAGE, 31), 31);
        await isTold(m, 'read-only');
        assert.equal(m.buffer.equals(before), true);
        if (m.path !== undefined) assert.equal(reads(m.path).equals(before), true);
      `,
          denied,
        ),
      );
    }
  },
);

testBrim('again and again in one life', () =>
  child(`
    const wild = loadWild();
    for (let round = 0; round < 12; round++) {
      const m = open(16, { access: 'read-write' });
      fs.truncateSync(m.path, PAGE);
      assert.equal(wild.writeAtTheBrim(m.address + BigInt(PAGE), 2 * PAGE, 7), 7, String(round));
      await isTold(m, 'truncated');
      fs.truncateSync(m.path, 16 * PAGE);
      await m.repair();
      assert.equal(reads(m.path)[PAGE], 1);
      m.unmap();
      const stray = open(16);
      assert.equal(wild.writeAtTheBrim(stray.address + BigInt(PAGE), 2 * PAGE, 7), 7, String(round));
      await isTold(stray, 'read-only');
      assert.equal(isAll(stray.buffer, 'a'), true);
      stray.unmap();
    }
  `),
);

describe('more pages that stand alone than the process may have regions', () => {
  const pages = 2 * limit() + 10_000;
  /** Writes to every other page and looks: what was told, what is there, how many regions it took. */
  const scatter = (kind: string) => `
    const { buffer } = m;
    m.told = [];
    m.on('fault', (error) => m.told.push(error));
    const before = regions().length;
    for (let page = 1; page < PAGES; page += 2) buffer[page * PAGE] = 7;
    const taken = regions().length - before;
    assert.ok(taken < ${String(limit())} / 4, String(taken));
    for (let page = 1; page < PAGES; page += 2) assert.equal(buffer[page * PAGE], 7, String(page));
    await isTold(m, '${kind}');
  `;
  const sparse = (path: string) => `
    const PAGES = ${String(pages)};
    const path = ${path};
    fs.writeFileSync(path, '');
    fs.truncateSync(path, PAGES * PAGE);
  `;
  const arrived = `
    await m.repair();
    const fd = fs.openSync(path);
    const byte = Buffer.alloc(1);
    for (let page = 1; page < PAGES; page += 2) {
      fs.readSync(fd, byte, 0, 1, page * PAGE);
      assert.equal(byte[0], 7, String(page));
    }
  `;

  testLimit('truncated', () =>
    child(`
      ${sparse("join(folder, 'sparse')")}
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      fs.truncateSync(path, PAGE);
      ${scatter('truncated')}
      fs.truncateSync(path, PAGES * PAGE);
      ${arrived}
    `),
  );

  testWhere(noTmpfs === undefined && limit() <= most, noTmpfs ?? tooMany)('no space', () =>
    withTmpfs(1 << 20, ({ folder }) =>
      child(`
        ${sparse(`${JSON.stringify(folder)} + '/sparse'`)}
        const m = memmap.mapFileSync(path, { access: 'read-write' });
        assert.throws(() => fs.writeFileSync(${JSON.stringify(folder)} + '/ballast', Buffer.alloc(2 << 20)), { code: 'ENOSPC' });
        ${scatter('no-space')}
        require('node:child_process').execFileSync('mount', ['-o', 'remount,size=2g', ${JSON.stringify(folder)}]);
        ${arrived}
      `),
    ),
  );

  const strays = {
    'a file': 'memmap.mapFileSync(path)',
    'private pages of a file': "memmap.mapFileSync(path, { access: 'copy-on-write' })",
    'anonymous memory': 'memmap.mapAnonymous(PAGES * PAGE)',
  };
  for (const [name, make] of Object.entries(strays)) {
    testLimit(`stray writes to ${name}`, () =>
      child(`
        ${sparse("join(folder, 'sparse')")}
        const m = ${make};
        m.protect('read');
        ${scatter('read-only')}
        assert.equal(buffer.indexOf(7), -1);
      `),
    );
  }
});
