// Files of huge pages under the LD_PRELOAD helper: the kernel makes what is asked longer, and nobody's memory may be below that.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Scratch } from '../helpers/files';
import { by, compile, expectGood, runUnder, traceUnder, unsupported } from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

// Nothing is touched in them, so that it needs no huge page.
const PROGRAM = `
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21 << 26)
#endif
enum { HUGE = 2 << 20, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };
static size_t page;
static int file;
char *owner_map(char *at, size_t length);
static void fail(const char *what) { fprintf(stderr, "%s: %s\\n", what, strerror(errno)); exit(1); }
static char *map(size_t length) {
  char *at = mmap(0, length, RW, ANON, -1, 0);
  if (at == MAP_FAILED) fail("mmap");
  return at;
}
static char *map_huge(char *at, int flags) {
  return mmap(at, page, RW, MAP_SHARED | MAP_NORESERVE | flags, file, 0);
}
static void neighbours(void) {
  char *first = map(page), *second = map(page), *third = map(HUGE / 2);
  memset(second, 7, page);
  memset(third, 8, HUGE / 2);
  munmap(first, page);
  if (map_huge(0, 0) == MAP_FAILED) fail("mmap of a huge file");
  for (size_t i = 0; i < page; i++) if (second[i] != 7) fail("the second");
  for (size_t i = 0; i < HUGE / 2; i++) if (third[i] != 8) fail("the third");
}
static void claims(void) {
  char *at = map(2 * HUGE);
  munmap(at, 2 * HUGE);
  if (map_huge(at, MAP_FIXED) != at) fail("MAP_FIXED of a huge file");
  for (int i = 0; i < 600; i++) {
    char *other = map(page);
    if (other >= at && other < at + HUGE) fail("somebody else was placed in a huge page");
    *other = 1;
  }
}
static void refused(void) {
  char *at = map(4 * HUGE);
  at = (char *)(((uintptr_t)at + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
  char *owned = owner_map(at + 8 * page, page);
  memset(owned, 9, page);
  const int anonymous[] = {ANON | MAP_HUGETLB | (21 << 26), ANON | MAP_HUGETLB};
  if (map_huge(at, MAP_FIXED) != MAP_FAILED || errno != EPERM) fail("not refused: a file");
  for (int i = 0; i < 2; i++) {
    if (mmap(at, page, RW, anonymous[i] | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED || errno != EPERM) fail("not refused: MAP_HUGETLB");
  }
  for (size_t i = 0; i < page; i++) if (owned[i] != 9) fail("its bytes");
  if (mmap(at, page, RW, ANON | MAP_FIXED, -1, 0) != at) fail("an ordinary page");
}
int main(int count, char **words) {
  page = (size_t)sysconf(_SC_PAGESIZE);
  file = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
  if (file < 0) { printf("this kernel has no huge pages of 2 MiB: %s", strerror(errno)); return 77; }
  if (count > 1 && strcmp(words[1], "neighbours") == 0) neighbours();
  if (count > 1 && strcmp(words[1], "claims") == 0) claims();
  if (count > 1 && strcmp(words[1], "refused") == 0) refused();
  puts("done");
  return 0;
}
`;

// Stands for memmap: what it maps is protected.
const OWNER = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
char *owner_map(char *at, unsigned long length) {
  void (*enroll)(const void *) = (void (*)(const void *))dlsym(RTLD_DEFAULT, "memmap_interpose_enroll");
  if (enroll) enroll((const void *)owner_map);
  char *volatile found = mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return found;
}
`;

const program = join(scratch.folder, 'huge');

function build(): string | undefined {
  const owner = join(scratch.folder, 'libowner.so');
  writeFileSync(`${program}.c`, PROGRAM);
  writeFileSync(`${owner}.c`, OWNER);
  const problem =
    compile(`${owner}.c`, owner, ['-shared', '-fPIC', '-ldl']) ??
    compile(`${program}.c`, program, [owner, `-Wl,-rpath,${scratch.folder}`]);
  if (problem !== undefined) return problem;
  const { status, stdout } = spawnSync(program, { encoding: 'utf8' });
  return status === 77 ? stdout : undefined;
}

const test = itUnless(unsupported ?? build());

describe.each(['first-fit', 'best-fit', 'top-down'])('%s', (policy) => {
  const options = ['--policy', policy, '--arena', '64M'];

  test('a small mapping of such a file leaves its neighbours alone', async () => {
    const result = await runUnder([program, 'neighbours'], { options });
    expectGood(result);
    expect(result.stdout).toBe('done\n');
  });

  test('all of it is taken out of the arena', async () => {
    const result = await traceUnder(scratch, [program, 'claims'], { options });
    expectGood(result);
    // In what is left there is room for each: none had to go elsewhere.
    const ordinary = by(result.trace.events, /huge$/).filter(
      ({ call, length }) => call === 'mmap' && length < 2 ** 20,
    );
    const verdicts = ordinary.map(({ fd, verdict }) => (fd === undefined ? verdict : 'huge'));
    expect(verdicts).toEqual(['huge', ...Array<string>(600).fill('placed')]);
  });
});

test('what would replace memmap’s memory only because the kernel rounds up is refused', async () => {
  const result = await runUnder([program, 'refused'], { options: ['--protect', 'refuse'] });
  expectGood(result);
  expect(result.stdout).toBe('done\n');
  expect(result.summary).toContain("that hit memmap's memory: 3 refused");
});
