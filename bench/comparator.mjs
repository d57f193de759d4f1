// The peers: the C comparator, the pair of processes in C and koffi, as `npm run bench:setup` put them here.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { processors } from './pin.mjs';

const require = createRequire(new URL('peers/', import.meta.url));

const pairPath = fileURLToPath(new URL('build/pair', import.meta.url));
export const comparatorPath = fileURLToPath(new URL('build/comparator.so', import.meta.url));

/** koffi, which calls the C comparator and is itself a peer of the gc rows. */
export function loadKoffi() {
  try {
    return require('koffi');
  } catch (error) {
    throw new Error('the peers are missing: npm run bench:setup', { cause: error });
  }
}

function checked(call) {
  return (...args) => {
    const answer = call(...args);
    if (answer < 0) throw new Error(`the C comparator failed with errno ${-answer}`);
    return answer;
  };
}

/** The functions of c/comparator.c: nanoseconds per operation. */
export function loadComparator() {
  const library = loadKoffi().load(comparatorPath);
  const declare = (signature) => checked(library.func(signature));
  return {
    mapUnmap: declare('double map_unmap(size_t length, uint32_t count)'),
    mapFileUnmap: declare(
      'double map_file_unmap(int fd, size_t length, size_t step, uint32_t count)',
    ),
    growFile: declare('double grow_file(int fd, size_t step, uint32_t count)'),
    placeVacate: declare('double place_vacate(size_t length, uint32_t count)'),
    replaceByTurns: declare(
      'double replace_by_turns(int first, int second, size_t length, size_t step, uint32_t count)',
    ),
    mendFaults: declare('double mend_faults(int fd, size_t length, size_t page)'),
    openForSync: declare('int open_for_sync(int fd, size_t length)'),
    syncPage: declare('double sync_page(size_t offset, size_t page, uint8_t value)'),
    copyIntoRing: declare('double copy_into_ring(size_t length, size_t size, uint32_t count)'),
    lockUnlock: declare('double lock_unlock(uint32_t count)'),
  };
}

/** The two processes of c/pair.c: round trips of 64 bytes, by spinning, by sleeping, or of a bare word. */
export function startPairInC() {
  const child = spawn(pairPath, processors?.map(String) ?? [], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const gone = once(child, 'exit');
  return {
    /** Nanoseconds of a round trip: p50, p99, p99.9. */
    async trips(mode, count) {
      child.stdin.write(`${mode} ${count}\n`);
      const ended = gone.then(([code, signal]) => {
        throw new Error(`the pair in C ended with ${signal ?? code}`);
      });
      const [line] = await Promise.race([once(lines, 'line'), ended]);
      return JSON.parse(line);
    },
    async end() {
      child.stdin.end();
      await gone;
    },
  };
}
