// Shared memory on Linux: files in /dev/shm, which is where shm_open(3) of glibc and musl has them.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "denied.h"
#include "shm.h"

namespace memmap::sys {

namespace {

constexpr char kFolder[] = "/dev/shm/";
constexpr unsigned kNoExecSeal = 8;  // 6.3

struct Path {
  char text[sizeof kFolder + NAME_MAX + 1];
  explicit Path(const char* name) { snprintf(text, sizeof text, "%s%s", kFolder, name); }
};

// What /proc calls a descriptor.
struct Link {
  char text[64];
  explicit Link(int fd) { snprintf(text, sizeof text, "/proc/self/fd/%d", fd); }
  Link(pid_t pid, int fd) { snprintf(text, sizeof text, "/proc/%d/fd/%d", pid, fd); }
};

Status status(int result, const char* syscall) {
  return result == 0 ? Status{} : Status{errno, syscall};
}

Result<int> opened(int fd, const char* syscall) {
  if (fd >= 0) return {fd};
  return {-1, errno, syscall};
}

SharedStatus status_of(const struct stat& found, int access) {
  return {static_cast<uint64_t>(found.st_size),
          found.st_ino,
          found.st_dev,
          found.st_nlink,
          found.st_mode,
          found.st_uid,
          found.st_gid,
          access};
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
  return opened(open(kFolder, O_RDWR | O_TMPFILE | O_CLOEXEC, mode), "shm_open");
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
  return {status_of(found, access)};
}

Result<SharedStatus> named_status(const char* name) {
  struct stat found {};
  if (lstat(Path(name).text, &found) != 0) return {{}, errno, "lstat"};
  return {status_of(found, 0)};
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

Status lock_range(int fd, Lock kind, uint64_t start, uint64_t length) {
  struct flock range {};
  range.l_type = kind == Lock::kNone ? F_UNLCK : kind == Lock::kShared ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(start);
  range.l_len = static_cast<off_t>(length);
  return status(fcntl(fd, F_OFD_SETLK, &range) == 0 ? 0 : -1, "fcntl");
}

namespace {

// The reaper's own open file: a lock of its own. It must be writable whatever the mode says.
Result<int> open_for_reaper(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {-1, errno, "fstat"};
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) return {-1, errno, "fchmod"};
  const auto own = reopen(fd, true);
  if (fchmod(fd, (found.st_mode & 07777) | S_ISVTX) == 0) return own;
  const int error = errno;
  if (own.ok()) close(own.value);
  return {-1, error, "fchmod"};
}

// The process started here starts another one and ends: nobody waits for that one but init.
Status spawn_reaper(int own, const char* program, const char* name) {
  constexpr int kGiven = 3;
  const Path path(name);
  char word[] = "memmap-reaper";
  char* const words[] = {word, const_cast<char*>(path.text), nullptr};
  char* const nothing[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // dup2 onto itself would leave it to be closed by exec.
  const int apart = fcntl(own, F_DUPFD_CLOEXEC, kGiven + 1);
  int error = apart < 0 ? errno : posix_spawn_file_actions_adddup2(&actions, apart, kGiven);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t first = -1;
  if (error == 0) error = posix_spawn(&first, program, &actions, &attributes, words, nothing);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (apart >= 0) close(apart);
  if (error != 0) return {error, "posix_spawn"};
  int ended = 0;
  pid_t waited = 0;
  do {
    waited = waitpid(first, &ended, 0);
  } while (waited < 0 && errno == EINTR);
  // ECHILD: the program ignores SIGCHLD, or waits for everything.
  const bool failed = waited == first && !(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  return failed ? Status{EAGAIN, "fork"} : Status{};
}

}  // namespace

Status mark_and_reap(int fd, const char* program, const char* name) {
  const auto own = open_for_reaper(fd);
  if (!own.ok()) return own.status();
  const Status spawned = spawn_reaper(own.value, program, name);
  close(own.value);
  return spawned;
}

}  // namespace memmap::sys
