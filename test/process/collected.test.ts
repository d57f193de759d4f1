// A Mapping that nobody can reach is unmapped; a Buffer alone keeps its memory.
import { survives, withGc } from './program';

const setUp = `
const path = scratch(4 * PAGE);
const isGone = () => !showsFile(path);
async function staysFor(rounds, check) {
  for (let round = 0; round < rounds; round++) {
    gc();
    await turn();
    check();
  }
}
`;

const drops: Record<string, string> = {
  'never looked at': '(m) => undefined',
  'with its buffer': '(m) => void m.buffer[0]',
  'with views':
    '(m) => void [m.view(0, 10)[0], m.view(PAGE)[0], new Int32Array(m.view(0, PAGE).buffer)[0]]',
  'with a listener that holds it': "(m) => void m.on('unmap', () => m)",
  'with a flush behind it': '(m) => m.flush()',
  'after resize': '(m) => { m.buffer; m.resize(2 * PAGE); m.buffer; }',
  'after protect': "(m) => m.protect('none', { length: PAGE })",
  'in parts': '(m) => memmap.sys.munmap(m.address + BigInt(PAGE), PAGE, { replace: m })',
};

for (const [how, use] of Object.entries(drops)) {
  test(`dropped ${how}: unmapped`, () =>
    survives(
      `
      ${setUp}
      const use = ${use};
      await (async () => { await use(memmap.mapFileSync(path, { access: 'read-write' })); })();
      assert.equal(isGone(), false);
      await collectUntil(isGone, 'unmapped');
      assert.deepEqual(memmap.registry.mappings(), []);
    `,
      withGc,
    ));
}

const kept: Record<string, string> = {
  'the Buffer': 'm.buffer',
  'a view': 'm.view(PAGE, PAGE)',
  'a slice of the Buffer': 'm.buffer.subarray(PAGE)',
  'its ArrayBuffer': 'm.buffer.buffer',
  'a typed array': 'new Int32Array(m.buffer.buffer)',
  'a DataView': 'new DataView(m.buffer.buffer)',
};

for (const [what, take] of Object.entries(kept)) {
  test(`only ${what} is kept: the memory stays until it is dropped`, () =>
    survives(
      `
      ${setUp}
      let keep = (() => { const m = memmap.mapFileSync(path); return ${take}; })();
      const bytes = () => new Uint8Array(keep.buffer ?? keep);
      await staysFor(20, () => assert.equal(isAll(bytes(), 97), true));
      assert.equal(isGone(), false);
      assert.equal(memmap.registry.mappings().length, 1);
      keep = undefined;
      await collectUntil(isGone, 'unmapped');
    `,
      withGc,
    ));
}

test('a Mapping without views stays as long as it is held', () =>
  survives(
    `
    ${setUp}
    const m = memmap.mapFileSync(path);
    const found = () => memmap.registry.at(m.address) === m;
    await staysFor(20, () => assert.equal(found(), true));
    assert.equal(m.read(0, 1)[0], 97);
  `,
    withGc,
  ));

test('found through the registry, a dropped Mapping lives again', () =>
  survives(
    `
    ${setUp}
    // Again where the collector was quicker.
    let address;
    let m;
    for (let i = 0; i < 100 && m === undefined; i++) {
      address = memmap.mapFileSync(path).address;
      await turn();
      m = memmap.registry.at(address);
    }
    await staysFor(20, () => assert.equal(m.read(0, 1)[0], 97));
    m = undefined;
    await collectUntil(isGone, 'unmapped');
    assert.equal(memmap.registry.at(address), undefined);
  `,
    withGc,
  ));

// What a call on the thread pool works on must not be collected under it.
const pending: Record<string, string> = {
  flush: "map('read-write').flush()",
  prefetch: "map('read').prefetch()",
  lockAsync: "map('read').lockAsync()",
  readAsync:
    "map('read').readAsync(0, 64 * 2 ** 20).then((bytes) => assert.equal(bytes[64 * 2 ** 20 - 1], 98))",
  mapFile: "memmap.mapFile(path, { access: 'snapshot' }).then(isRight)",
  'mapFile, populating, locking,':
    "memmap.mapFile(path, { access: 'copy-on-write', populate: true, lock: true }).then(isRight)",
  writeAsync: "map('read-write').writeAsync(0, Buffer.alloc(64 * 2 ** 20, 'c'))",
};

for (const [name, call] of Object.entries(pending)) {
  test(`dropped while ${name}() has not finished: it finishes`, () =>
    survives(
      `
      const path = scratch(64 * 2 ** 20);
      fs.writeSync(fs.openSync(path, 'r+'), 'b', 64 * 2 ** 20 - 1);
      const map = (access) => memmap.mapFileSync(path, { access });
      const isRight = (m) => assert.deepEqual([m.buffer[0], m.buffer[64 * 2 ** 20 - 1]], [97, 98]);
      const calls = Array.from({ length: 3 }, () => ${call});
      let settled = false;
      const all = Promise.all(calls).finally(() => { settled = true; });
      do {
        gc();
        await turn();
      } while (!settled);
      await all;
      await collectUntil(() => !showsFile(path), 'unmapped');
    `,
      withGc,
    ));
}
