// What no owned range holds any more: views whose ArrayBuffer is detached or gone, and retired
// pages that wait for their time. Private to views/; guarded by the lock of OwnedRanges.
#pragma once

#include <cstdint>
#include <deque>

#include "views/view_index.h"

namespace memmap::views {

struct Quarantined {
  Range pages;
  uint64_t since;
  uint64_t ticket;  // of the owned ranges that are it
};

// Never destroyed, like OwnedRanges.
struct QuarantineLists {
  ViewIndex orphaned;
  ViewIndex detached_views;
  // Views of a reserve, over any number of owned ranges: in no owned range's list.
  ViewIndex reserve_views;
  std::deque<Quarantined> queue;
  size_t quarantined_bytes = 0;
  // Grows where the kernel has no room to let ranges go, so that not every retirement tries again.
  size_t most_ranges = 16'384;
};
QuarantineLists& quarantine_lists();

// Nobody can be reading the owned range any more, but for native code that is late: it waits for
// its time.
void quarantine(OwnedRange& owned_range);

}  // namespace memmap::views
