// The plain C that memmap is measured against: each loop runs here from first to last, between two
// looks at the clock. Loaded by bench/comparator.mjs; answers nanoseconds per operation, or the
// negative errno.
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

// Maps and unmaps `length` bytes of anonymous memory `count` times.
double map_unmap(size_t length, uint32_t count) {
  const double start = now();
  for (uint32_t i = 0; i < count; i++) {
    void* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || munmap(at, length) != 0) return -errno;
  }
  return (now() - start) / count;
}

// Keeps what was read from being optimised away.
volatile uint32_t sink;

// Maps and unmaps `length` bytes of an open file `count` times; with a `step`, reads a byte every
// so many bytes between the two.
double map_file_unmap(int fd, size_t length, size_t step, uint32_t count) {
  const double start = now();
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t* at = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return -errno;
    uint32_t sum = 0;
    if (step != 0) {
      for (size_t offset = 0; offset < length; offset += step) sum += at[offset];
    }
    sink = sum;
    if (munmap((void*)at, length) != 0) return -errno;
  }
  return (now() - start) / count;
}

static uint8_t* mapped;

// Maps `length` bytes of a file for sync_page(). 0, or the negative errno.
int open_for_sync(int fd, size_t length) {
  void* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return -errno;
  mapped = at;
  return 0;
}

// Dirties the page at `offset`, then measures its msync alone.
double sync_page(size_t offset, size_t page, uint8_t value) {
  mapped[offset] = value;
  const double start = now();
  if (msync(mapped + offset, page, MS_SYNC) != 0) return -errno;
  return now() - start;
}
