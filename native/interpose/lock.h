// A lock for those who may be anywhere: in a signal handler that interrupted its holder, in a
// process whose other threads are stopped, in a child forked while it was held. It may say no.
#pragma once

#include <atomic>

#include "interpose/syscall.h"

namespace memmap::interpose {

class Lock {
 public:
  // False: this thread holds it already, below in the stack, or its holder has not moved for long.
  bool take(uint32_t thread) {
    uint32_t found = kFree;
    if (word_.compare_exchange_strong(found, thread, std::memory_order_acquire)) return true;
    if ((found & ~kAwaited) == thread || stuck_.load(std::memory_order_relaxed)) return false;
    return wait(thread);
  }

  void give() {
    stuck_.store(false, std::memory_order_relaxed);
    if ((word_.exchange(kFree, std::memory_order_release) & kAwaited) != 0) {
      syscalls::futex_wake(&word_);
    }
  }

 private:
  // Who holds it, in one word: a handler must never find it held by nobody.
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kAwaited = uint32_t{1} << 31;
  static constexpr int kSpins = 200;
  static constexpr uint64_t kPatience = 100'000'000;  // nanoseconds

  bool wait(uint32_t thread) {
    for (int spin = 0; spin < kSpins; ++spin) {
      uint32_t found = kFree;
      if (word_.load(std::memory_order_relaxed) == kFree &&
          word_.compare_exchange_weak(found, thread, std::memory_order_acquire)) {
        return true;
      }
    }
    const uint64_t until = syscalls::now() + kPatience;
    for (;;) {
      uint32_t found = word_.load(std::memory_order_relaxed);
      if (found == kFree) {
        // There may be others who wait.
        if (word_.compare_exchange_weak(found, thread | kAwaited, std::memory_order_acquire)) {
          return true;
        }
        continue;
      }
      const uint32_t awaited = found | kAwaited;
      if (found != awaited && !word_.compare_exchange_weak(found, awaited)) continue;
      const uint64_t time = syscalls::now();
      if (time >= until) {
        // Once is enough: until the holder goes on nobody else waits for it.
        stuck_.store(true, std::memory_order_relaxed);
        return false;
      }
      syscalls::futex_wait(&word_, awaited, until - time);
    }
  }

  std::atomic<uint32_t> word_{kFree};
  std::atomic<bool> stuck_{false};
};

}  // namespace memmap::interpose
