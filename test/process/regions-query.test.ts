// query() and regions() say the same, and both say what the kernel says; with PROCMAP_QUERY and without.
import { survives } from './program';

const kit = `
const { query, regions: list } = memmap.addressSpace;
const columns = ({ start, end, protection, shared, offset, inode, device, path, owner }) =>
  ({ start, end, protection, shared, offset, inode, device, path, kind: owner.kind });
const lines = () => fs.readFileSync('/proc/self/maps', 'latin1');
// The kernel's list before and after is the same: nothing changed while it was looked at.
function still(look) {
  for (let tries = 0; tries < 100; tries++) {
    const before = lines();
    const found = look();
    if (lines() === before) return { before, found };
  }
  assert.fail('the process never stood still');
}
`;

for (const deny of ['', 'procmap_query']) {
  const how = deny === '' ? 'with PROCMAP_QUERY' : 'with the text alone';
  const env = { MEMMAP_DENY: deny };

  test(`every address finds its region, ${how}`, () =>
    survives(
      `${kit}
      const path = scratch(10 * PAGE);
      const kept = [memmap.mapFileSync(path), memmap.mapAnonymous(3 * PAGE), memmap.mapAnonymous(PAGE), memmap.mapFileSync(path, { offset: 3 * PAGE })];
      const { before, found } = still(() => list());
      assert.equal(found.length >= before.trimEnd().split('\\n').length, true);
      let checked = 0;
      for (const region of found) {
        for (const address of [region.start, region.start + 1n, region.end - 1n, region.start + BigInt(region.length >> 1 & ~1)]) {
          const answer = query(address);
          // What is on the move meanwhile is looked for again in a list of now.
          if (answer === undefined || answer.start !== region.start || answer.end !== region.end) continue;
          assert.deepEqual(columns(answer), columns(region));
          checked++;
        }
      }
      assert.ok(checked > 3.5 * found.length, checked + ' of ' + found.length);
      // The descriptor that is asked stays open; the text is opened anew each time.
      const asked = fs.readdirSync('/proc/self/fd').some((fd) => {
        try { return /\\/maps$/.test(fs.readlinkSync('/proc/self/fd/' + fd)); } catch { return false; }
      });
      assert.equal(asked, ${String(deny === '')});
      for (const mapping of kept) assert.equal(query(mapping.address).owner.mapping, mapping);
      assert.equal(query(kept[0].address).path, path);
      assert.equal(query(kept[3].address).offset, 3 * PAGE);
    `,
      { env },
    ));

  test(`holes are undefined, and the ends of the address space are no errors, ${how}`, () =>
    survives(
      `${kit}
      for (const address of [0, 0n, 1, PAGE - 1, 2n ** 47n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n, 0x2000000000]) {
        assert.equal(query(address), undefined, String(address));
      }
      const mapping = memmap.mapAnonymous(PAGE, { address: 0x2000000000, placement: 'exclusive' });
      assert.deepEqual([-1, 0, PAGE - 1, PAGE].map((by) => query(0x2000000000 + by)?.owner.mapping),
        [undefined, mapping, mapping, undefined]);
      const high = list().find(({ start }) => start >= 2n ** 63n);
      if (high !== undefined) {
        assert.equal(high.path, '[vsyscall]');
        for (const address of [high.start, high.end - 1n]) assert.deepEqual(query(address).toJSON(), high.toJSON());
        assert.equal(query(high.end), undefined);
      }
    `,
      { env },
    ));
}

test('the two ways agree about a name that is odd', () =>
  survives(`${kit}
    const path = join(folder, 'a new\\nline and a \\\\ backslash, ünïcode and (deleted)');
    fs.writeFileSync(path, 'x');
    const mapping = memmap.mapFileSync(path);
    assert.equal(query(mapping.address).path, path);
    assert.equal(list().find(({ owner }) => owner.mapping === mapping).path, path);
  `));

