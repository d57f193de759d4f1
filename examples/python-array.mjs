// An array that Python fills and Node adds up, without a copy: node examples/python-array.mjs [MiB]
//
// Plain Python 3 on the other side, no NumPy: what multiprocessing.shared_memory has by a name is the
// memory that SharedMemory has by it.

import { spawnSync } from 'node:child_process';
import { SharedMemory } from 'memmap';

const mebibytes = Number(process.argv[2] ?? 1024);
const size = mebibytes * 2 ** 20;

const PYTHON = `
import array, sys, time
from multiprocessing import resource_tracker, shared_memory

shm = shared_memory.SharedMemory(name=sys.argv[1])
if sys.version_info < (3, 13):
    # Otherwise Python removes the name when it ends, although it only opened it.
    resource_tracker.unregister(shm._name, 'shared_memory')

begin = time.monotonic()
numbers = shm.buf.cast('d')
pattern = array.array('d', range(65536))
for start in range(0, len(numbers), len(pattern)):
    numbers[start : start + len(pattern)] = memoryview(pattern)[: len(numbers) - start]
print(f'python filled {len(numbers)} numbers in {(time.monotonic() - begin) * 1000:.0f} ms')
numbers.release()
shm.close()
`;

// Really allocated: a /dev/shm that is too small is ENOSPC here, and no fault in Python.
const shm = SharedMemory.create(`memmap-python-array-${process.pid}`, { size });
const mapping = shm.map();
try {
  const { status } = spawnSync('python3', ['-c', PYTHON, shm.name], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`python3 ended with ${status}`);
} finally {
  // The mapping stays; the name is nobody's any more, whatever happens from here on.
  shm.unlink();
  shm.close();
}

const { buffer } = mapping;
const numbers = new Float64Array(buffer.buffer, buffer.byteOffset, buffer.length / 8);
const begin = performance.now();
let sum = 0;
for (let at = 0; at < numbers.length; at++) sum += numbers[at];
const took = performance.now() - begin;
console.log(`node added them up in ${took.toFixed(0)} ms: ${sum}`);

const whole = Math.floor(numbers.length / 65536) * ((65535 * 65536) / 2);
const rest = numbers.length % 65536;
const expected = whole + (rest * (rest - 1)) / 2;
console.log(sum === expected ? 'which is right' : `which is wrong: ${expected}`);
mapping.unmap();
