// Other processes: what the kernel lists of them is what we list, and what may not be looked at is said clearly.
import { survives, testWhere } from './program';

const kit = `
const { spawn } = require('node:child_process');
const regionsOf = (pid) => memmap.addressSpace.regions({ pid });
const listOf = (pid) => fs.readFileSync('/proc/' + pid + '/maps', 'latin1').trimEnd().split('\\n').filter(Boolean).map((line) => {
  const [, from, to, mode, offset, major, minor, inode, path] = /^(\\w+)-(\\w+) (\\S+) (\\w+) (\\w+):(\\w+) (\\d+) *(.*)$/.exec(line);
  return {
    start: '0x' + BigInt('0x' + from).toString(16), end: '0x' + BigInt('0x' + to).toString(16),
    protection: mode.slice(0, 3), shared: mode[3] === 's', offset: parseInt(offset, 16), inode: Number(inode),
    device: parseInt(major, 16) + ':' + parseInt(minor, 16), path: path === '' ? undefined : path,
  };
});
const columnsOf = ({ start, end, protection, shared, offset, inode, device, path }) =>
  ({ start, end, protection, shared, offset, inode, device, path });
const sumOf = (pid, name) => [...fs.readFileSync('/proc/' + pid + '/smaps', 'latin1').matchAll(new RegExp('^' + name + ': +(\\\\d+) kB', 'gm'))]
  .reduce((sum, [, kB]) => sum + kB * 1024, 0);
// A program that has said that it is ready, and does nothing any more.
async function python(source) {
  const program = 'said = "ready"\\n' + source + '\\nprint(said, flush=True)\\nimport sys; sys.stdin.read()';
  const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'ignore'] });
  const [line] = await once(child.stdout, 'data');
  child.said = String(line).trim();
  return child;
}
async function end(child) {
  child.stdin.end();
  await once(child, 'exit');
}
function refusal(call) {
  try { call(); } catch (error) { return error; }
  assert.fail('it was not refused');
}
`;

test('what is listed of another process is what the kernel lists', () =>
  survives(`${kit}
    const child = await python('');
    const found = regionsOf(child.pid).map((region) => region.toJSON());
    assert.deepEqual(found.map(columnsOf), listOf(child.pid));
    assert.ok(found.length > 20);
    for (const [field, name] of [['resident', 'Rss'], ['swapped', 'Swap']]) {
      assert.equal(found.reduce((sum, row) => sum + row[field], 0), sumOf(child.pid, name), name);
    }
    assert.equal(found.reduce((sum, { dirty }) => sum + dirty, 0), sumOf(child.pid, 'Shared_Dirty') + sumOf(child.pid, 'Private_Dirty'));
    assert.equal(found.reduce((sum, { hugePages }) => sum + hugePages, 0), sumOf(child.pid, 'AnonHugePages'));
    const kinds = new Set(found.map(({ owner }) => owner.kind));
    for (const kind of ['executable', 'library', 'stack', 'libc-heap', 'kernel']) assert.ok(kinds.has(kind), kind);
    // No V8 is in it, and nothing of ours.
    for (const kind of ['v8-heap', 'v8-code', 'v8-cage', 'wasm', 'mapping', 'retired']) assert.ok(!kinds.has(kind), kind);
    const { regions: counted, mapped, limit } = memmap.addressSpace.fragmentation({ pid: child.pid });
    assert.equal(counted, found.filter(({ start }) => BigInt(start) < 2n ** 63n).length);
    assert.equal(mapped, found.filter(({ start, protection }) => BigInt(start) < 2n ** 63n && protection !== '---').reduce((sum, { length }) => sum + length, 0));
    assert.ok(limit > 0);
    await end(child);
    assert.deepEqual(found.filter(({ resident }) => resident === undefined), []);
  `));

