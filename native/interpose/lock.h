// A lock for those who may be anywhere: in a signal handler that interrupted its holder, in a
// process whose other threads are stopped, in a child forked while it was held. It may say no.
#pragma once

#include <atomic>

#include "raw.h"

namespace memmap::interpose {

class Lock {
 public:
  // False: this thread holds it already, below in the stack, or its holder has not moved for long.
  // `me`: an address that only this thread has.
  bool take(const void* me) {
    uint32_t found = kFree;
    if (!word_.compare_exchange_strong(found, kHeld, std::memory_order_acquire)) {
      if (holder_.load(std::memory_order_relaxed) == me || !wait()) return false;
    }
    holder_.store(me, std::memory_order_relaxed);
    return true;
  }

  void give() {
    holder_.store(nullptr, std::memory_order_relaxed);
    if (word_.exchange(kFree, std::memory_order_release) == kAwaited) raw::futex_wake(&word_);
  }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kAwaited = 2;
  static constexpr int kSpins = 200;
  static constexpr uint64_t kPatience = 50'000'000;  // nanoseconds

  bool wait() {
    for (int spin = 0; spin < kSpins; ++spin) {
      uint32_t found = kFree;
      if (word_.load(std::memory_order_relaxed) == kFree &&
          word_.compare_exchange_weak(found, kHeld, std::memory_order_acquire)) {
        return true;
      }
    }
    const uint64_t until = raw::now() + kPatience;
    while (word_.exchange(kAwaited, std::memory_order_acquire) != kFree) {
      const uint64_t time = raw::now();
      if (time >= until) return false;
      raw::futex_wait(&word_, kAwaited, until - time);
    }
    return true;
  }

  std::atomic<uint32_t> word_{kFree};
  std::atomic<const void*> holder_{nullptr};
};

}  // namespace memmap::interpose
