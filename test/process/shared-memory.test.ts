// Shared memory between Nodes: passing it on, racing for it, losing it, having no room or no right.
import { namesLeft, removeNames } from '../helpers/shared';
import { shares } from '../helpers/shared-program';
import { faultsSurvived } from '../helpers/faults';
import { testWhere } from './program';

afterAll(() => {
  removeNames();
  expect(namesLeft()).toEqual([]);
});

const isRoot = process.getuid?.() === 0;
const testRoot = testWhere(isRoot && process.platform === 'linux', 'only root may do that');

test('of many creators at once exactly one wins, and nobody sees half an object', () =>
  shares(`
    const source = \`
      await ask();
      for (let round = 0; round < 20; round++) {
        const name = argv[0] + '-' + round;
        try {
          SharedMemory.create(name, { size: 100, initialize: (m) => void m.write(0, Buffer.alloc(100, 7)) });
          say('won');
        } catch (error) {
          if (error.code !== 'EEXIST' || error.syscall !== 'shm_open') throw error;
          const m = SharedMemory.open(name).map();
          say(m.length === 100 && m.read(0, 100).every((byte) => byte === 7) ? 'whole' : 'half');
        }
      }\`;
    const name = newName('race');
    const racers = Array.from({ length: 4 }, () => node(source, [name]));
    for (const each of racers) each.tell('go');
    const words = [];
    for (const each of racers) for (let round = 0; round < 20; round++) words.push(await each.next());
    assert.equal(words.filter((word) => word === 'won').length, 20);
    assert.equal(words.filter((word) => word === 'whole').length, 60);
    for (const each of racers) each.child.stdin.end();
    for (const each of racers) assert.deepEqual(await each.ended, [0, null]);
    for (let round = 0; round < 20; round++) SharedMemory.unlink(name + '-' + round);
  `));

test('without O_TMPFILE a creator that was killed leaves nothing that anybody would find', () =>
  shares(
    `
    const source = 'const parent = process.ppid; for (let n = 0; process.ppid === parent; n++) { SharedMemory.create(argv[0], { size: 1e6, exclusive: false }).unlink(); if (n === 3) say("on"); }';
    const name = newName('temporary');
    const own = (pid) => fs.readdirSync('/dev/shm').filter((each) => each.startsWith('.memmap-' + pid + '-'));
    for (let round = 0; round < 5; round++) {
      const peer = node(source, [name], { env: { ...process.env, MEMMAP_DENY: 'tmpfile' } });
      await peer.next();
      await later(Math.random() * 10);
      await peer.kill();
      const found = SharedMemory.list().filter((entry) => entry.name.startsWith('.memmap'));
      assert.deepEqual(found, []);
      // Killed before it had given it a size, which is swept only once it is ten seconds old.
      for (const each of own(peer.child.pid)) {
        assert.equal(fs.statSync('/dev/shm/' + each).size, 0, each);
        fs.rmSync('/dev/shm/' + each);
      }
    }
    if (there(name)) {
      assert.equal(SharedMemory.open(name).size, 1e6);
      SharedMemory.unlink(name);
    }
  `,
  ));

test('opened at other addresses and sizes, each sees the same bytes', () =>
  shares(`
    const shm = SharedMemory.create(newName('places'), { size: 10 * PAGE });
    const m = shm.map();
    const source = \`
      const shm = SharedMemory.open(argv[0]);
      memmap.reserve(Number(argv[1]) * memmap.pageSize * 100);
      const m = shm.map({ offset: Number(argv[1]) * 5000, length: 3000 });
      m.buffer.fill(Number(argv[1]));
      say(String(m.address));
      await ask();\`;
    const peers = [1, 2, 3].map((n) => node(source, [shm.name, n]));
    const addresses = new Set([String(m.address)]);
    for (const each of peers) addresses.add(await each.next());
    assert.ok(addresses.size > 1);
    for (const n of [1, 2, 3]) assert.ok(isAll(m.read(n * 5000, 3000), n));
    assert.ok(isAll(m.read(8000, 2000), 0));
    shm.unlink();
  `));

test('a thousand objects, made, found, read and gone', () =>
  shares(
    `
    const first = newName('many');
    const all = [];
    for (let n = 0; n < 1000; n++) {
      const shm = SharedMemory.create(first + '-' + n, { size: 10 + n });
      shm.map().write(0, String(n));
      shm.close();
      all.push(shm);
    }
    const listed = SharedMemory.list().filter((entry) => entry.name.startsWith(first));
    assert.equal(listed.length, 1000);
    assert.equal(listed.reduce((sum, { size }) => sum + size, 0), 1000 * 10 + 999 * 500);
    for (let n = 0; n < 1000; n++) {
      const shm = SharedMemory.open(first + '-' + n);
      assert.equal(shm.map().read(0, 3).toString().replace(/\\0+/, ''), String(n).slice(0, 3));
      shm.unlink();
      shm.close();
    }
    for (const m of memmap.registry.mappings()) m.unmap();
    assert.ok(fs.readdirSync('/proc/self/fd').length < 100);
    assert.deepEqual(SharedMemory.list().filter((entry) => entry.name.startsWith(first)), []);
  `,
    { timeout: 55_000 },
  ));

