// Shared memory among strangers, sandboxes, containers and processes that end at a bad moment.
import { namesLeft, removeNames } from '../helpers/shared';
import { shares } from '../helpers/shared-program';
import { testWhere } from './program';

afterAll(() => {
  removeNames();
  expect(namesLeft()).toEqual([]);
});

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
const testRoot = testWhere(isRoot, 'only root may do that');

/** In scope of a child: another Node in a /dev/shm of its own, after `setup`. */
const apart = `
function nodeApart(source, { setup = 'true', unshare = ['-m'], env = {} } = {}) {
  const head = 'const memmap = require(' + JSON.stringify(entry) + '); const fs = require("node:fs"); const cp = require("node:child_process"); const { SharedMemory } = memmap;'
    + 'const say = (value) => console.log(JSON.stringify(value));'
    + 'const told = (call) => { try { return call() ?? "done"; } catch (error) { return [error.code, error.syscall].join(" "); } };';
  const mounts = 'mount --make-rprivate / && mount -t tmpfs -o mode=1777 tmpfs /dev/shm && { ' + setup + '; } && exec "$0" -e "$1"';
  return talkTo('unshare', [...unshare, 'sh', '-c', mounts, process.execPath, head + '(async () => {' + source + '})();'], { env: { ...process.env, ...env } });
}
`;

const runApart = (source: string): Promise<string> => shares(`${apart}\n${source}`);