test('shared memory of every kind, files and deleted files', () =>
  survives(`${kit}
    const path = scratch(3 * PAGE);
    const gone = scratch(3 * PAGE);
    const odd = join(folder, 'a new\\nline and a \\\\ backslash');
    fs.writeFileSync(odd, 'x');
    // No code is in it, whatever its name says.
    const data = join(folder, 'data.so');
    fs.writeFileSync(data, 'x');
    const child = await python([
      'import mmap, os, ctypes',
      'keep = [mmap.mmap(-1, ' + 5 * PAGE + ')]',
      'libc = ctypes.CDLL(None)',
      'fd = os.memfd_create("named"); os.ftruncate(fd, ' + 6 * PAGE + '); keep.append(mmap.mmap(fd, 0))',
      'for name in ' + JSON.stringify([path, gone, odd, data]) + ': keep.append(mmap.mmap(os.open(name, os.O_RDONLY), 0, access=mmap.ACCESS_READ))',
      'os.unlink(' + JSON.stringify(gone) + ')',
      'shm = libc.shmget(0, ' + 7 * PAGE + ', 0o1600); libc.shmat.restype = ctypes.c_void_p; at = libc.shmat(shm, None, 0); libc.shmctl(shm, 0, None)',
      'keep.append(mmap.mmap(-1, ' + 9 * PAGE + ', flags=mmap.MAP_PRIVATE))',
    ].join('\\n'));
    const rows = regionsOf(child.pid);
    const shown = (wanted) => rows.filter(wanted).map(({ owner, length, shared, protection }) =>
      [owner.kind, owner.label, length / PAGE, shared, protection, owner.certain]);
    const name = (text) => text.split('/').at(-1);
    assert.deepEqual(shown(({ path }) => path === '/dev/zero (deleted)'), [['shared-memory', 'zero', 5, true, 'read-write', true]]);
    assert.deepEqual(shown(({ path }) => path?.startsWith('/memfd:')), [['shared-memory', 'memfd:named', 6, true, 'read-write', true]]);
    assert.deepEqual(shown(({ path }) => path?.startsWith('/SYSV')), [['shared-memory', 'SYSV00000000', 7, true, 'read-write', true]]);
    assert.deepEqual(shown((row) => row.path === path), [['file', name(path), 3, true, 'read', true]]);
    assert.deepEqual(shown((row) => row.path === gone + ' (deleted)'), [['file', name(gone), 3, true, 'read', true]]);
    assert.deepEqual(shown((row) => row.path === odd), [['file', name(odd), 1, true, 'read', true]]);
    assert.deepEqual(shown((row) => row.path === data), [['file', 'data.so', 1, true, 'read', true]]);
    assert.equal(rows.find((row) => row.path === path).inode, fs.statSync(path).ino);
    await end(child);
  `));

// Kernels that do not hold up who maps while they list (6.15 and later) list it twice: one listing in a hundred here.
test('a region that grows while it is listed is in the list once', () =>
  survives(`${kit}
    const child = spawn('python3', ['-c', [
      'import ctypes',
      'libc = ctypes.CDLL(None)',
      'libc.mmap.restype = ctypes.c_void_p',
      'libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]',
      'protect = libc.mprotect; protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]',
      'page = ' + PAGE,
      'at = libc.mmap(None, 1000 * page, 0, 0x22, -1, 0)',
      'for i in range(0, 1000, 2): protect(at + i * page, page, 3)',
      'print(at, flush=True)',
      'while True: protect(at + page, page, 3); protect(at + page, page, 0)',
    ].join('\\n')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    let wrong = [];
    for (let turns = 0; turns < 1000 && wrong.length === 0; turns++) {
      const listed = regionsOf(child.pid);
      wrong = listed.filter((region, at) => at > 0 && region.start < listed[at - 1].end).map(String);
    }
    child.kill();
    await once(child, 'exit');
    assert.deepEqual(wrong, []);
  `));