test('a peer that makes it shorter is a fault, not a crash', () =>
  faultsSurvived(`
    const name = ${JSON.stringify('memmap-test-')} + process.pid + '-shorter';
    const shm = memmap.SharedMemory.create(name, { size: 4 * PAGE });
    try {
      const m = shm.map();
      const errors = listen(m);
      m.buffer.fill(7);
      truncate('/dev/shm/' + name, PAGE);
      assert.equal(m.buffer[PAGE - 1], 7);
      assert.equal(m.buffer[2 * PAGE], 0);
      await until(() => errors.length === 1);
      assert.equal(errors[0].path, name);
      assert.equal(errors[0].kind, 'truncated');
      assert.equal(errors[0].fileOffset, BigInt(2 * PAGE));
      truncate('/dev/shm/' + name, 4 * PAGE);
      await m.repair();
      assert.equal(m.faults.length, 0);
      m.unmap();
    } finally {
      shm.unlink();
    }
    async function until(holds) { while (!holds()) await turn(); }
  `));

test('memory without a name goes to children of spawn, fork and cluster, and to threads', () =>
  shares(`
    const shm = SharedMemory.create(null, { size: 100 });
    const m = shm.map();
    const body = (how) => 'const memmap = require(' + JSON.stringify(entry) + ');'
      + 'const shm = memmap.SharedMemory.fromFd(' + how + '); const m = shm.map(); m.write(Number(process.argv[2]), "x");';
    fs.writeFileSync(join(folder, 'spawned.cjs'), body('3'));
    fs.writeFileSync(join(folder, 'forked.cjs'), body('4') + 'process.disconnect();');
    const spawned = spawn(process.execPath, [join(folder, 'spawned.cjs'), '1'], { stdio: ['ignore', 'inherit', 'inherit', shm.fd] });
    assert.deepEqual(await once(spawned, 'exit'), [0, null]);
    const forked = fork(join(folder, 'forked.cjs'), ['2'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc', shm.fd] });
    assert.deepEqual(await once(forked, 'exit'), [0, null]);
    const cluster = require('node:cluster');
    cluster.setupPrimary({ execArgv: [], exec: join(folder, 'forked.cjs'), args: ['3'], stdio: ['ignore', 'inherit', 'inherit', 'ipc', shm.fd] });
    assert.deepEqual(await once(cluster.fork(), 'exit'), [0, null]);
    const worker = startWorker('const m = memmap.SharedMemory.fromFd(workerData).map(); m.write(4, "x");', shm.fd);
    assert.deepEqual(await worker.ended, [0]);
    const looker = node('SharedMemory.fromProcess(Number(argv[0]), Number(argv[1])).map().write(5, "x");', [process.pid, shm.fd]);
    looker.child.stdin.end();
    assert.deepEqual(await looker.ended, [0, null]);
    assert.equal(m.read(0, 7).toString(), '\\0xxxxx\\0');
    assert.equal(shm.size, 100);
  `));

test('what is sealed against writing stays unwritable by every way, while its maker writes', () =>
  shares(`
    const shm = SharedMemory.create(null, { size: 5000 });
    const m = shm.map();
    shm.seal('future-write');
    const peer = node(\`
      const denied = (call) => { try { call(); return 'done'; } catch (error) { return error.code + ' ' + error.syscall; } };
      const shm = SharedMemory.fromFd(3);
      const reader = shm.map({ access: 'read' });
      const again = SharedMemory.fromProcess(process.pid, 3);
      const { sys, constants: c } = memmap;
      say([
        denied(() => shm.map()),
        denied(() => again.map()),
        denied(() => memmap.mapFileSync('/proc/self/fd/3', { access: 'read-write' })),
        denied(() => reader.protect('read-write')),
        denied(() => sys.mmap(0, 5000, c.PROT_READ | c.PROT_WRITE, c.MAP_SHARED, 3, 0)),
        denied(() => fs.writeSync(3, 'x', 0)),
        denied(() => fs.writeFileSync('/proc/self/fd/3', 'x')),
      ]);
      await ask();
      say(reader.buffer.toString('latin1', 0, 6));
      shm.map({ access: 'copy-on-write' }).write(0, 'x');
      await ask();
    \`, [], { stdio: ['pipe', 'pipe', 'inherit', shm.fd] });
    assert.deepEqual(JSON.parse(await peer.next()), [
      'EPERM mmap', 'EPERM mmap', 'EPERM mmap', 'EACCES mprotect', 'EPERM mmap', 'EPERM write', 'EPERM open',
    ]);
    m.buffer.write('secret');
    peer.tell('look');
    assert.equal(await peer.next(), 'secret');
    assert.equal(m.read(0, 6).toString(), 'secret');
  `));

