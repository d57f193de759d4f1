// One side of the gc rows: node gc-child.mjs view|buffer|koffi. Sends the milliseconds of 100 times.
import { mapAnonymous } from 'memmap';
import { loadKoffi } from '../comparator.mjs';
import { GiB, KiB, now } from '../harness.mjs';

const TIMES = 100;
const HEAP = 400e6;
const LOOKED_AT = 64 * KiB;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = process.platform === 'darwin' ? 0x1000 : 0x20;

function fillHeap() {
  const objects = [];
  while (process.memoryUsage().heapUsed < HEAP) {
    for (let i = 0; i < 100_000; i++) objects.push({ id: i, next: { id: -i } });
  }
  return objects;
}

function look(bytes) {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += bytes[i];
  return sum;
}

/** As koffi's documentation does it: mmap, view the whole, munmap. */
function throughKoffi() {
  const library = loadKoffi().load(null);
  const mmap = library.func(
    'void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)',
  );
  const munmap = library.func('int munmap(void *addr, size_t length)');
  return () => {
    const at = mmap(null, GiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bytes = new Uint8Array(loadKoffi().view(at, GiB));
    const seen = look(bytes.subarray(0, LOOKED_AT));
    munmap(at, GiB);
    return seen;
  };
}

const WAYS = {
  view: () => () => {
    const mapping = mapAnonymous(GiB);
    const seen = look(mapping.view(0, LOOKED_AT));
    mapping.unmap();
    return seen;
  },
  buffer: () => () => {
    const mapping = mapAnonymous(GiB);
    const seen = look(mapping.buffer.subarray(0, LOOKED_AT));
    mapping.unmap();
    return seen;
  },
  koffi: throughKoffi,
};

const once = WAYS[process.argv[2]]();
const heap = fillHeap();
const start = now();
let seen = 0;
for (let i = 0; i < TIMES; i++) seen += once();
const milliseconds = (now() - start) / 1e6;
if (seen !== 0 || heap.length === 0) throw new Error('fresh memory is zero');
process.send(milliseconds, () => process.disconnect());
