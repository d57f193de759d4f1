// Changes of a set that could not be made, since its lock could not be taken: whoever takes it next
// makes them. A few, without an order.
#pragma once

#include <atomic>

#include "base/range.h"

namespace memmap::interpose {

class DeferredUpdates {
 public:
  // False: there is no room for one more.
  bool push(bool adding, Range range) {
    for (Slot& slot : slots_) {
      uint32_t free = kFree;
      if (!slot.state.compare_exchange_strong(free, kBusy)) continue;
      slot.adding = adding;
      slot.range = range;
      slot.state.store(kFull, std::memory_order_release);
      waiting_.fetch_add(1, std::memory_order_release);
      return true;
    }
    return false;
  }

  template <typename Apply>
  void drain(Apply apply) {
    if (waiting_.load(std::memory_order_acquire) == 0) return;
    for (Slot& slot : slots_) {
      uint32_t full = kFull;
      if (!slot.state.compare_exchange_strong(full, kBusy)) continue;
      apply(slot.adding, slot.range);
      slot.state.store(kFree, std::memory_order_release);
      waiting_.fetch_sub(1, std::memory_order_release);
    }
  }

 private:
  enum : uint32_t { kFree, kBusy, kFull };
  struct Slot {
    std::atomic<uint32_t> state;
    bool adding;
    Range range;
  };
  Slot slots_[64]{};
  std::atomic<uint32_t> waiting_{0};
};

}  // namespace memmap::interpose
