// A program that maps, unmaps and moves memory, for the tests of the LD_PRELOAD helper: mapper MODE ...
// It checks itself: exit code 0, or a line on stderr and 1.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static size_t page;

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void fail(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  vfprintf(stderr, format, rest);
  va_end(rest);
  fputc('\n', stderr);
  _exit(1);
}

static void *map(size_t length) {
  void *at = mmap(NULL, length, RW, ANON, -1, 0);
  if (at == MAP_FAILED) fail("mmap of %zu: %s", length, strerror(errno));
  return at;
}

static uint64_t next(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

// errno is the kernel's where a call fails, and untouched where it does not.
static void same(const char *what, long ours, int error, long theirs, int expected) {
  if ((ours == -1) != (theirs == -1)) fail("%s: %ld, the kernel %ld", what, ours, theirs);
  if (ours == -1 && error != expected) fail("%s: errno %d, the kernel %d", what, error, expected);
}
#define SAME(what, ours, theirs)                            \
  do {                                                      \
    errno = 0;                                              \
    const long a = (long)(ours);                            \
    const int b = errno;                                    \
    errno = 0;                                              \
    const long c = (long)(theirs);                          \
    same(what, a, b, c, errno);                             \
  } while (0)

static void mode_errno(void) {
  char *m = map(4 * page);
  errno = 77;
  char *one = map(page);
  if (mprotect(one, page, PROT_READ) || madvise(one, page, MADV_DONTNEED) || munmap(one, page)) fail("refused");
  if (errno != 77) fail("success has changed errno to %d", errno);
  const size_t huge = SIZE_MAX - page;
  SAME("mmap 0", mmap(NULL, 0, RW, ANON, -1, 0), syscall(SYS_mmap, 0, 0, RW, ANON, -1, 0));
  SAME("mmap huge", mmap(NULL, huge, RW, ANON, -1, 0), syscall(SYS_mmap, 0, huge, RW, ANON, -1, 0));
  SAME("mmap max", mmap(NULL, SIZE_MAX, RW, ANON, -1, 0), syscall(SYS_mmap, 0, SIZE_MAX, RW, ANON, -1, 0));
  SAME("mmap fd", mmap(NULL, page, RW, MAP_PRIVATE, -1, 0), syscall(SYS_mmap, 0, page, RW, MAP_PRIVATE, -1, 0));
  SAME("mmap offset", mmap(NULL, page, RW, ANON, -1, 3), syscall(SYS_mmap, 0, page, RW, ANON, -1, 3));
  SAME("mmap type", mmap(NULL, page, RW, MAP_ANONYMOUS, -1, 0), syscall(SYS_mmap, 0, page, RW, MAP_ANONYMOUS, -1, 0));
  SAME("mmap fixed", mmap(m + 1, page, RW, ANON | MAP_FIXED, -1, 0),
       syscall(SYS_mmap, m + 1, page, RW, ANON | MAP_FIXED, -1, 0));
  SAME("mmap exclusive", mmap(m, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0),
       syscall(SYS_mmap, m, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
  SAME("mmap kernel", mmap((void *)(UINTPTR_MAX - page + 1), page, RW, ANON | MAP_FIXED, -1, 0),
       syscall(SYS_mmap, UINTPTR_MAX - page + 1, page, RW, ANON | MAP_FIXED, -1, 0));
  SAME("munmap odd", munmap(m + 1, page), syscall(SYS_munmap, m + 1, page));
  SAME("munmap 0", munmap(m, 0), syscall(SYS_munmap, m, 0));
  SAME("munmap max", munmap(m, SIZE_MAX), syscall(SYS_munmap, m, SIZE_MAX));
  SAME("munmap high", munmap((void *)(UINTPTR_MAX - page + 1), page), syscall(SYS_munmap, UINTPTR_MAX - page + 1, page));
  SAME("mprotect odd", mprotect(m + 1, page, RW), syscall(SYS_mprotect, m + 1, page, RW));
  SAME("mprotect 0", mprotect(m, 0, RW), syscall(SYS_mprotect, m, 0, RW));
  SAME("mprotect bits", mprotect(m, page, -1), syscall(SYS_mprotect, m, page, -1));
  SAME("madvise", madvise(m, page, 12345), syscall(SYS_madvise, m, page, 12345));
  SAME("mremap odd", mremap(m + 1, page, page, 0), syscall(SYS_mremap, m + 1, page, page, 0, 0));
  SAME("mremap 0", mremap(m, page, 0, MREMAP_MAYMOVE), syscall(SYS_mremap, m, page, 0, MREMAP_MAYMOVE, 0));
  SAME("mremap flags", mremap(m, page, page, 1024), syscall(SYS_mremap, m, page, page, 1024, 0));
  SAME("mremap fixed", mremap(m, page, page, MREMAP_FIXED, m), syscall(SYS_mremap, m, page, page, MREMAP_FIXED, m));
  SAME("mremap over itself", mremap(m, 2 * page, 2 * page, MREMAP_FIXED | MREMAP_MAYMOVE, m + page),
       syscall(SYS_mremap, m, 2 * page, 2 * page, MREMAP_FIXED | MREMAP_MAYMOVE, m + page));
  SAME("mremap max", mremap(m, page, SIZE_MAX, MREMAP_MAYMOVE), syscall(SYS_mremap, m, page, SIZE_MAX, MREMAP_MAYMOVE, 0));
  const int fd = open("/proc/version", O_RDONLY);
  SAME("mmap of what cannot be", mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0),
       syscall(SYS_mmap, 0, page, PROT_READ, MAP_PRIVATE, fd, 0));
  // A new address is only there with MREMAP_FIXED, and is then the fifth argument.
  char *target = map(page);
  m[0] = 'm';
  char *moved = mremap(m, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, target);
  if (moved != target || moved[0] != 'm') fail("MREMAP_FIXED went elsewhere");
  char *grown = mremap(moved, page, 8 * page, MREMAP_MAYMOVE);
  if (grown == MAP_FAILED || grown[0] != 'm') fail("growing lost what was there");
  char *shrunk = mremap(grown, 8 * page, page, 0);
  if (shrunk != grown || shrunk[0] != 'm') fail("shrinking moved it");
}

static atomic_ulong handled, handled_badly;

static void on_alarm(int signal) {
  const int error = errno;
  (void)signal;
  char *at = mmap(NULL, 3 * page, RW, ANON, -1, 0);
  if (at == MAP_FAILED) {
    handled_badly++;
  } else {
    at[0] = at[2 * page] = 1;
    if (mprotect(at, page, PROT_READ) != 0 || munmap(at, 3 * page) != 0) handled_badly++;
  }
  handled++;
  errno = error;
}

struct piece {
  unsigned char *at;
  size_t pages;
  unsigned char mark;
};

static void mark(struct piece *p, unsigned char value) {
  p->mark = value;
  for (size_t i = 0; i < p->pages; i++) p->at[i * page] = value;
}
static void check(const struct piece *p) {
  for (size_t i = 0; i < p->pages; i++) {
    if (p->at[i * page] != p->mark) fail("somebody else's bytes at %p", (void *)(p->at + i * page));
  }
}

enum { PIECES = 64 };
static void work(uint64_t seed, long rounds) {
  struct piece pieces[PIECES] = {0};
  for (long round = 0; round < rounds; round++) {
    struct piece *p = &pieces[next(&seed) % PIECES];
    if (p->at == NULL) {
      p->pages = 1 + next(&seed) % 16;
      p->at = map(p->pages * page);
      for (size_t i = 0; i < p->pages; i++) {
        if (p->at[i * page] != 0) fail("a new page is not empty");
      }
      mark(p, (unsigned char)(1 + next(&seed) % 255));
      continue;
    }
    check(p);
    switch (next(&seed) % 5) {
      case 0:
      case 1:
        if (munmap(p->at, p->pages * page) != 0) fail("munmap: %s", strerror(errno));
        p->at = NULL;
        break;
      case 2: {
        const size_t pages = 1 + next(&seed) % 24;
        unsigned char *to = mremap(p->at, p->pages * page, pages * page, MREMAP_MAYMOVE);
        if (to == MAP_FAILED) fail("mremap: %s", strerror(errno));
        const struct piece old = {to, p->pages < pages ? p->pages : pages, p->mark};
        check(&old);
        p->at = to;
        p->pages = pages;
        mark(p, p->mark);
        break;
      }
      case 3:
        if (mmap(p->at, p->pages * page, RW, ANON | MAP_FIXED, -1, 0) != p->at) fail("MAP_FIXED: %s", strerror(errno));
        if (p->at[0] != 0) fail("MAP_FIXED left the old bytes");
        mark(p, p->mark);
        break;
      default:
        if (mprotect(p->at, p->pages * page, PROT_READ) != 0) fail("mprotect: %s", strerror(errno));
        check(p);
        if (mprotect(p->at, p->pages * page, RW) != 0) fail("mprotect: %s", strerror(errno));
    }
  }
  for (int i = 0; i < PIECES; i++) {
    if (pieces[i].at == NULL) continue;
    check(&pieces[i]);
    munmap(pieces[i].at, pieces[i].pages * page);
  }
}

static long rounds;
static void *worker(void *seed) {
  work((uint64_t)(uintptr_t)seed * 0x9E3779B97F4A7C15u + 1, rounds);
  return NULL;
}

static void start_alarm(void) {
  stack_t small = {.ss_sp = malloc(16384), .ss_size = 16384};
  sigaltstack(&small, NULL);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART | SA_ONSTACK};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval often = {{0, 200}, {0, 200}};
  setitimer(ITIMER_REAL, &often, NULL);
}

enum { THREADS = 4 };
static pthread_t threads[THREADS];
static void start_threads(void) {
  for (uintptr_t i = 0; i < THREADS; i++) {
    if (pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) != 0) fail("pthread_create");
  }
}
static void join_threads(void) {
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void mode_threads(long count, int with_alarm) {
  rounds = count;
  if (with_alarm) start_alarm();
  start_threads();
  join_threads();
  const struct itimerval never = {0};
  setitimer(ITIMER_REAL, &never, NULL);
  if (handled_badly != 0) fail("%lu calls in a handler failed", handled_badly);
  printf("handled %s\n", handled > 0 ? "some" : "none");
}

static void await(pid_t child, const char *what) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) fail("%s: %s", what, strerror(errno));
  if (status != 0) fail("%s: status %x", what, status);
}