test('everything that the kernel lists is listed, column by column', () =>
  survives(`${kit}
    memmap.mapAnonymous(3 * PAGE);
    memmap.mapAnonymous(3 * PAGE);
    memmap.mapAnonymous(3 * PAGE, { shared: true });
    const { before, found } = still(() => list().map((region) => {
      const { start, end, shared, offset, inode, path } = region;
      return { start, end, mode: region.protection, shared, offset, inode, path };
    }));
    const words = { '---': 'none', 'r--': 'read', '-w-': 'write', '--x': 'execute', 'rw-': 'read-write', 'r-x': 'read-execute', '-wx': 'write-execute', rwx: 'read-write-execute' };
    // What we hold is listed one by one: put together again where they are alike.
    const merged = [];
    for (const row of found) {
      const last = merged.at(-1);
      const alike = last?.end === row.start && last.mode === row.mode && last.inode === row.inode && last.shared === row.shared
        && (row.inode !== 0 || (last.path === undefined && row.path === undefined));
      merged.push(row);
      if (alike) row.joins = true;
    }
    for (const line of before.trimEnd().split('\\n')) {
      const [, from, to, mode, offset, inode, name] = /^(\\w+)-(\\w+) (\\S+) (\\w+) \\S+ (\\d+) *(.*)$/.exec(line);
      const row = found.find(({ start }) => start === BigInt('0x' + from));
      assert.ok(row, line);
      assert.deepEqual([row.mode, row.shared, row.offset, row.inode, row.path ?? ''],
        [words[mode.slice(0, 3)], mode[3] === 's', parseInt(offset, 16), Number(inode), name], line);
      // Its rows fill it.
      let at = row.start;
      for (const part of found.slice(found.indexOf(row))) {
        if (part.start !== at || at === BigInt('0x' + to)) break;
        at = part.end;
      }
      assert.equal(at, BigInt('0x' + to), line);
    }
  `));

test('the kernel’s regions are counted as the kernel counts them', () =>
  survives(`${kit}
    const mappings = [1, 2, 3].map(() => memmap.mapAnonymous(3 * PAGE));
    const { before, found } = still(() => [memmap.addressSpace.fragmentation().regions, list().length]);
    const kernel = before.trimEnd().split('\\n').filter((line) => !line.includes('[vsyscall]')).length;
    assert.equal(found[0], kernel);
    assert.ok(found[1] > kernel, 'nothing was merged');
    assert.equal(mappings.length, 3);
  `));

test('what is in memory is what smaps says, from the first use on', () =>
  survives(`${kit}
    const mapping = memmap.mapAnonymous(100 * PAGE, { shared: true });
    const listed = list();
    const mine = listed.find(({ owner }) => owner.mapping === mapping);
    for (let page = 0; page < 40; page++) mapping.buffer[page * PAGE] = 1;
    // The list is older than the pages; what is in memory is asked now.
    assert.deepEqual([mine.resident, mine.dirty, mine.swapped, mine.hugePages].map((bytes) => bytes / PAGE), [40, 40, 0, 0]);
    for (let page = 40; page < 100; page++) mapping.buffer[page * PAGE] = 1;
    assert.equal(mine.resident / PAGE, 40);
    assert.equal(list().find(({ owner }) => owner.mapping === mapping).resident / PAGE, 100);
    const clean = memmap.mapFileSync(scratch(4 * PAGE), { populate: true });
    const row = query(clean.address);
    assert.deepEqual([row.resident / PAGE, row.dirty === row.resident || row.dirty === 0], [4, true]);
    // What is gone since cannot be known.
    const gone = query(mapping.address);
    mapping.unmap();
    memmap.mapAnonymous(PAGE);
    const later = list();
    assert.ok(later.length > 0);
    assert.equal(gone.length, 100 * PAGE);
  `));

test('huge pages are counted', async () => {
  const said = await survives(`${kit}
    const enabled = fs.existsSync('/sys/kernel/mm/transparent_hugepage/enabled')
      && !fs.readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'latin1').includes('[never]');
    const mapping = memmap.mapAnonymous(${64 * 2 ** 20}, { hugePages: true });
    mapping.buffer.fill(1);
    const smaps = fs.readFileSync('/proc/self/smaps', 'latin1');
    const theirs = [...smaps.matchAll(/^(?:AnonHugePages|ShmemPmdMapped|FilePmdMapped): +(\\d+) kB/gm)].reduce((sum, [, kB]) => sum + kB * 1024, 0);
    const ours = list().reduce((sum, { hugePages = 0 }) => sum + hugePages, 0);
    assert.equal(ours, theirs);
    if (ours === 0) console.log('skipped: no huge pages here, enabled: ' + enabled);
  `);
  if (said.trim() !== '') process.stderr.write(said);
});
