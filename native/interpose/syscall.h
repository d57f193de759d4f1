// System calls as the kernel takes them: no errno, no libc, nothing that could be interposed.
// A negative answer is -errno.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

namespace memmap::interpose::syscalls {

#if defined(__x86_64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
  long result = number;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory", "cc");
  return x0;
}
#else
#error "the helper knows x86-64 and arm64"
#endif

// Addresses of programs are in the lower half.
inline bool failed(long result) { return result < 0; }
inline long number(const void* pointer) { return reinterpret_cast<long>(pointer); }

inline long mmap(uintptr_t at, size_t length, int protection, int flags, int fd, uint64_t offset) {
  return call(SYS_mmap, static_cast<long>(at), static_cast<long>(length), protection, flags, fd,
              static_cast<long>(offset));
}
inline long munmap(uintptr_t at, size_t length) {
  return call(SYS_munmap, static_cast<long>(at), static_cast<long>(length));
}
inline long mremap(uintptr_t at, size_t old_length, size_t new_length, int flags, uintptr_t to) {
  return call(SYS_mremap, static_cast<long>(at), static_cast<long>(old_length),
              static_cast<long>(new_length), flags, static_cast<long>(to));
}
inline long mprotect(uintptr_t at, size_t length, int protection) {
  return call(SYS_mprotect, static_cast<long>(at), static_cast<long>(length), protection);
}
inline long madvise(uintptr_t at, size_t length, int advice) {
  return call(SYS_madvise, static_cast<long>(at), static_cast<long>(length), advice);
}
inline long open(const char* path, int flags, int mode = 0) {
  return call(SYS_openat, AT_FDCWD, number(path), flags | O_CLOEXEC, mode);
}
inline long close(long fd) { return call(SYS_close, fd); }
inline long unlink(const char* path) { return call(SYS_unlinkat, AT_FDCWD, number(path), 0); }
inline long read(long fd, void* to, size_t length) {
  return call(SYS_read, fd, number(to), static_cast<long>(length));
}
inline long write(long fd, const void* from, size_t length) {
  return call(SYS_write, fd, number(from), static_cast<long>(length));
}
inline long ftruncate(long fd, uint64_t length) {
  return call(SYS_ftruncate, fd, static_cast<long>(length));
}
inline long fallocate(long fd, uint64_t length) {
  return call(SYS_fallocate, fd, 0, 0, static_cast<long>(length));
}
// A file that would become longer than this is SIGXFSZ, which ends the program.
inline uint64_t file_limit() {
  uint64_t limits[2] = {0, 0};
  constexpr long kFileSize = 1;  // RLIMIT_FSIZE
  const long got = call(SYS_prlimit64, 0, kFileSize, 0, number(limits));
  return failed(got) ? 0 : limits[0];
}
inline uint32_t getpid() { return static_cast<uint32_t>(call(SYS_getpid)); }
inline uint32_t getppid() { return static_cast<uint32_t>(call(SYS_getppid)); }
inline uint32_t gettid() { return static_cast<uint32_t>(call(SYS_gettid)); }
inline long futex_wait(const void* word, uint32_t value, uint64_t nanoseconds) {
  const timespec most{static_cast<time_t>(nanoseconds / 1000000000),
                      static_cast<long>(nanoseconds % 1000000000)};
  return call(SYS_futex, number(word), FUTEX_WAIT_PRIVATE, value, number(&most));
}
inline void futex_wake(const void* word) { call(SYS_futex, number(word), FUTEX_WAKE_PRIVATE, 1); }

// By the vDSO, where there is one: no system call. Safe in a handler.
inline uint64_t now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace memmap::interpose::syscalls