// Forks, in every way there is, while other threads are inside of calls.
static void mode_fork(long count, const char *self) {
  rounds = 6000;
  start_threads();
  char *const argv[] = {(char *)self, "once", NULL};
  for (long i = 0; i < count; i++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      work((uint64_t)i + 99, 300);
      free(malloc(1 << 20));
      if (i % 2 == 0) exit(0);
      _exit(0);
    }
    await(child, "fork");
    child = vfork();
    if (child == 0) {
      char *at = mmap(NULL, page, RW, ANON, -1, 0);
      if (at == MAP_FAILED || munmap(at, page) != 0) _exit(3);
      execve(self, argv, environ);
      _exit(4);
    }
    await(child, "vfork");
    if (posix_spawn(&child, self, NULL, NULL, argv, environ) != 0) fail("posix_spawn");
    await(child, "posix_spawn");
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
      char *at = mmap(NULL, page, RW, ANON, -1, 0);
      _exit(at == MAP_FAILED || munmap(at, page) != 0);
    }
    await(child, "clone");
  }
  join_threads();
}

// Every page of the arena as the kernel lists it: 'r', 'w' of what is live, '-' of the rest, '!' a hole.
static void compare(uintptr_t base, size_t arena, const struct piece *live, const int *modes, int count) {
  const size_t pages = arena / page;
  char *kernel = malloc(pages);
  memset(kernel, '!', pages);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (fgets(line, sizeof line, maps)) {
    unsigned long begin, end;
    char mode[5];
    if (sscanf(line, "%lx-%lx %4s", &begin, &end, mode) != 3) continue;
    for (unsigned long at = begin < base ? base : begin; at < end && at < base + arena; at += page) {
      kernel[(at - base) / page] = mode[1] == 'w' ? 'w' : mode[0];
    }
  }
  fclose(maps);
  char *model = malloc(pages);
  memset(model, '-', pages);
  for (int i = 0; i < count; i++) {
    if (live[i].at == NULL) continue;
    const uintptr_t at = (uintptr_t)live[i].at;
    if (at < base || at + live[i].pages * page > base + arena) fail("placed outside: %lx", at);
    for (size_t k = 0; k < live[i].pages; k++) {
      model[(at - base) / page + k] = modes[i] & PROT_WRITE ? 'w' : 'r';
    }
  }
  for (size_t i = 0; i < pages; i++) {
    if (kernel[i] != model[i]) fail("page %zu is '%c', not '%c'", i, kernel[i], model[i]);
  }
}

