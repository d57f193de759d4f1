// Shared memory on Linux: files in /dev/shm, which is where shm_open(3) of glibc and musl has them.
#include "sys/linux_shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/denied.h"

namespace memmap::sys {

namespace {

constexpr unsigned kNoExecSeal = 8;  // 6.3
constexpr long kTmpfs = 0x01021994;  // TMPFS_MAGIC

Status status(int result, const char* syscall) {
  return result == 0 ? Status{} : Status{errno, syscall};
}

Result<int> opened(int fd, const char* syscall) {
  if (fd >= 0) return {fd};
  return {-1, errno, syscall};
}

// By what getxattr(2) gave, and errno.
Mark mark_of(ssize_t length, const char* value) {
  constexpr size_t kLength = sizeof kProcesses - 1;
  if (length >= 0) {
    const bool is = length == kLength && memcmp(value, kProcesses, kLength) == 0;
    return is ? Mark::kYes : Mark::kNo;
  }
  return errno == ENODATA || errno == ERANGE ? Mark::kNo : Mark::kUnknown;
}

Mark mark_of(int fd) {
  struct statfs system {};
  // Of a file, and not of shared memory.
  if (fstatfs(fd, &system) != 0 || system.f_type != kTmpfs) return Mark::kNo;
  if (denied("xattr")) return Mark::kUnknown;
  char value[sizeof kProcesses];
  return mark_of(fgetxattr(fd, kMark, value, sizeof value), value);
}

Mark mark_of(const Path& path) {
  if (denied("xattr")) return Mark::kUnknown;
  char value[sizeof kProcesses];
  return mark_of(lgetxattr(path.text, kMark, value, sizeof value), value);
}

SharedStatus status_of(const struct stat& found, int access, Mark mark) {
  const double changed = static_cast<double>(found.st_ctim.tv_sec) * 1e3 +
                         static_cast<double>(found.st_ctim.tv_nsec) / 1e6;
  return {static_cast<uint64_t>(found.st_size),
          found.st_ino,
          found.st_dev,
          found.st_nlink,
          found.st_mode,
          found.st_uid,
          found.st_gid,
          access,
          mark,
          changed};
}

}  // namespace

Result<int> open_shared(const char* name, bool writable) {
  // O_NONBLOCK: somebody may have put a FIFO there.
  const int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const int fd = open(Path(name).text, (writable ? O_RDWR : O_RDONLY) | flags);
  if (fd < 0) return {-1, errno, "shm_open"};
  struct stat found {};
  if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) return {fd};
  close(fd);
  return {-1, EINVAL, "shm_open"};
}

Result<int> create_shared(const char* name, mode_t mode) {
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return opened(open(Path(name).text, flags, mode), "shm_open");
}

Result<int> create_unnamed(mode_t mode) {
  if (denied("tmpfile")) return {-1, EOPNOTSUPP, "shm_open"};
  const int fd = open(kFolder, O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
  // Without /proc nothing could give it a name.
  if (fd < 0 || access(Link(fd).text, F_OK) == 0) return opened(fd, "shm_open");
  close(fd);
  return {-1, EOPNOTSUPP, "shm_open"};
}

Status publish(int fd, const char* temporary, const char* name) {
  const bool unnamed = temporary[0] == '\0';
  const Path from(temporary);
  const int result =
      unnamed ? linkat(AT_FDCWD, Link(fd).text, AT_FDCWD, Path(name).text, AT_SYMLINK_FOLLOW)
              : linkat(AT_FDCWD, from.text, AT_FDCWD, Path(name).text, 0);
  const Status linked = status(result, "shm_open");
  if (linked.ok() && !unnamed) unlink(from.text);
  return linked;
}

bool can_publish() { return true; }

Status unlink_shared(const char* name) {
  const Status done = status(unlink(Path(name).text), "shm_unlink");
  // As the C libraries: POSIX knows no other word for somebody else's.
  return done.error == EPERM ? Status{EACCES, "shm_unlink"} : done;
}

Status each_shared(NameVisitor visit, void* context) {
  DIR* folder = opendir(kFolder);
  if (folder == nullptr) return {errno, "opendir"};
  while (const dirent* entry = readdir(folder)) {
    // tmpfs tells the kind of each.
    if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN) visit(context, entry->d_name);
  }
  closedir(folder);
  return {};
}

Result<SharedStatus> shared_status(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {{}, errno, "fstat"};
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return {{}, errno, "fcntl"};
  // A descriptor of O_PATH can neither be read nor written.
  const int access = (flags & O_PATH) != 0 ? O_WRONLY : flags & O_ACCMODE;
  return {status_of(found, access, S_ISREG(found.st_mode) ? mark_of(fd) : Mark::kNo)};
}

Result<SharedStatus> named_status(const char* name) {
  struct stat found {};
  const Path path(name);
  if (lstat(path.text, &found) != 0) return {{}, errno, "lstat"};
  return {status_of(found, 0, S_ISREG(found.st_mode) ? mark_of(path) : Mark::kNo)};
}

Result<int> memory_file() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create("memmap", kFlags | kNoExecSeal);
  if (fd >= 0 || errno != EINVAL) return opened(fd, "memfd_create");
  return opened(memfd_create("memmap", kFlags), "memfd_create");
}

Status can_hold(uint64_t size) {
  struct sysinfo machine {};
  if (sysinfo(&machine) != 0) return {};
  const uint64_t all = (static_cast<uint64_t>(machine.totalram) + machine.totalswap) *
                       (machine.mem_unit == 0 ? 1 : machine.mem_unit);
  return size <= all ? Status{} : Status{ENOMEM, "fallocate"};
}

Result<int> seals(int fd) {
  const int found = fcntl(fd, F_GET_SEALS);
  // Not of a file system that knows seals.
  if (found < 0 && errno == EINVAL) return {kSealSeal};
  return opened(found, "fcntl");
}

Status add_seals(int fd, int bits) {
  return fcntl(fd, F_ADD_SEALS, bits) == 0 ? Status{} : Status{errno, "fcntl"};
}

Result<int> duplicate(int fd) { return opened(fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl"); }

void close_descriptor(int fd) { close(fd); }

Result<int> reopen(int fd, bool writable) {
  return opened(open(Link(fd).text, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC), "open");
}

Result<int> open_of_process(pid_t pid, int fd, bool writable) {
  const int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const int found = open(Link(pid, fd).text, (writable ? O_RDWR : O_RDONLY) | flags);
  return opened(found, "open");
}

namespace {

struct flock range_of(Lock kind, uint64_t start, uint64_t length) {
  struct flock range {};
  range.l_type = kind == Lock::kNone ? F_UNLCK : kind == Lock::kShared ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(start);
  range.l_len = static_cast<off_t>(length);
  return range;
}

}  // namespace

Status lock_range(int fd, Lock kind, uint64_t start, uint64_t length) {
  struct flock range = range_of(kind, start, length);
  return status(fcntl(fd, F_OFD_SETLK, &range) == 0 ? 0 : -1, "fcntl");
}

Result<Lock> lock_on(int fd, uint64_t byte) {
  struct flock range = range_of(Lock::kExclusive, byte, 1);
  if (fcntl(fd, F_OFD_GETLK, &range) != 0) return {Lock::kNone, errno, "fcntl"};
  if (range.l_type == F_UNLCK) return {Lock::kNone};
  return {range.l_type == F_RDLCK ? Lock::kShared : Lock::kExclusive};
}

}  // namespace memmap::sys
