// unmap while the thread pool reads or writes a view: through a pipe, so that the work is certain to be half done.
import { survives } from './program';

const pipe = `
const { execFileSync } = require('node:child_process');
const fifo = join(folder, 'fifo');
execFileSync('mkfifo', [fifo]);
// Read and write: neither end waits for the other.
const fd = fs.openSync(fifo, 'r+');
const path = scratch(64 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
`;

test('a read that finishes after unmap reaches neither the file nor anybody else', () =>
  survives(`
    ${pipe}
    const answer = new Promise((resolve) => fs.read(fd, m.buffer, 0, PAGE, null, (...all) => resolve(all)));
    await turn();
    m.unmap();
    assert.equal(showsFile(path), false);
    const others = Array.from({ length: 50 }, () => memmap.mapAnonymous(64 * PAGE));
    fs.writeSync(fd, Buffer.alloc(PAGE, 'z'));
    const [error, bytes] = await answer;
    assert.equal(error, null);
    assert.equal(bytes, PAGE);
    for (const other of others) assert.equal(isAll(other.buffer, 0), true);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `));

test("a read that finishes after thousands of other unmaps still lands in nobody else's memory", () =>
  survives(`
    ${pipe}
    const answer = new Promise((resolve) => fs.read(fd, m.buffer, 0, PAGE, null, (...all) => resolve(all)));
    await turn();
    const { address, length } = m;
    m.unmap();
    for (let i = 0; i < 5000; i++) {
      const other = memmap.mapAnonymous(length);
      other.buffer[0] = 1;
      assert.notEqual(other.address, address);
      other.unmap();
    }
    const others = Array.from({ length: 50 }, () => memmap.mapAnonymous(length));
    fs.writeSync(fd, Buffer.alloc(PAGE, 'z'));
    assert.deepEqual((await answer).slice(0, 2), [null, PAGE]);
    for (const other of others) assert.equal(isAll(other.buffer, 0), true);
  `));

test('a write that finishes after unmap sends what was there, then zeros', () =>
  survives(`
    ${pipe}
    // 256 KiB do not fit into the pipe: the write waits for us.
    const answer = new Promise((resolve) => fs.write(fd, m.buffer, (...all) => resolve(all)));
    const received = [Buffer.alloc(PAGE)];
    fs.readSync(fd, received[0]);
    m.unmap();
    assert.equal(showsFile(path), false);
    const others = Array.from({ length: 50 }, () => memmap.mapAnonymous(64 * PAGE));
    for (const other of others) other.buffer.fill('z');
    let got = received[0].length;
    while (got < 64 * PAGE) {
      const piece = Buffer.alloc(PAGE);
      got += fs.readSync(fd, piece);
      received.push(piece);
    }
    assert.deepEqual((await answer).slice(0, 2), [null, 64 * PAGE]);
    const sent = Buffer.concat(received);
    assert.equal(sent[0], 97);
    assert.equal(sent[sent.length - 1], 0);
    assert.equal(sent.every((byte) => byte === 97 || byte === 0), true);
  `));

test('readv and writev of several views', () =>
  survives(`
    ${pipe}
    const views = () => Array.from({ length: 16 }, (_, i) => m.view(i * PAGE, PAGE));
    const answer = new Promise((resolve) => fs.readv(fd, views(), (...all) => resolve(all)));
    await turn();
    m.unmap();
    fs.writeSync(fd, Buffer.alloc(16 * PAGE, 'z'));
    assert.deepEqual((await answer).slice(0, 2), [null, 16 * PAGE]);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `));

test('a view that moves, is replaced or made PROT_NONE while a read waits to fill it', () =>
  survives(`
    const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = memmap.constants;
    ${pipe}
    const changes = {
      move: () => { memmap.mapAnonymous(PAGE, { address: m.address + BigInt(64 * PAGE) }); m.resize(512 * PAGE); },
      none: () => m.protect('none'),
      replace: () => m.replace({ anonymous: m.length }),
      fixed: () => memmap.sys.mmap(
        m.address, m.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, { replace: m }),
    };
    for (const change of Object.values(changes)) {
      const answer = new Promise((resolve) => fs.read(fd, m.buffer, 0, PAGE, null, (...all) => resolve(all)));
      await turn();
      change();
      fs.writeSync(fd, Buffer.alloc(PAGE, 'z'));
      const [error, bytes] = await answer;
      // The kernel answers for pages that cannot be written; there is no signal.
      if (error === null) assert.equal(bytes, PAGE);
      else assert.equal(error.code, 'EFAULT');
      if (m.state === 'mapped' && m.protection === 'none') m.protect('read-write');
    }
  `));

test('many reads and writes of a file, unmapped at once, soon and late', () =>
  survives(
    `
    const { open } = require('node:fs/promises');
    const target = await open(scratch(256 * PAGE), 'r+');
    for (let i = 0; i < 300; i++) {
      const path = scratch(64 * PAGE);
      const m = memmap.mapFileSync(path, { access: i % 2 ? 'read-write' : 'copy-on-write' });
      const all = Promise.allSettled([
        target.write(m.buffer, 0, m.length, 0),
        target.read(m.buffer, 0, m.length, PAGE),
        target.writev([m.view(0, PAGE), m.view(PAGE)], 0),
        target.readv([m.view(0, PAGE), m.view(PAGE)], 0),
      ]);
      for (let turns = 0; turns < i % 4; turns++) await turn();
      m.unmap();
      assert.equal(showsFile(path), false);
      await all;
      fs.unlinkSync(path);
    }
    await target.close();
  `,
    { timeout: 50_000 },
  ));