// Random calls in one thread, and at the end the kernel's list against what they should have made.
static void mode_model(long count, uintptr_t base, size_t arena) {
  enum { LIVE = 400 };
  static struct piece live[LIVE];
  static int modes[LIVE];
  uint64_t seed = 4711;
  for (long i = 0; i < count; i++) {
    const int n = (int)(next(&seed) % LIVE);
    struct piece *p = &live[n];
    if (p->at == NULL) {
      p->pages = 1 + next(&seed) % (next(&seed) % 50 == 0 ? 1500 : 40);
      p->at = map(p->pages * page);
      modes[n] = RW;
      mark(p, (unsigned char)(1 + next(&seed) % 255));
      continue;
    }
    check(p);
    const uint64_t what = next(&seed) % 8;
    if (what < 3) {
      if (munmap(p->at, p->pages * page) != 0) fail("munmap: %s", strerror(errno));
      p->at = NULL;
    } else if (what == 3 && p->pages > 1) {
      // A part of it, at one of its ends.
      const size_t gone = 1 + next(&seed) % (p->pages - 1);
      const int low = next(&seed) % 2 == 0;
      if (munmap(low ? p->at : p->at + (p->pages - gone) * page, gone * page) != 0) fail("munmap of a part");
      if (low) p->at += gone * page;
      p->pages -= gone;
    } else if (what == 4) {
      const size_t pages = 1 + next(&seed) % 60;
      if (mprotect(p->at, p->pages * page, RW) != 0) fail("mprotect");
      unsigned char *to = mremap(p->at, p->pages * page, pages * page, MREMAP_MAYMOVE);
      if (to == MAP_FAILED) fail("mremap: %s", strerror(errno));
      p->at = to;
      const struct piece kept = {to, pages < p->pages ? pages : p->pages, p->mark};
      check(&kept);
      p->pages = pages;
      modes[n] = RW;
      mark(p, p->mark);
    } else if (what == 5) {
      modes[n] = modes[n] == RW ? PROT_READ : RW;
      if (mprotect(p->at, p->pages * page, modes[n]) != 0) fail("mprotect: %s", strerror(errno));
    } else if (what == 6) {
      if (mmap(p->at, p->pages * page, RW, ANON | MAP_FIXED, -1, 0) != p->at) fail("MAP_FIXED");
      modes[n] = RW;
      mark(p, p->mark);
    } else {
      // Moved onto another one, of which nothing is left.
      struct piece *q = &live[(n + 1) % LIVE];
      if (q->at == NULL || q->pages < p->pages || modes[n] != RW) continue;
      if (mremap(p->at, p->pages * page, p->pages * page, MREMAP_MAYMOVE | MREMAP_FIXED, q->at) != q->at) fail("MREMAP_FIXED: %s", strerror(errno));
      if (q->pages > p->pages && munmap(q->at + p->pages * page, (q->pages - p->pages) * page) != 0) fail("munmap of the rest");
      p->at = q->at;
      q->at = NULL;
      check(p);
    }
  }
  compare(base, arena, live, modes, LIVE);
  for (int i = 0; i < LIVE; i++) {
    if (live[i].at != NULL && munmap(live[i].at, live[i].pages * page) != 0) fail("munmap at the end");
    live[i].at = NULL;
  }
  compare(base, arena, live, modes, 0);
}

