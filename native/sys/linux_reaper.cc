// Marking an object of lifetime 'processes', and starting the process that removes its name.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/denied.h"
#include "sys/linux_shm.h"

namespace memmap::sys {

namespace {

// The reaper's own open file: a lock of its own. Opened by its temporary name without /proc.
Result<int> open_anew(int fd, const char* temporary) {
  const auto own = reopen(fd, true);
  return own.ok() || temporary[0] == '\0' ? own : open_shared(temporary, true);
}

// What the system has no attributes for stays unmarked.
Status mark(int fd) {
  if (denied("xattr")) return {};
  if (fsetxattr(fd, kMark, kProcesses, sizeof kProcesses - 1, 0) == 0) return {};
  // EPERM, ENOSYS: a sandbox.
  const bool without = errno == ENOTSUP || errno == EPERM || errno == ENOSYS;
  return without ? Status{} : Status{errno, "fsetxattr"};
}

// Both need an object that its owner may write to, whatever its mode will be.
Result<int> mark_and_open_anew(int fd, const char* temporary) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {-1, errno, "fstat"};
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) return {-1, errno, "fchmod"};
  const Status marked = mark(fd);
  auto own = marked.ok() ? open_anew(fd, temporary) : Result<int>{-1, marked.error, marked.syscall};
  if (fchmod(fd, found.st_mode & 07777) == 0) return own;
  const int error = errno;
  if (own.ok()) close(own.value);
  return {-1, error, "fchmod"};
}

// True when orphans become our children: the first process of a container, or who asked for them.
bool adopts_orphans() {
  int asked = 0;
  return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &asked) == 0 && asked != 0);
}

Result<pid_t> spawn_reaper(int own, const char* program, const char* name) {
  constexpr int kGiven = 3;
  const bool keeps = adopts_orphans();
  const Path path(name);
  char word[] = "memmap-reaper";
  char stay[] = "stay";
  char* const words[] = {word, const_cast<char*>(path.text), keeps ? stay : nullptr, nullptr};
  char* const nothing[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // dup2 onto itself would leave it to be closed by exec.
  const int apart = fcntl(own, F_DUPFD_CLOEXEC, kGiven + 1);
  int error = apart < 0 ? errno : posix_spawn_file_actions_adddup2(&actions, apart, kGiven);
  // It ends by itself as soon as it may: SIGTERM goes to all of a service, its users and it.
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t first = -1;
  if (error == 0) error = posix_spawn(&first, program, &actions, &attributes, words, nothing);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (apart >= 0) close(apart);
  if (error != 0) return {-1, error, "posix_spawn"};
  if (keeps) return {first};
  // It starts another one and ends: nobody waits for that one but init.
  int ended = 0;
  pid_t waited = 0;
  do {
    waited = waitpid(first, &ended, 0);
  } while (waited < 0 && errno == EINTR);
  // ECHILD: the program ignores SIGCHLD, or waits for everything.
  const bool failed = waited == first && !(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  if (failed) return {-1, EAGAIN, "fork"};
  return {0};
}

}  // namespace

Result<pid_t> mark_and_reap(int fd, const char* program, const char* temporary, const char* name) {
  const auto own = mark_and_open_anew(fd, temporary);
  if (!own.ok()) return {-1, own.error, own.syscall};
  const auto spawned = spawn_reaper(own.value, program, name);
  close(own.value);
  return spawned;
}

bool has_ended(pid_t pid) {
  const pid_t waited = waitpid(pid, nullptr, WNOHANG);
  return waited != 0 && !(waited < 0 && errno == EINTR);
}

}  // namespace memmap::sys
