// Shared memory on macOS: shm_open(2), whose objects are no files. Written from documentation,
// never compiled.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/shm.h"

namespace memmap::sys {

namespace {

struct Path {
  char text[64];
  explicit Path(const char* name) { snprintf(text, sizeof text, "/%s", name); }
};

Result<int> opened(int fd, const char* syscall) {
  if (fd < 0) return {-1, errno, syscall};
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {fd};
}

Result<int> not_here(const char* syscall) { return {-1, ENOTSUP, syscall}; }

}  // namespace

Result<int> open_shared(const char* name, bool writable) {
  return opened(shm_open(Path(name).text, writable ? O_RDWR : O_RDONLY, 0), "shm_open");
}

Result<int> create_shared(const char* name, mode_t mode) {
  return opened(shm_open(Path(name).text, O_RDWR | O_CREAT | O_EXCL, mode), "shm_open");
}

Result<int> create_unnamed(mode_t) { return not_here("shm_open"); }
Status publish(int, const char*, const char*) { return {ENOTSUP, "shm_open"}; }
bool can_publish() { return false; }

Status unlink_shared(const char* name) {
  return shm_unlink(Path(name).text) == 0 ? Status{} : Status{errno, "shm_unlink"};
}

Status each_shared(NameVisitor, void*) { return {ENOTSUP, "opendir"}; }

Result<SharedStatus> shared_status(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {{}, errno, "fstat"};
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return {{}, errno, "fcntl"};
  // An object of shared memory has no kind, and no links are counted.
  const mode_t kind = (found.st_mode & S_IFMT) == 0 ? S_IFREG : 0;
  return {{static_cast<uint64_t>(found.st_size), found.st_ino, static_cast<uint64_t>(found.st_dev),
           1, static_cast<mode_t>(found.st_mode | kind), found.st_uid, found.st_gid,
           flags & O_ACCMODE, Mark::kNo, 0}};
}

Result<SharedStatus> named_status(const char* name) {
  const auto fd = open_shared(name, false);
  if (!fd.ok()) return {{}, fd.error, fd.syscall};
  const auto found = shared_status(fd.value);
  close(fd.value);
  return found;
}

// An object that loses its name at once.
Result<int> memory_file() {
  for (int access = 0; access < 16; ++access) {
    char name[31];
    snprintf(name, sizeof name, "memmap-%08x%08x", arc4random(), arc4random());
    const auto made = create_shared(name, S_IRUSR | S_IWUSR);
    if (made.ok()) {
      shm_unlink(Path(name).text);
      return made;
    }
    if (made.error != EEXIST) return made;
  }
  return {-1, EEXIST, "shm_open"};
}

Status can_hold(uint64_t) { return {}; }
Result<int> seals(int) { return {kSealSeal}; }
Status add_seals(int, int) { return {ENOTSUP, "fcntl"}; }

Result<int> duplicate(int fd) { return opened(fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl"); }
void close_descriptor(int fd) { close(fd); }
Result<int> reopen(int, bool) { return not_here("open"); }
Result<int> open_of_process(pid_t, int, bool) { return not_here("open"); }

Status lock_range(int fd, Lock kind, uint64_t start, uint64_t length) {
#ifdef F_OFD_SETLK
  struct flock range {};
  range.l_type = kind == Lock::kNone ? F_UNLCK : kind == Lock::kShared ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(start);
  range.l_len = static_cast<off_t>(length);
  return fcntl(fd, F_OFD_SETLK, &range) == 0 ? Status{} : Status{errno, "fcntl"};
#else
  (void)fd, (void)kind, (void)start, (void)length;
  return {ENOTSUP, "fcntl"};
#endif
}

Result<Lock> lock_on(int, uint64_t) { return {Lock::kNone, ENOTSUP, "fcntl"}; }
Result<pid_t> mark_and_reap(int, const char*, const char*, const char*) {
  return {-1, ENOTSUP, "fcntl"};
}
bool has_ended(pid_t) { return true; }

}  // namespace memmap::sys