testRoot('names of others that are no text, and folders that may not be listed, harm nobody', () =>
  runApart(`
    const peer = nodeApart(\`
      fs.writeFileSync(Buffer.concat([Buffer.from('/dev/shm/'), Buffer.alloc(100, 0xff)]), 'x');
      fs.writeFileSync(Buffer.from('/dev/shm/b\\\\xfcro', 'latin1'), 'x');
      fs.writeFileSync('/dev/shm/b\\\\u00fcro \\\\ufffd', 'x');
      say([
        told(() => SharedMemory.create('one', { size: 10 }).size),
        told(() => SharedMemory.open('one').size),
        told(() => SharedMemory.list().map(({ name }) => name).sort().join()),
        fs.readdirSync('/dev/shm').length,
      ]);
      fs.chmodSync('/dev/shm', 0o1733);
      process.setgid(65534);
      process.setuid(65534);
      say([
        told(() => SharedMemory.create('two', { size: 10 }).size),
        told(() => SharedMemory.open('two').size),
        told(() => SharedMemory.list()),
      ]);
    \`, { setup: 'true' });
    assert.deepEqual(JSON.parse(await peer.next()), [10, 10, 'b\\u00fcro \\ufffd,one', 4]);
    assert.deepEqual(JSON.parse(await peer.next()), [10, 10, 'EACCES opendir']);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testRoot('without /proc an object gets its name all the same, and goes with its last user', () =>
  runApart(`
    const peer = nodeApart(\`
      const kept = SharedMemory.create('kept', { size: 10 });
      const living = SharedMemory.create('living', { size: 10, mode: 0o400, lifetime: 'processes' });
      const memory = SharedMemory.create(null, { size: 10 }).map();
      say([
        fs.readdirSync('/dev/shm').sort(), fs.statSync('/dev/shm/living').mode & 0o7777,
        SharedMemory.list().map(({ name, lifetime }) => name + ' ' + lifetime).sort(),
        kept.map().lockFile('exclusive').held,
        told(() => memory.lockFile('shared')),
      ]);
      memory.unmap();
      try { SharedMemory.create(null, { size: 1 }).map().lockFile('shared'); } catch (error) { say(error.message); }
      living.close();
      for (let n = 0; n < 500 && fs.existsSync('/dev/shm/living'); n++) await new Promise((done) => setTimeout(done, 10));
      say(fs.readdirSync('/dev/shm'));
    \`, { setup: 'mkdir /dev/shm/empty && mount --bind /dev/shm/empty /proc && rmdir /dev/shm/empty 2>/dev/null || mount -t tmpfs tmpfs /proc' });
    assert.deepEqual(JSON.parse(await peer.next()), [
      ['kept', 'living'], 0o400, ['kept kernel', 'living processes'], true, 'ERR_MEMMAP_UNSUPPORTED ',
    ]);
    assert.match(await peer.next(), /without \\/proc/);
    assert.deepEqual(JSON.parse(await peer.next()), ['kept']);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testRoot('the first process of a container waits for the reapers, which are its children', () =>
  runApart(`
    const peer = nodeApart(\`
      const reapers = () => fs.readdirSync('/proc').filter((pid) => {
        try { return / \\\\(memmap-reaper\\\\) /.test(fs.readFileSync('/proc/' + pid + '/stat', 'latin1')); } catch { return false; }
      }).length;
      const all = Array.from({ length: 5 }, (_, n) => SharedMemory.create('x' + n, { size: 10, lifetime: 'processes' }));
      const code = await new Promise((done) => cp.spawn('sh', ['-c', 'exit 7']).on('exit', done));
      say([process.pid, code, reapers()]);
      for (const shm of all.slice(1)) shm.close();
      for (let n = 0; n < 500 && reapers() > 1; n++) await new Promise((done) => setTimeout(done, 20));
      say([reapers(), fs.readdirSync('/dev/shm')]);
    \`, { unshare: ['-m', '-p', '-f', '--mount-proc'] });
    assert.deepEqual(JSON.parse(await peer.next()), [1, 7, 5]);
    assert.deepEqual(JSON.parse(await peer.next()), [1, ['x0']]);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testRoot(
  'where the system keeps no marks only the reaper removes, and nobody in use is removed',
  () =>
    runApart(`
    const peer = nodeApart(\`
      const shm = SharedMemory.create('x', { size: 10, lifetime: 'processes' });
      const user = SharedMemory.open('x');
      shm.close();
      await new Promise((done) => setTimeout(done, 200));
      say([fs.readdirSync('/dev/shm'), SharedMemory.list().map(({ lifetime }) => lifetime)]);
      user.close();
      for (let n = 0; n < 500 && fs.existsSync('/dev/shm/x'); n++) await new Promise((done) => setTimeout(done, 10));
      say(fs.readdirSync('/dev/shm'));
    \`, { env: { MEMMAP_DENY: 'xattr' } });
    assert.deepEqual(JSON.parse(await peer.next()), [['x'], ['kernel']]);
    assert.deepEqual(JSON.parse(await peer.next()), []);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testRoot('what is not marked, or is of another user, is swept by nobody', () =>
  runApart(`
    const peer = nodeApart(\`
      // Another program's: the sticky bit is not memmap's.
      fs.writeFileSync('/dev/shm/sticky', 'x', { mode: 0o644 });
      fs.chmodSync('/dev/shm/sticky', 0o1644);
      const made = (uid, kill) => {
        const source = 'const { SharedMemory } = require(' + JSON.stringify(\${JSON.stringify(entry)}) + '); SharedMemory.create("of-" + process.getuid(), { size: 1, mode: 0o666, lifetime: "processes" });'
          + 'for (const pid of require("fs").readdirSync("/proc")) { let words = ""; try { words = require("fs").readFileSync("/proc/" + pid + "/cmdline", "latin1"); } catch {} if (words === "memmap-reaper\\\\\\\\0/dev/shm/of-" + process.getuid() + "\\\\\\\\0") process.kill(Number(pid), "SIGKILL"); }';
        cp.execFileSync(process.execPath, ['-e', source], { uid, gid: uid, cwd: '/', stdio: 'inherit' });
      };
      made(0);
      made(65534);
      say([fs.readdirSync('/dev/shm').sort(), SharedMemory.list().map(({ name, lifetime }) => name + ' ' + lifetime).sort()]);
    \`);
    assert.deepEqual(JSON.parse(await peer.next()), [
      ['of-0', 'of-65534', 'sticky'], ['of-65534 processes', 'sticky kernel'],
    ]);
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testRoot('resize uses the descriptor that a user of other rights was given', () =>
  runApart(`
    const shm = SharedMemory.create(newName('given'), { size: 2 * PAGE });
    const source = 'const shm = SharedMemory.fromFd(3); const m = shm.map({ length: memmap.pageSize }); m.resize(2 * memmap.pageSize); m.resize(4 * memmap.pageSize); say([m.length / memmap.pageSize, shm.size / memmap.pageSize]);'
      + 'try { m.lockFile("exclusive"); } catch (error) { say([error.code, error.syscall, /mode must allow/.test(error.message)]); }';
    const peer = node(source, [], { uid: 65534, gid: 65534, cwd: '/', stdio: ['pipe', 'pipe', 'inherit', shm.fd] });
    assert.deepEqual(JSON.parse(await peer.next()), [4, 4]);
    assert.deepEqual(JSON.parse(await peer.next()), ['EACCES', 'open', true]);
    assert.equal(shm.size, 4 * PAGE);
    shm.unlink();
  `),
);

test('a creator without O_TMPFILE is not disturbed by whoever looks while it fills', () =>
  runApart(`
    const source = 'const cp = require("node:child_process"); for (const lifetime of ["kernel", "processes"]) SharedMemory.create(argv[0] + lifetime, { size: 100, lifetime, initialize(m) {'
      + 'cp.execFileSync(process.execPath, ["-e", "require(" + JSON.stringify(argv[1]) + ").SharedMemory.list()"]); m.write(0, "whole"); } });'
      + 'say(["kernel", "processes"].map((each) => SharedMemory.open(argv[0] + each).map().read(0, 5).toString()));'
      + 'say(fs.readdirSync("/dev/shm").filter((each) => each.startsWith(".memmap-" + process.pid + "-")));';
    const name = newName('filled');
    const peer = node(source, [name, entry], { env: { ...process.env, MEMMAP_DENY: 'tmpfile' } });
    assert.deepEqual(JSON.parse(await peer.next()), ['whole', 'whole']);
    assert.deepEqual(JSON.parse(await peer.next()), []);
    await peer.kill();
    SharedMemory.unlink(name + 'kernel');
  `));

test('SIGTERM to a whole service leaves nothing behind', () =>
  shares(`
    const name = newName('service');
    const peer = node('process.on("SIGTERM", () => setTimeout(() => process.exit(), 50)); globalThis.kept = SharedMemory.create(argv[0], { size: 10, lifetime: "processes" }); say("up"); await ask();', [name]);
    assert.equal(await peer.next(), 'up');
    const [reaper] = reapersOf(name);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGQUIT', 'SIGALRM']) process.kill(reaper, signal);
    assert.deepEqual(reapersOf(name), [reaper]);
    await peer.kill('SIGTERM');
    await until(() => !there(name), 'the name is gone');
    await until(() => reapersOf(name).length === 0, 'the reaper is gone');
  `));

test('one who waits for a size gets the object that has the name by then', () =>
  shares(`
    const name = newName('late');
    fs.writeFileSync('/dev/shm/' + name, '');
    const peer = node('say("waiting"); const shm = SharedMemory.open(argv[0], { timeout: Infinity }); say(String(shm.size)); shm.close();', [name]);
    assert.equal(await peer.next(), 'waiting');
    await until(() => fs.readdirSync('/proc/' + peer.child.pid + '/fd').some((fd) => {
      try { return fs.readlinkSync('/proc/' + peer.child.pid + '/fd/' + fd) === '/dev/shm/' + name; } catch { return false; }
    }), 'it has the first one open');
    fs.writeFileSync('/dev/shm/' + name + '-new', 'x'.repeat(100));
    fs.renameSync('/dev/shm/' + name + '-new', '/dev/shm/' + name);
    assert.equal(await peer.next(), '100');
    SharedMemory.unlink(name);
  `));

test('waiting for a size ends although the clocks stand still, as a test may make them', () =>
  shares(`
    const name = newName('unsized');
    fs.writeFileSync('/dev/shm/' + name, '');
    performance.now = () => 0;
    Date.now = () => 0;
    assert.throws(() => SharedMemory.open(name, { timeout: 30 }), { code: 'ERR_MEMMAP_BUSY' });
  `));

test('made, closed and made again at once it is never there already', () =>
  shares(`
    const name = newName('again');
    for (let n = 0; n < 200; n++) SharedMemory.create(name, { size: 10, lifetime: 'processes' }).close();
    await until(() => !there(name), 'the name is gone');
  `));

test('an object whose name is being removed is waited for, and no other one is removed', () =>
  shares(`
    const { native } = require(join(entry, '..', 'binding.js'));
    const SHARED = 1, EXCLUSIVE = 2;
    const fdOf = (name) => fs.openSync('/dev/shm/' + name, 'r+');
    // What a reaper does that is slow: it has found that it was the last, and looks whose name it is.
    const name = newName('slow');
    const reaper = node('const { native } = require(argv[1]); const fd = fs.openSync("/dev/shm/" + argv[0], "r+");'
      + 'say([native.lockPresence(fd, 2), native.lockRemoval(fd, 2)]); await ask();'
      + 'setTimeout(() => { fs.unlinkSync("/dev/shm/" + argv[0]); fs.closeSync(fd); say("removed"); }, 300);', [name, join(entry, '..', 'binding.js')]);
    fs.writeFileSync('/dev/shm/' + name, 'dead');
    assert.equal(await reaper.next(), '[null,null]');
    reaper.tell('go on');
    await later(100);
    // Both wait for it: the old one is neither there for create nor to be unlinked.
    const made = SharedMemory.create(name, { size: 20 });
    assert.equal(await reaper.next(), 'removed');
    assert.equal(fs.statSync('/dev/shm/' + name).size, 20);
    // unlink() keeps others from it while it looks.
    const fd = fdOf(name);
    assert.equal(native.lockRemoval(fd, EXCLUSIVE), undefined);
    const other = node('try { SharedMemory.unlink(argv[0]); say("unlinked"); } catch (error) { say(error.code + " " + error.syscall); }', [name]);
    await later(300);
    assert.ok(there(name));
    fs.unlinkSync('/dev/shm/' + name);
    const next = SharedMemory.create(name, { size: 30 });
    fs.closeSync(fd);
    // The name that it was told is there, so it goes: but it was looked at again.
    assert.equal(await other.next(), 'unlinked');
    assert.throws(() => made.unlink(), { code: 'ENOENT', syscall: 'shm_unlink' });
    assert.ok(!there(name));
    next.close();
  `));

test('the reaper and the sweep take no name while somebody else is at it', () =>
  shares(`
    const { native } = require(join(entry, '..', 'binding.js'));
    const EXCLUSIVE = 2;
    const name = newName('held');
    for (const reaped of [true, false]) {
      const shm = SharedMemory.create(name, { size: 10, lifetime: 'processes' });
      const [reaper] = reapersOf(name);
      const fd = fs.openSync('/dev/shm/' + name, 'r+');
      assert.equal(native.lockRemoval(fd, EXCLUSIVE), undefined);
      if (!reaped) {
        process.kill(reaper, 'SIGKILL');
        await until(() => reapersOf(name).length === 0, 'the reaper is gone');
      }
      shm.close();
      if (reaped) await until(() => native.presenceOf(fd) === EXCLUSIVE, 'the reaper has found that it was the last');
      SharedMemory.list();
      await later(100);
      assert.ok(there(name));
      // As whoever has that lock may do: the name is another object's now.
      fs.unlinkSync('/dev/shm/' + name);
      const next = SharedMemory.create(name, { size: 20 });
      fs.closeSync(fd);
      await until(() => reapersOf(name).length === 0, 'the reaper is gone');
      SharedMemory.list();
      assert.equal(fs.statSync('/dev/shm/' + name).size, 20);
      next.unlink();
      next.close();
    }
  `));

test('a promise of initialize is refused, and nobody hears of it again', () =>
  shares(`
    const vm = require('node:vm');
    const [name, turns] = [newName('async'), []];
    process.on('unhandledRejection', (error) => turns.push(error));
    const foreign = vm.runInNewContext('(async (m) => { await 0; m.buffer[0] = 1; })');
    const thenable = () => ({ then(_, reject) { reject(new Error('no')); } });
    for (const initialize of [async (m) => { await 0; m.buffer[0] = 1; }, foreign, thenable]) {
      for (const how of [name, null]) {
        assert.throws(() => SharedMemory.create(how, { size: 10, initialize }), { code: 'ERR_MEMMAP_ARGUMENT', argument: 'options.initialize' });
      }
    }
    await later(50);
    assert.deepEqual(turns, []);
    assert.ok(!there(name));
  `));

test('workers that are terminated at any moment leave no descriptor', () =>
  shares(
    `
    const path = scratch(5000);
    const base = SharedMemory.create(newName('base'), { size: PAGE });
    const open = () => fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } })
      .filter((each) => /memfd|memmap-test|scratch/.test(each)).length;
    const bodies = {
      memory: 'for (;;) memmap.SharedMemory.create(null, { size: 1 << 16 }).close();',
      open: 'for (;;) memmap.SharedMemory.open(workerData.name).close();',
      lock: 'const m = memmap.mapFileSync(workerData.path); for (;;) m.lockFile("shared").unlock();',
    };
    const before = open();
    for (const body of Object.values(bodies)) {
      for (let round = 0; round < 8; round++) {
        const worker = startWorker('parentPort.postMessage(1);' + body, { name: base.name, path });
        await once(worker, 'message');
        await later(5 + Math.random() * 30);
        await worker.terminate();
      }
    }
    assert.equal(open(), before);
    base.unlink();
  `,
    { timeout: 55_000 },
  ));
