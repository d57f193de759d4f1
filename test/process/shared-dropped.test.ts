// Shared memory that is unmapped, and mutexes that C cannot share with us.
import { survives, withGc } from './program';

test('an unmapped Mapping that is still referenced keeps no descriptor open', () =>
  survives(
    `
    const open = () => fs.readdirSync('/proc/self/fd').filter((fd) => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd).includes('memfd:'); } catch { return false; }
    }).length;
    const before = open();
    const mapping = (() => memmap.SharedMemory.create(null, { size: PAGE }).map())();
    assert.equal(open(), before + 1);
    mapping.unmap();
    await collectUntil(() => open() === before, 'the descriptor is closed');
    assert.equal(mapping.state, 'unmapped');
  `,
    withGc,
  ));

test('a pthread_mutex_t of C that is not robust and process-shared is refused', () =>
  survives(`
    const memory = memmap.mapAnonymous(PAGE, { shared: true });
    const words = new Int32Array(memory.buffer.buffer, memory.buffer.byteOffset, 16);
    const mutex = new memmap.Mutex(memory);
    for (const kind of [0x80, 0x00 | 1, 0xa0, 0xb0, 0x10, 0xd0]) {
      words[4] = kind;
      for (const lock of [() => mutex.lock(), () => mutex.tryLock()]) {
        assert.throws(lock, (error) => error.code === 'ERR_MEMMAP_UNSUPPORTED'
          && /pthread_mutexattr_setrobust/.test(error.message));
      }
      await assert.rejects(mutex.lockAsync(), { code: 'ERR_MEMMAP_UNSUPPORTED' });
      assert.equal(words[0], 0);
    }
    // Robust and process-shared: normal, recursive, errorcheck.
    for (const kind of [0x90, 0x91, 0x92]) {
      words[4] = kind;
      mutex.lock().unlock();
      assert.equal(words[4], kind);
    }
  `));
