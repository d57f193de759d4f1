// Lifetime 'processes': gone with its last user, however that ended, and not before.
import { namesLeft, removeNames } from '../helpers/shared';
import { shares } from '../helpers/shared-program';
import { withGc } from './program';

const USER = `
  const shm = argv[1] === 'create'
    ? SharedMemory.create(argv[0], { size: 100, lifetime: 'processes' })
    : SharedMemory.open(argv[0]);
  const m = shm.map();
  if (argv[2] === 'close') shm.close();
  say('ready');
  await ask();
  m.unmap(); shm.close();
  say('left');
  await ask();
`;

const program = (source: string) => `
const USER = ${JSON.stringify(USER)};
const name = newName('life');
async function user(how, what = 'keep', options) {
  const it = node(USER, [name, how, what], options);
  assert.equal(await it.next(), 'ready');
  return it;
}
const gone = () => until(() => !there(name), 'the name is gone');
const noReaper = () => until(() => reapersOf(name).length === 0, 'the reaper is gone');
${source}
`;

const run = (source: string, options = {}): Promise<string> => shares(program(source), options);

afterAll(() => {
  expect(removeNames()).toEqual([]);
  expect(namesLeft()).toEqual([]);
});

test('goes when all of its users were killed, its creator first', () =>
  run(`
    const creator = await user('create');
    const others = [await user('open'), await user('open'), await user('open')];
    await creator.kill();
    for (const other of others) {
      assert.ok(there(name));
      assert.equal(reapersOf(name).length, 1);
      SharedMemory.open(name).close();
      await other.kill();
    }
    await gone();
    await noReaper();
    assert.throws(() => SharedMemory.open(name), { code: 'ENOENT', syscall: 'shm_open' });
  `));

test('stays for one user of many, who can still write and be joined', () =>
  run(`
    const creator = await user('create');
    const last = await user('open', 'close');
    const others = [await user('open'), await user('open')];
    for (const each of [creator, ...others]) await each.kill();
    // Its mapping alone keeps it.
    assert.deepEqual(SharedMemory.list().filter((entry) => entry.name === name).map(({ lifetime }) => lifetime), ['processes']);
    const joined = SharedMemory.open(name);
    await last.kill();
    assert.deepEqual(SharedMemory.list().filter((entry) => entry.name === name).length, 1);
    joined.map().write(0, 'still here');
    joined.close();
    assert.ok(there(name));
    for (const m of memmap.registry.mappings()) m.unmap();
    await gone();
    await noReaper();
  `));

test('goes when its users leave by themselves', () =>
  run(`
    const users = [await user('create'), await user('open', 'close')];
    for (const each of users) {
      assert.ok(there(name));
      each.tell('leave');
      assert.equal(await each.next(), 'left');
    }
    await gone();
    // They are still there.
    for (const each of users) assert.equal(each.child.exitCode, null);
  `));

test('goes by the next one who looks, when its reaper was killed too', () =>
  run(`
    const creator = await user('create');
    const [reaper] = reapersOf(name);
    process.kill(reaper, 'SIGKILL');
    await noReaper();
    const second = await user('open');
    await creator.kill();
    SharedMemory.open(name).close();
    await second.kill();
    assert.ok(there(name));
    // Nobody has it, so it is not there for anybody.
    assert.throws(() => SharedMemory.open(name), { code: 'ENOENT', syscall: 'shm_open' });
    assert.ok(!there(name));
    const third = await user('create');
    process.kill(reapersOf(name)[0], 'SIGKILL');
    await third.kill();
    assert.deepEqual(SharedMemory.list().filter((entry) => entry.name === name), []);
    assert.ok(!there(name));
    const fourth = await user('create');
    process.kill(reapersOf(name)[0], 'SIGKILL');
    await noReaper();
    await fourth.kill();
    const fifth = SharedMemory.create(name, { size: 5 });
    assert.equal(fifth.size, 5);
    fifth.unlink();
  `));

test('goes when a whole process group was killed', () =>
  run(`
    const leader = node(\`
      const { spawn } = require('node:child_process');
      const start = (how) => spawn(process.execPath, ['-e', argv[1], '--', argv[0], how], { stdio: ['pipe', 'pipe', 'inherit'] });
      const ready = (child) => new Promise((done) => child.stdout.once('data', done));
      const one = start('create'); await ready(one);
      const two = start('open'); await ready(two);
      say('ready');
      await ask();
    \`, [name, program(USER)], { detached: true });
    // What it has is kept by who asks, and that one by whoever could answer.
    function program(body) {
      return 'const memmap = require(' + JSON.stringify(entry) + '); const { SharedMemory } = memmap; const argv = process.argv.slice(1);'
        + 'const say = console.log; const ask = () => new Promise((answer) => setInterval(() => answer === 0, 1000));(async () => {' + body + '})();';
    }
    assert.equal(await leader.next(), 'ready');
    assert.equal(reapersOf(name).length, 1);
    process.kill(-leader.child.pid, 'SIGKILL');
    await gone();
    await noReaper();
  `));

