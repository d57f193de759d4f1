// Robust locks: 64 bytes of shared memory that one thread at a time holds. However that thread
// dies, the kernel says so in the lock and wakes one who waits: the lock is in the thread's robust
// list, the one that the C library uses for its own robust mutexes.
//
//   +0 word: the holder's number | 0x40000000 its holder died | 0x80000000 somebody waits
//   +8 owner   +16 kind   +20..+40 the list's   +40 generation        a free lock is all zeros
//
// These are the places of glibc's pthread_mutex_t, so that C can use a lock as a robust mutex.
// Everything a peer can write is garbage to us: what is linked how is known privately, too.
#pragma once

#include "base/environment.h"
#include "base/outcome.h"
#include "base/range.h"

namespace memmap::robust_lock {

constexpr size_t kSize = 64;
constexpr uint32_t kFutexWaiters = 0x80000000;
constexpr uint32_t kFutexOwnerDied = 0x40000000;
constexpr uint32_t kFutexTidMask = 0x3fffffff;

enum class LockResult {
  kLocked,
  kOwnerDied,  // its last holder died, or left it as if
  kHeld,       // by another thread
  kRelock,     // by this very thread
  kTooMany,    // the thread holds as many as the kernel would look after
};

struct LockOptions {
  bool contended;     // there may be others who sleep, so that letting it go wakes one
  bool cannot_fault;  // touching its memory will be no signal, as long as the environment lives
};
// All of these are about the calling thread. `address`: of a lock in memory that can be written,
// at a multiple of 8.
sys::Result<LockResult> try_lock(Environment& own, uintptr_t address, LockOptions options);

enum class UnlockResult {
  kUnlocked,
  kNotHeld,
  kCorrupt,  // it says that somebody else holds it. It is not ours any more, and stays as it is
  kWoke,     // left, and one who slept was woken
};
UnlockResult unlock(uintptr_t address, bool died);

// Sleeps on the word of a lock while it holds `value`. Whoever dies in it passes the wake-up on.
sys::Status sleep(uintptr_t address, uint32_t value, uint64_t nanoseconds);

// True when the thread holds a lock in `pages`.
[[nodiscard]] bool any_in(Range pages);
// Leaves those in `pages`, or all that it took through an environment, as if it had died.
void abandon(Range pages);
void abandon(const Environment& own);

}  // namespace memmap::robust_lock
