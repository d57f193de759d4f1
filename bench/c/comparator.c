// The plain C that memmap is measured against: each loop runs here from first to last, between two
// looks at the clock. Loaded by bench/comparator.mjs; answers nanoseconds per operation, or the
// negative errno.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

// A mapped file of `step` bytes that becomes `step` bytes longer each time.
double grow_file(int fd, size_t step, uint32_t count) {
  size_t length = step;
  char* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return -errno;
  const double start = now();
  for (uint32_t i = 0; i < count; i++) {
    if (fallocate(fd, 0, 0, (off_t)(length + step)) != 0) return -errno;
    at = mremap(at, length, length + step, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) return -errno;
    length += step;
  }
  const double spent = now() - start;
  munmap(at, length);
  return spent / count;
}

// Puts `length` bytes of memory over reserved pages, and makes them inaccessible again, `count`
// times.
double place_vacate(size_t length, uint32_t count) {
  const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  uint8_t* const reserved = mmap(NULL, 3 * length, PROT_NONE, kind, -1, 0);
  if (reserved == MAP_FAILED) return -errno;
  void* const at = reserved + length;
  const double start = now();
  for (uint32_t i = 0; i < count; i++) {
    const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(at, length, PROT_READ | PROT_WRITE, fixed, -1, 0) == MAP_FAILED ||
        mmap(at, length, PROT_NONE, kind | MAP_FIXED, -1, 0) == MAP_FAILED) {
      return -errno;
    }
  }
  const double spent = now() - start;
  if (munmap(reserved, 3 * length) != 0) return -errno;
  return spent / count;
}

// Puts two files, or with descriptors below 0 memory, over one another at one address `count` times;
// with a `step`, reads a byte every so many bytes each time.
double replace_by_turns(int first, int second, size_t length, size_t step, uint32_t count) {
  const int memory = first < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  const int access = first < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
  uint8_t* const at = mmap(NULL, length, access, memory, first, 0);
  if (at == MAP_FAILED) return -errno;
  uint32_t sum = 0;
  const double start = now();
  for (uint32_t i = 0; i < count; i++) {
    const int fd = i % 2 == 0 ? second : first;
    if (mmap(at, length, access, memory | MAP_FIXED, fd, 0) == MAP_FAILED) return -errno;
    if (step == 0) continue;
    for (size_t offset = 0; offset < length; offset += step) {
      sum += *(volatile const uint8_t*)(at + offset);
    }
  }
  const double spent = now() - start;
  sink = sum;
  if (munmap(at, length) != 0) return -errno;
  return spent / count;
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

// The least that a fault guard does: one range, one thread, one kind of fault, and a record of
// each.
struct fault {
  uintptr_t address;
  uint64_t offset;
  uint64_t seconds;
  int thread;
};

static struct {
  uintptr_t begin;
  uintptr_t end;
  size_t page;
  int fd;
  uint32_t count;
  struct fault last;
  struct sigaction before;
} guarded;

static void mend(int signo, siginfo_t* info, void* context) {
  (void)context;
  const int saved = errno;
  const uintptr_t page = (uintptr_t)info->si_addr & ~(guarded.page - 1);
  const uint64_t offset = page - guarded.begin;
  struct stat status;
  if (info->si_code == BUS_ADRERR && page >= guarded.begin && page < guarded.end &&
      fstat(guarded.fd, &status) == 0 && (uint64_t)status.st_size <= offset &&
      mmap((void*)page, guarded.page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
          MAP_FAILED) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    const int thread = (int)syscall(SYS_gettid);
    guarded.last = (struct fault){page, offset, (uint64_t)time.tv_sec, thread};
    ++guarded.count;
  } else {
    // Not ours: the instruction faults again, and whoever was here before is asked.
    sigaction(signo, &guarded.before, NULL);
  }
  errno = saved;
}

// Reads a byte of each page of a mapping whose file has been cut to nothing. The file, and the
// handler of SIGBUS, are afterwards what they were before.
double mend_faults(int fd, size_t length, size_t page) {
  uint8_t* at = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED || ftruncate(fd, 0) != 0) return -errno;
  guarded.begin = (uintptr_t)at;
  guarded.end = guarded.begin + length;
  guarded.page = page;
  guarded.fd = fd;
  guarded.count = 0;
  struct sigaction ours;
  memset(&ours, 0, sizeof ours);
  ours.sa_sigaction = mend;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&ours.sa_mask);
  if (sigaction(SIGBUS, &ours, &guarded.before) != 0) return -errno;
  const double start = now();
  uint32_t sum = 0;
  for (size_t offset = 0; offset < length; offset += page) {
    sum += *(volatile const uint8_t*)(at + offset);
  }
  const double spent = now() - start;
  sigaction(SIGBUS, &guarded.before, NULL);
  sink = sum;
  if (munmap(at, length) != 0 || ftruncate(fd, (off_t)length) != 0) return -errno;
  if (guarded.count != length / page) return -EFAULT;
  return spent / (double)guarded.count;
}

// Copies `length` bytes `count` times from one place into the next piece of a ring of `size` bytes.
double copy_into_ring(size_t length, size_t size, uint32_t count) {
  const int kind = MAP_SHARED | MAP_ANONYMOUS;
  uint8_t* const ring = mmap(NULL, size + length, PROT_READ | PROT_WRITE, kind, -1, 0);
  if (ring == MAP_FAILED) return -errno;
  uint8_t* const source = ring + size;
  memset(ring, 7, size + length);
  const double start = now();
  for (uint32_t i = 0; i < count; i++) memcpy(ring + i * length % size, source, length);
  const double spent = now() - start;
  if (munmap(ring, size + length) != 0) return -errno;
  return spent / count;
}

// Locks and unlocks a mutex of processes that survives its owner, `count` times; nobody else wants it.
double lock_unlock(uint32_t count) {
#ifndef __APPLE__
  const int kind = MAP_SHARED | MAP_ANONYMOUS;
  pthread_mutex_t* const mutex = mmap(NULL, sizeof *mutex, PROT_READ | PROT_WRITE, kind, -1, 0);
  if (mutex == MAP_FAILED) return -errno;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  int error = pthread_mutex_init(mutex, &attributes);
  const double start = now();
  for (uint32_t i = 0; i < count && error == 0; i++) {
    error = pthread_mutex_lock(mutex);
    if (error == 0) error = pthread_mutex_unlock(mutex);
  }
  const double spent = now() - start;
  pthread_mutex_destroy(mutex);
  if (munmap(mutex, sizeof *mutex) != 0) return -errno;
  return error != 0 ? -error : spent / count;
#else
  (void)count;
  return -ENOSYS;
#endif
}