testRoot('a peer without permission is told so', () =>
  shares(`
    // Nobody may come as far as the addon.
    const nobody = { uid: 65534, gid: 65534, cwd: '/' };
    const mine = SharedMemory.create(newName('mine'), { size: 10 });
    const before = process.umask(0);
    const open = SharedMemory.create(newName('open'), { size: 10, mode: 0o644 });
    process.umask(before);
    open.map().write(0, 'for all');
    const memory = SharedMemory.create(null, { size: 10 });
    const peer = node(\`
      const denied = (call) => { try { call(); return 'done'; } catch (error) { return [error.code, error.syscall, error.path]; } };
      say([
        denied(() => SharedMemory.open(argv[0])),
        denied(() => SharedMemory.open(argv[1])),
        SharedMemory.open(argv[1], { access: 'read' }).map().read(0, 7).toString(),
        denied(() => SharedMemory.open(argv[1], { access: 'read' }).map({ access: 'read-write' })),
        denied(() => SharedMemory.unlink(argv[0])),
        denied(() => SharedMemory.create(argv[0], { size: 1, exclusive: false })),
        denied(() => SharedMemory.fromProcess(Number(argv[2]), Number(argv[3])))[0],
        SharedMemory.list().filter(({ name }) => name === argv[0]).map(({ uid, mode }) => [uid, mode]),
      ]);
    \`, [mine.name, open.name, process.pid, memory.fd], nobody);
    assert.deepEqual(JSON.parse(await peer.next()), [
      ['EACCES', 'shm_open', mine.name], ['EACCES', 'shm_open', open.name], 'for all', ['EACCES', 'mmap', open.name],
      ['EACCES', 'shm_unlink', mine.name], ['EACCES', 'shm_open', mine.name], 'EACCES', [[0, 0o600]],
    ]);
    mine.unlink();
    open.unlink();
  `),
);

testRoot(
  'nobody can have an object of lifetime processes with a mode that excludes everybody',
  () =>
    shares(`
    const name = newName('closed');
    const peer = node(
      'const shm = SharedMemory.create(argv[0], { size: 10, mode: 0o400, lifetime: "processes" }); say(fs.statSync("/dev/shm/" + argv[0]).mode & 0o7777); shm.map().write(0, "x"); await ask();',
      [name], { uid: 65534, gid: 65534, cwd: '/' });
    assert.equal(await peer.next(), String(0o400));
    assert.equal(reapersOf(name).length, 1);
    await peer.kill();
    await until(() => !there(name), 'the name is gone');
  `),
);

testRoot('a full /dev/shm is ENOSPC when it is made, and leaves nothing', () =>
  shares(`
    const source = \`
      const refused = (call) => { try { call(); return 'done'; } catch (error) { return [error.code, error.syscall, error.path]; } };
      const used = () => { const { blocks, bfree } = fs.statfsSync('/dev/shm'); return blocks - bfree; };
      say([
        refused(() => SharedMemory.create('big', { size: 2 ** 21 })),
        refused(() => SharedMemory.create('big', { size: 2 ** 21, lifetime: 'processes' })),
        fs.readdirSync('/dev/shm'), used(),
        SharedMemory.create('small', { size: 2 ** 19 }).size,
        refused(() => SharedMemory.create('second', { size: 2 ** 20 })),
        fs.readdirSync('/dev/shm'),
        SharedMemory.create(null, { size: 2 ** 21 }).size,
      ]);\`;
    const head = 'const memmap = require(' + JSON.stringify(entry) + '); const fs = require("node:fs"); const { SharedMemory } = memmap; const say = (value) => console.log(JSON.stringify(value));';
    const peer = talkTo('unshare', ['-m', 'sh', '-c',
      'mount --make-rprivate / && mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" -e "$1"', process.execPath, head + source]);
    assert.deepEqual(JSON.parse(await peer.next()), [
      ['ENOSPC', 'fallocate', 'big'], ['ENOSPC', 'fallocate', 'big'], [], 0, 2 ** 19,
      ['ENOSPC', 'fallocate', 'second'], ['small'], 2 ** 21,
    ]);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);