test('the reaper is one small process of its own, that holds nothing of its creator', () =>
  run(`
    const creator = await user('create');
    const [pid] = reapersOf(name);
    const of = (field) => new RegExp('^' + field + ':\\\\s+(\\\\d+)', 'm').exec(fs.readFileSync('/proc/' + pid + '/status', 'utf8'))[1];
    assert.ok(Number(of('VmRSS')) < 1000, of('VmRSS') + ' KiB');
    assert.notEqual(Number(of('PPid')), creator.child.pid);
    assert.deepEqual(fs.readdirSync('/proc/' + pid + '/fd'), ['3']);
    assert.equal(fs.readlinkSync('/proc/' + pid + '/cwd'), '/');
    const [, , group, session] = / \\((.*)\\) . \\d+ (\\d+) (\\d+)/.exec(fs.readFileSync('/proc/' + pid + '/stat', 'utf8'));
    assert.notEqual(Number(session), creator.child.pid);
    // No child of the creator's is left, not even a dead one.
    assert.equal(fs.readFileSync('/proc/' + creator.child.pid + '/task/' + creator.child.pid + '/children', 'utf8'), '');
    await creator.kill();
    await noReaper();
  `));

test('children of Node itself end as ever beside a reaper', () =>
  run(`
    const ends = [];
    const children = Array.from({ length: 10 }, (_, code) => spawn('sh', ['-c', 'exit ' + code]));
    const exits = children.map((child) => once(child, 'exit'));
    const objects = Array.from({ length: 10 }, () => SharedMemory.create(newName('many'), { size: 1, lifetime: 'processes' }));
    assert.deepEqual((await Promise.all(exits)).map(([code]) => code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const all = objects.map((shm) => shm.name);
    for (const shm of objects) shm.close();
    await until(() => !all.some(there), 'all are gone');
  `));

test('unlinked by hand it is gone at once, and the next of its name is not touched', () =>
  run(`
    const creator = await user('create');
    SharedMemory.unlink(name);
    assert.ok(!there(name));
    const next = SharedMemory.create(name, { size: 7 });
    await creator.kill();
    await noReaper();
    assert.ok(there(name));
    assert.equal(SharedMemory.open(name).size, 7);
    next.unlink();
  `));

test('stays until close() or the end of its thread, also where nothing refers to it', () =>
  run(
    `
    (() => { SharedMemory.create(name, { size: 10, lifetime: 'processes' }).map().write(0, 'x'); })();
    for (let round = 0; round < 20; round++) { gc(); await turn(); }
    assert.equal(memmap.registry.mappings().length, 0);
    assert.ok(there(name));
    const other = await user('open');
    assert.ok(there(name));
    await other.kill();
    assert.ok(there(name));
    SharedMemory.unlink(name);
    const worker = startWorker('globalThis.kept = memmap.SharedMemory.create(workerData, { size: 10, lifetime: "processes" }); parentPort.postMessage(1); setInterval(() => 0, 1000);', name);
    await once(worker, 'message');
    assert.ok(there(name));
    await worker.terminate();
    await gone();
  `,
    withGc,
  ));

test('is passed on by stdio, and kept by whoever has it', () =>
  run(`
    const shm = SharedMemory.create(name, { size: 10, lifetime: 'processes' });
    const child = node('const shm = SharedMemory.fromFd(3); shm.map().write(0, "child"); say("ready"); await ask();', [],
      { stdio: ['pipe', 'pipe', 'inherit', shm.fd] });
    assert.equal(await child.next(), 'ready');
    const m = shm.map();
    assert.equal(m.read(0, 5).toString(), 'child');
    m.unmap();
    shm.close();
    const again = SharedMemory.open(name);
    assert.equal(again.map().read(0, 5).toString(), 'child');
    for (const each of memmap.registry.mappings()) each.unmap();
    again.close();
    assert.ok(SharedMemory.list().some((entry) => entry.name === name));
    await child.kill();
    await gone();
  `));

test('creating and killing at random leaves nothing', () =>
  run(
    `
    const source = 'const parent = process.ppid; for (let n = 0; process.ppid === parent; n++) { const shm = SharedMemory.create(argv[0] + "-" + n % 3, { size: 5000, lifetime: "processes", exclusive: false }); shm.map(); if (n % 3 == 2) shm.unlink(); if (n === 5) say("on"); shm.close(); for (const m of memmap.registry.mappings()) m.unmap(); }';
    for (let round = 0; round < 8; round++) {
      const all = [node(source, [name]), node(source, [name])];
      for (const each of all) await each.next();
      await later(Math.random() * 20);
      for (const each of all) await each.kill();
    }
    SharedMemory.list();
    await until(() => !fs.readdirSync('/dev/shm').some((each) => each.startsWith(name)), 'nothing is left');
  `,
    { timeout: 55_000 },
  ));

test('is never taken from one who still uses it, however many come and go and are killed', () =>
  run(
    `
    const creator = await user('create');
    const keeper = await user('open', 'close');
    await creator.kill();
    const inode = fs.statSync('/dev/shm/' + name).ino;
    const source = 'const parent = process.ppid; for (let n = 0; process.ppid === parent; n++) { const shm = SharedMemory.open(argv[0]); if (n % 2) shm.map(); shm.close(); if (n % 10 === 0) SharedMemory.list(); for (const m of memmap.registry.mappings()) m.unmap(); if (n === 20) say("on"); }';
    for (let round = 0; round < 6; round++) {
      const all = [node(source, [name]), node(source, [name]), node(source, [name])];
      for (const each of all) assert.equal(await each.next(), 'on');
      if (round === 2) process.kill(reapersOf(name)[0], 'SIGKILL');
      for (const each of all) {
        await later(Math.random() * 10);
        await each.kill();
      }
      assert.equal(fs.statSync('/dev/shm/' + name).ino, inode);
    }
    SharedMemory.open(name).close();
    await keeper.kill();
    await until(() => { SharedMemory.list(); return !there(name); }, 'the name is gone');
  `,
    { timeout: 55_000 },
  ));
