// Shared memory with programs that are not Node: Python and C, in both directions.
import { execFileSync } from 'node:child_process';
import { namesLeft, removeNames } from '../helpers/shared';
import { hasCompiler, shares } from '../helpers/shared-program';
import { testWhere } from './program';

afterAll(() => {
  removeNames();
  expect(namesLeft()).toEqual([]);
});

function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import multiprocessing.shared_memory'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

const testPython = testWhere(hasPython(), 'no Python 3.8 or later here');
const testC = testWhere(hasCompiler(), 'no C compiler here');

testPython("Python sees Node's, and Node what Python writes", () =>
  shares(`
    const shm = SharedMemory.create(newName('py'), { size: 1000 });
    const m = shm.map();
    m.buffer.write('from node');
    // Its tracker would unlink the name when Python ends, before 3.13: it is told to forget it.
    const peer = python(\`
import sys
from multiprocessing import shared_memory, resource_tracker
s = shared_memory.SharedMemory(name=sys.argv[1])
resource_tracker.unregister(s._name, 'shared_memory')
print(s.name, s.size, bytes(s.buf[0:9]).decode(), flush=True)
s.buf[0:6] = b'python'
print('written', flush=True)
sys.stdin.readline()
s.close()
\`, [shm.name]);
    assert.equal(await peer.next(), shm.name + ' 1000 from node');
    assert.equal(await peer.next(), 'written');
    assert.equal(m.buffer.toString('latin1', 0, 9), 'pythonode');
    peer.tell('done');
    assert.deepEqual(await peer.ended, [0, null]);
    assert.ok(there(shm.name));
    shm.unlink();
  `),
);

testPython("Node sees Python's, by the name that Python gave it", () =>
  shares(`
    const name = newName('py');
    const peer = python(\`
import sys
from multiprocessing import shared_memory
for name in (sys.argv[1], None):
    s = shared_memory.SharedMemory(name=name, create=True, size=5000)
    s.buf[0:6] = b'python'
    print(s.name, flush=True)
    print(sys.stdin.readline() and bytes(s.buf[4990:5000]).decode(), flush=True)
    s.close()
    s.unlink()
\`, [name]);
    for (const expected of [name, undefined]) {
      const given = await peer.next();
      if (expected !== undefined) assert.equal(given, expected);
      const shm = SharedMemory.open(given);
      assert.deepEqual([shm.name, shm.size, shm.access], [given, 5000, 'read-write']);
      const m = shm.map();
      assert.equal(m.buffer.toString('latin1', 0, 6), 'python');
      m.buffer.write('0123456789', 4990);
      peer.tell('look');
      assert.equal(await peer.next(), '0123456789');
      await until(() => !there(given), 'Python has unlinked it');
      assert.equal(m.buffer.toString('latin1', 0, 6), 'python');
    }
    assert.deepEqual(await peer.ended, [0, null]);
  `),
);

testPython("Python's tracker unlinks what Python only opened, and Node keeps what it has", () =>
  shares(`
    const shm = SharedMemory.create(newName('tracked'), { size: 10 });
    const m = shm.map();
    m.buffer.write('mine');
    const peer = python(\`
import sys
from multiprocessing import shared_memory
s = shared_memory.SharedMemory(name=sys.argv[1])
print(sys.version_info >= (3, 13), flush=True)
s.close()
\`, [shm.name]);
    const tracks = (await peer.next()) === 'False';
    await peer.ended;
    if (tracks) await until(() => !there(shm.name), 'the tracker has unlinked it');
    // Gone or not, ours is ours.
    assert.equal(m.buffer.toString('latin1', 0, 4), 'mine');
    assert.equal(shm.map().read(0, 4).toString(), 'mine');
    if (tracks) assert.throws(() => shm.unlink(), { code: 'ENOENT', syscall: 'shm_unlink' });
    else shm.unlink();
  `),
);

const C = `
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words) {
  char name[300], line[100];
  snprintf(name, sizeof name, "/%s", words[2]);
  int creates = words[1][0] == 'c';
  int fd = shm_open(name, O_RDWR | (creates ? O_CREAT | O_EXCL : 0), 0600);
  if (fd < 0) { puts("shm_open failed"); fflush(stdout); return 1; }
  if (creates) { puts("no size"); fflush(stdout); fgets(line, sizeof line, stdin); ftruncate(fd, 100); }
  struct stat found;
  fstat(fd, &found);
  char *at = mmap(0, (size_t)found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  printf("%ld %o '%s'\\\\n", (long)found.st_size, found.st_mode & 07777, at);
  strcpy(at, "from C");
  puts("written"); fflush(stdout);
  fgets(line, sizeof line, stdin);
  printf("'%s'\\\\n", at); fflush(stdout);
  return 0;
}
`;

