// THE CONTRACT, third part: words of memory that processes share. Sleeping on one and waking who
// sleeps, and the kernel's list of locks that a thread leaves behind when it dies.
//
// Words are 32 bits, aligned. Nothing here reads or writes one itself: a bad address is EFAULT,
// never a signal. Implemented by linux_sync.cc and darwin_sync.cc.
#pragma once

#include "sys/sys.h"

namespace memmap::sys {

// Blocks while the word holds `value`, until somebody wakes it, for at most that long. A Status of
// success may also mean nothing at all; EAGAIN: it holds another value; ETIMEDOUT; EFAULT. ENOTSUP
// where the system cannot do it between processes.
Status futex_wait(const uint32_t* word, uint32_t value, uint64_t nanoseconds);

// What futex_wait() would begin with, without sleeping: success when the word holds `value`.
Status futex_check(const uint32_t* word, uint32_t value);

// Wakes up to `count` who sleep on the word, in any process, oldest first. Says how many.
Result<size_t> futex_wake(const uint32_t* word, size_t count);

struct WaitWord {
  const uint32_t* word;
  uint32_t value;
};
constexpr size_t kMostWaitWords = 128;
// futex_wait() on many words without a limit of time (Linux 5.16). Says the last of those that were
// woken; the error is that of any of them. ENOSYS: one thread can sleep on one word only.
Result<size_t> futex_wait_any(const WaitWord* words, size_t count);

// The calling thread's list of the locks it holds, as the kernel walks it when the thread dies:
//
//   head -> node -> node -> head        the lock word of a node is `to_word` bytes from it
//
// `pending` is the node of the lock that is being taken or let go. The C library uses the same
// list: `previous` of a node (8 bytes before it) and the order of steps are its own too.
struct RobustList {
  uintptr_t* head = nullptr;  // its own address where the list is empty
  uintptr_t* pending = nullptr;
  ptrdiff_t to_word = 0;
};
// ENOTSUP: this system has none.
Result<RobustList> robust_list();

// The calling thread as lock words name it.
[[nodiscard]] uint32_t thread_number();

}  // namespace memmap::sys