int main(int count, char **words) {
  page = (size_t)sysconf(_SC_PAGESIZE);
  const char *mode = count > 1 ? words[1] : "";
  const long number = count > 2 ? atol(words[2]) : 0;
  if (strcmp(mode, "errno") == 0) {
    mode_errno();
  } else if (strcmp(mode, "threads") == 0) {
    mode_threads(number, 0);
  } else if (strcmp(mode, "alarm") == 0) {
    mode_threads(number, 1);
  } else if (strcmp(mode, "fork") == 0) {
    mode_fork(number, words[0]);
  } else if (strcmp(mode, "model") == 0) {
    mode_model(number, strtoul(words[3], NULL, 0), strtoul(words[4], NULL, 0));
  } else if (strcmp(mode, "once") == 0) {
    munmap(map(page), page);
  } else if (strcmp(mode, "exec") == 0) {
    map(page);
    execv(words[0], (char *[]){words[0], "once", NULL});
    return 1;
  } else if (strcmp(mode, "kill") == 0) {
    for (long i = 0; i < number; i++) munmap(map(page), page);
    kill(getpid(), SIGKILL);
  } else if (strcmp(mode, "_exit") == 0) {
    munmap(map(page), page);
    _exit(5);
  } else if (strcmp(mode, "shrink") == 0) {
    // The program's own address space becomes too small for a copy of what it has.
    for (long i = 0; i < number; i++) munmap(map(page), page);
  } else {
    fail("no mode '%s'", mode);
  }
  puts("done");
  return 0;
}
