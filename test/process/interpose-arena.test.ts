// What is free in the arena is free to the program, too: it can be had exactly, and nothing can be done to it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Scratch } from '../helpers/files';
import { compile, expectGood, runUnder, script, unsupported } from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const SOURCE = `
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define EXACTLY (ANON | MAP_FIXED_NOREPLACE)
static void want(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "%s: %s\\n", what, strerror(errno));
  exit(1);
}
static int fails(long result, int error) { return result == -1 && errno == error; }
int main(void) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *a = mmap(0, 8 * page, RW, ANON, -1, 0);
  want(a != MAP_FAILED, "mmap");
  want(munmap(a + page, 6 * page) == 0, "munmap");
  char *b = a + 2 * page;
  want(fails(mprotect(b, page, RW), ENOMEM), "mprotect of nothing");
  want(fails(mprotect(a, 2 * page, RW), ENOMEM), "mprotect of a part that is nothing");
  want(fails(madvise(b, page, MADV_DONTNEED), ENOMEM), "madvise of nothing");
  want(fails((long)mremap(b, page, 2 * page, MREMAP_MAYMOVE), EFAULT), "mremap of nothing");
  want(munmap(b, page) == 0, "munmap of nothing");
  want(mmap(b, 2 * page, RW, EXACTLY, -1, 0) == b, "exactly");
  memset(b, 7, 2 * page);
  want(fails((long)mmap(b + page, 2 * page, RW, EXACTLY, -1, 0), EEXIST), "exactly, half of it taken");
  want(mprotect(b, 2 * page, PROT_READ) == 0 && madvise(b, page, MADV_WILLNEED) == 0, "what is mapped");
  char *c = a + 4 * page;
  want(mmap(c, page, RW, ANON, -1, 0) == c, "a hint");
  char *other = mmap(c, page, RW, ANON, -1, 0);
  want(other != MAP_FAILED && other != c, "a hint where somebody is");
  want(fails((long)mmap(a + 5 * page, page, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE, -1, 0), EBADF), "a failing call");
  want(mmap(a + 5 * page, page, RW, EXACTLY, -1, 0) == a + 5 * page, "exactly, after it failed");
  // Nobody else is placed in any of them.
  for (int i = 0; i < 100; i++) {
    char *at = mmap(0, page, RW, ANON, -1, 0);
    want(at != MAP_FAILED && at != b && at != b + page && at != c && at != a + 5 * page, "placed over another");
    *at = 1;
  }
  for (size_t i = 0; i < 2 * page; i++) want(b[i] == 7, "its bytes");
  puts("done");
  return 0;
}
`;

const program = join(scratch.folder, 'arena');
const missing =
  unsupported ?? (writeFileSync(`${program}.c`, SOURCE), compile(`${program}.c`, program));
const test = itUnless(missing);

describe.each([[], ['first-fit'], ['best-fit'], ['top-down']])('policy %s', (policy?: string) => {
  const options = policy === undefined ? [] : ['--policy', policy, '--arena', '64M'];

  test('as the kernel has it', async () => {
    const result = await runUnder([program], { options });
    expectGood(result);
    expect(result.stdout).toBe('done\n');
  });

  test('a reservation that was given back can be made again', async () => {
    const source = `
      for (let round = 0; round < 3; round++) {
        const first = memmap.reserve(4 * memmap.pageSize);
        const { address } = first;
        first.release();
        const again = memmap.reserve(4 * memmap.pageSize, { address });
        console.log(again.address === address);
        again.release();
      }`;
    const result = await runUnder(script(source), { options });
    expectGood(result);
    expect(result.stdout).toBe('true\n'.repeat(3));
  });
});
