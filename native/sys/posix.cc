// The calls that Linux and macOS share. Knows POSIX only.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sys/sys.h"

namespace memmap::sys {

namespace {
Status status(int result, const char* syscall) {
  return result == 0 ? Status{} : Status{errno, syscall};
}
}  // namespace

size_t page_size() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

Result<uintptr_t> map(uintptr_t hint, size_t length, int protection, int flags, int fd,
                      uint64_t offset) {
  void* address = mmap(reinterpret_cast<void*>(hint), length, protection, flags & ~MAP_FIXED, fd,
                       static_cast<off_t>(offset));
  if (address == MAP_FAILED) return {0, errno, "mmap"};
  return {reinterpret_cast<uintptr_t>(address)};
}

size_t address_space_limit() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
  return static_cast<size_t>(limit.rlim_cur);
}

Status overlay_zero(Range pages) {
  const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANON | MAP_NORESERVE;
  void* at = mmap(pages.data(), pages.size(), PROT_READ | PROT_WRITE, flags, -1, 0);
  // RLIMIT_DATA counts private writable memory only.
  constexpr int kShared = MAP_FIXED | MAP_SHARED | MAP_ANON | MAP_NORESERVE;
  if (at == MAP_FAILED && errno == ENOMEM) {
    at = mmap(pages.data(), pages.size(), PROT_READ | PROT_WRITE, kShared, -1, 0);
  }
  if (at == MAP_FAILED && errno == ENOMEM) {
    at = mmap(pages.data(), pages.size(), PROT_READ, flags, -1, 0);
  }
  return at == MAP_FAILED ? Status{errno, "mmap"} : Status{};
}

Status overlay_anonymous(Range pages, int protection, int flags) {
  void* at = mmap(pages.data(), pages.size(), protection, flags | MAP_FIXED, -1, 0);
  return at == MAP_FAILED ? Status{errno, "mmap"} : Status{};
}

Status unmap(Range pages) { return status(munmap(pages.data(), pages.size()), "munmap"); }

Status protect(Range pages, int protection) {
  return status(mprotect(pages.data(), pages.size(), protection), "mprotect");
}

Status sync(Range pages, int flags) {
  return status(msync(pages.data(), pages.size(), flags), "msync");
}

Status advise(Range pages, int advice) {
  return status(madvise(pages.data(), pages.size(), advice), "madvise");
}

Status lock(Range pages) { return status(mlock(pages.data(), pages.size()), "mlock"); }

Status unlock(Range pages) { return status(munlock(pages.data(), pages.size()), "munlock"); }

Status resize_file(int fd, uint64_t size) {
  int result = 0;
  do {
    result = ftruncate(fd, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  return status(result, "ftruncate");
}

Result<size_t> read_file(int fd, uint64_t offset, void* target, size_t length) {
  size_t done = 0;
  while (done < length) {
    const ssize_t got = pread(fd, static_cast<char*>(target) + done, length - done,
                              static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {done, errno, "read"};
    done += static_cast<size_t>(got);
  }
  return {done};
}

Result<size_t> copy_through_pipe(void* to, const void* from, size_t length) {
  int ends[2];
  if (pipe(ends) != 0) return {0, errno, "pipe"};
  for (const int end : ends) fcntl(end, F_SETFD, FD_CLOEXEC);
  constexpr size_t kChunk = PIPE_BUF;  // fits an empty pipe: never blocks on ourselves
  size_t done = 0;
  int error = 0;
  const char* syscall = "";
  while (done < length && error == 0) {
    const size_t want = length - done < kChunk ? length - done : kChunk;
    const ssize_t put = write(ends[1], static_cast<const char*>(from) + done, want);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      error = errno;
      syscall = "write";
      break;
    }
    ssize_t taken = 0;
    while (taken < put) {
      const ssize_t got =
          read(ends[0], static_cast<char*>(to) + done + taken, static_cast<size_t>(put - taken));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        error = errno;
        syscall = "read";
        break;
      }
      taken += got;
    }
    done += static_cast<size_t>(taken);
  }
  close(ends[0]);
  close(ends[1]);
  return {done, error, syscall};
}

Result<uintptr_t> map_named(const NamedFile& file, uint64_t offset, size_t length) {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int fd = open(file.path, O_RDWR | kFlags);
  if (fd < 0) fd = open(file.path, O_RDONLY | kFlags);
  if (fd < 0) return {0, errno, "open"};
  struct stat found {};
  const bool same = fstat(fd, &found) == 0 && found.st_ino == file.inode &&
                    static_cast<uint64_t>(found.st_dev) == file.device;
  const auto mapped = same ? map(0, length, PROT_READ, MAP_SHARED, fd, offset)
                           : Result<uintptr_t>{0, ESTALE, "open"};
  close(fd);
  return mapped;
}

void* find_symbol(const char* name) { return dlsym(RTLD_DEFAULT, name); }

#ifdef CLOCK_MONOTONIC_COARSE
constexpr clockid_t kCoarseClock = CLOCK_MONOTONIC_COARSE;
#else
constexpr clockid_t kCoarseClock = CLOCK_MONOTONIC;
#endif

uint64_t monotonic_ms() {
  timespec now{};
  clock_gettime(kCoarseClock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace memmap::sys
