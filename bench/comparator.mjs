// The peers: the C comparator and koffi, as `npm run bench:setup` put them here.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(new URL('peers/', import.meta.url));

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
    placeVacate: declare('double place_vacate(size_t length, uint32_t count)'),
    replaceByTurns: declare(
      'double replace_by_turns(int first, int second, size_t length, size_t step, uint32_t count)',
    ),
    mendFaults: declare('double mend_faults(int fd, size_t length, size_t page)'),
    openForSync: declare('int open_for_sync(int fd, size_t length)'),
    syncPage: declare('double sync_page(size_t offset, size_t page, uint8_t value)'),
  };
}