test('a child that is Node has its V8 told apart, and its own mappings are files and memory', () =>
  survives(`${kit}
    const path = scratch(3 * PAGE);
    const program = 'const memmap = require(' + JSON.stringify(entry) + '); const kept = memmap.mapFileSync(' + JSON.stringify(path) + ');'
      + 'const wasm = new WebAssembly.Memory({ initial: 1 }); console.log("ready"); process.stdin.on("end", () => [kept.state, wasm.buffer]).resume();';
    const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    const rows = regionsOf(child.pid);
    const sum = {};
    for (const { owner, length } of rows) sum[owner.kind] = (sum[owner.kind] ?? 0) + length;
    assert.ok(sum['v8-heap'] > 2e6 && sum['v8-code'] > 3e7 && sum.wasm >= 2 ** 33 && sum['thread-stack'] > 0, JSON.stringify(sum));
    assert.deepEqual(rows.filter((row) => row.path === path).map(({ owner }) => [owner.kind, owner.mapping]), [['file', undefined]]);
    const own = memmap.addressSpace.regions({ pid: process.pid });
    const mine = memmap.mapAnonymous(PAGE);
    assert.ok(memmap.addressSpace.regions({ pid: process.pid }).some(({ owner }) => owner.mapping === mine));
    assert.ok(own.length > 0);
    await end(child);
  `));

test('a process that is gone is ESRCH; one that only waits to be seen has no regions', () =>
  survives(`${kit}
    const child = await python('');
    const before = regionsOf(child.pid);
    await end(child);
    for (const look of [regionsOf, (pid) => memmap.addressSpace.fragmentation({ pid })]) {
      const error = refusal(() => look(child.pid));
      assert.deepEqual([error.name, error.code, error.syscall, error.errno], ['MapError', 'ESRCH', 'open', -3]);
      assert.match(error.message, new RegExp('no process ' + child.pid));
    }
    // What was not read in time cannot be known any more.
    assert.deepEqual([before[0].resident, before[0].dirty], [undefined, undefined]);
    assert.equal('resident' in before[0].toJSON(), false);
    assert.ok(before[0].length > 0);
    assert.equal(refusal(() => regionsOf(2 ** 31 - 1)).code, 'ESRCH');

    const parent = await python('import os\\nsaid = os.fork()\\nif said == 0: os._exit(0)');
    const zombie = Number(parent.said);
    while (!/^State:\\tZ/m.test(fs.readFileSync('/proc/' + zombie + '/status', 'latin1'))) await turn();
    assert.deepEqual(regionsOf(zombie), []);
    const { regions: none, free, fragmentation, addressSpaceBits } = memmap.addressSpace.fragmentation({ pid: zombie });
    assert.deepEqual([none, free, fragmentation, addressSpaceBits], [0, 0, 0, 0]);
    await end(parent);
    const kernelThread = fs.existsSync('/proc/2/comm') && fs.readFileSync('/proc/2/comm', 'latin1').trim() === 'kthreadd';
    if (kernelThread) assert.deepEqual(regionsOf(2), []);
  `));

const isRoot = process.getuid?.() === 0;

testWhere(isRoot, 'only root may become somebody else')(
  'the process of another user is EPERM with a hint; oneself can always be looked at',
  () =>
    survives(`${kit}
    const child = await python('');
    assert.ok(regionsOf(child.pid).length > 0);
    const mapping = memmap.mapAnonymous(PAGE);
    process.setgroups([]);
    process.setgid(65534);
    process.setuid(65534);
    for (const look of [regionsOf, (pid) => memmap.addressSpace.fragmentation({ pid })]) {
      const error = refusal(() => look(child.pid));
      assert.deepEqual([error.name, error.code, error.syscall, error.errno], ['MapError', 'EPERM', 'open', -1]);
      assert.match(error.hint, new RegExp('process ' + child.pid + ' .*user'));
    }
    const own = memmap.addressSpace.regions();
    assert.equal(own.filter(({ owner }) => owner.mapping === mapping).length, 1);
    assert.ok(own.some(({ owner }) => owner.kind === 'thread-stack'));
    assert.ok(own.some(({ resident }) => resident > 0));
    await end(child);
  `),
);