testC("C sees Node's", () =>
  shares(`
    const program = buildC(\`${C}\`);
    const shm = SharedMemory.create(newName('c'), { size: 300 });
    const m = shm.map();
    m.write(0, 'from node');
    const peer = talkTo(program, ['open', shm.name]);
    assert.equal(await peer.next(), "300 600 'from node'");
    assert.equal(await peer.next(), 'written');
    assert.equal(m.read(0, 7).toString(), 'from C\\0');
    m.write(0, 'and back\\0');
    peer.tell('look');
    assert.equal(await peer.next(), "'and back'");
    assert.deepEqual(await peer.ended, [0, null]);
    shm.unlink();
  `),
);

testC("Node sees C's, which is there before it has a size", () =>
  shares(`
    const program = buildC(\`${C}\`);
    const name = newName('c');
    const peer = talkTo(program, ['create', name]);
    assert.equal(await peer.next(), 'no size');
    const busy = { code: 'ERR_MEMMAP_BUSY', path: name, message: /no size yet/ };
    assert.throws(() => SharedMemory.open(name), busy);
    assert.throws(() => SharedMemory.open(name, { timeout: 20 }), busy);
    assert.throws(() => SharedMemory.create(name, { size: 1 }), { code: 'EEXIST', syscall: 'shm_open' });
    const waiter = node('const shm = SharedMemory.open(argv[0], { timeout: 20_000 }); say(shm.size);', [name]);
    peer.tell('size it');
    assert.equal(await waiter.next(), '100');
    assert.equal(await peer.next(), "100 600 ''");
    assert.equal(await peer.next(), 'written');
    const m = SharedMemory.open('/' + name).map();
    assert.equal(m.read(0, 6).toString(), 'from C');
    m.write(0, 'from node\\0');
    peer.tell('look');
    assert.equal(await peer.next(), "'from node'");
    await peer.ended;
    SharedMemory.unlink(name);
  `),
);

testC('its creator is killed between making and sizing it', () =>
  shares(`
    const program = buildC(\`${C}\`);
    const name = newName('c');
    const peer = talkTo(program, ['create', name]);
    assert.equal(await peer.next(), 'no size');
    await peer.kill();
    assert.throws(() => SharedMemory.open(name, { timeout: 30 }), { code: 'ERR_MEMMAP_BUSY', hint: /exited before it could/ });
    assert.throws(() => SharedMemory.create(name, { size: 5, exclusive: false }), { code: 'ERR_MEMMAP_BUSY' });
    assert.deepEqual(SharedMemory.list().filter((entry) => entry.name === name).map(({ size }) => size), [0]);
    SharedMemory.unlink(name);
    SharedMemory.create(name, { size: 5 }).unlink();
  `),
);

testPython(
  'Python gets memory without a name by its descriptor, and cannot write what is sealed',
  () =>
    shares(`
    const shm = SharedMemory.create(null, { size: 4000 });
    const m = shm.map();
    shm.seal('future-write', 'grow');
    m.buffer.write('read me');
    const peer = python(\`
import mmap, os, sys
size = os.fstat(3).st_size
m = mmap.mmap(3, size, prot=mmap.PROT_READ)
print(size, m[0:7].decode(), flush=True)
def attempt(what):
    try:
        what()
        return 'done'
    except OSError as error:
        return error.strerror
for what in (
    lambda: mmap.mmap(3, size),
    lambda: os.pwrite(3, b'x', 0),
    lambda: mmap.mmap(os.open('/proc/self/fd/3', os.O_RDWR), size),
    lambda: os.pwrite(os.open('/proc/self/fd/3', os.O_RDWR), b'x', 0),
    lambda: os.ftruncate(3, 10),
    lambda: os.ftruncate(3, 10000),
):
    print(attempt(what), flush=True)
sys.stdin.readline()
print(m[0:7].decode(), flush=True)
\`, [], { stdio: ['pipe', 'pipe', 'inherit', shm.fd] });
    assert.equal(await peer.next(), '4000 read me');
    for (let time = 0; time < 6; time++) assert.equal(await peer.next(), 'Operation not permitted');
    m.buffer.write('changed');
    peer.tell('look');
    assert.equal(await peer.next(), 'changed');
  `),
);
