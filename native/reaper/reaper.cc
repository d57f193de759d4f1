// memmap-reaper PATH [stay]: a process that waits until nobody has an object of shared memory open,
// however they went, and removes its name. Descriptor 3 is an open file of its own, with no lock
// yet; every user's open file has a shared lock on the same byte. Knows the kernel only: no C
// library, so that one program fits glibc and musl, and takes a few pages.
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>

#include "interpose/syscall.h"
#include "reaper/presence.h"

namespace memmap::reaper {
namespace {

namespace syscalls = interpose::syscalls;

constexpr long kObject = 3;
constexpr long kInterrupted = -4;    // EINTR
constexpr int kSetLockAndWait = 38;  // F_OFD_SETLKW

[[noreturn]] void leave(int code) {
  for (;;) syscalls::call(SYS_exit_group, code);
}

// What the terminal and the pipes of whoever started it must not wait for.
void close_all_but_object() {
  for (long fd = 0; fd < kObject; ++fd) syscalls::close(fd);
  if (!syscalls::failed(syscalls::call(SYS_close_range, kObject + 1, UINT32_MAX, 0))) return;
  constexpr long kMost = 65536;  // before 5.9
  for (long fd = kObject + 1; fd < kMost; ++fd) syscalls::close(fd);
}

// Waits until nobody else has a lock on that byte.
bool lock(int64_t byte) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_start = byte;
  whole.l_len = 1;
  long answer = 0;
  do {
    answer = syscalls::call(SYS_fcntl, kObject, kSetLockAndWait, syscalls::number(&whole));
  } while (answer == kInterrupted);
  return !syscalls::failed(answer);
}

// The name may be somebody else's by now.
bool is_still(const char* path) {
  struct stat ours {};
  struct stat named {};
  return !syscalls::failed(syscalls::call(SYS_fstat, kObject, syscalls::number(&ours))) &&
         !syscalls::failed(syscalls::call(SYS_newfstatat, AT_FDCWD, syscalls::number(path),
                                          syscalls::number(&named), AT_SYMLINK_NOFOLLOW)) &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

// Called with the stack that the kernel made: a count, then the words.
extern "C" [[noreturn]] __attribute__((used)) void memmap_reaper(const long* stack) {
  if (stack[0] < 2) leave(2);
  const char* path = reinterpret_cast<const char*>(stack[2]);
  syscalls::call(SYS_setsid);
  // Whoever started it waits for the first one only, unless all orphans would be its own.
  const bool stays = stack[0] > 2;
  const long child = stays ? 0 : syscalls::call(SYS_clone, SIGCHLD);
  if (child != 0) leave(syscalls::failed(child) ? 1 : 0);
  close_all_but_object();
  syscalls::call(SYS_chdir, syscalls::number("/"));
  if (lock(kPresenceByte) && lock(kRemovalByte) && is_still(path)) syscalls::unlink(path);
  leave(0);
}

}  // namespace memmap::reaper

#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start:\n"
    "xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call memmap_reaper\n hlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x0, sp\n bl memmap_reaper\n brk #0\n");
#endif
