// What no owned range holds any more: views whose ArrayBuffer is detached or gone, and retired
// pages that wait for their time. Private to views/; guarded by the lock of OwnedRanges.
#pragma once

#include <cstdint>
#include <deque>

#include "base/outcome.h"
#include "claims/claims.h"
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

// All of these need the lock of OwnedRanges.

// True when a view is orphaned over these pages.
bool has_orphans(Range pages);
// True when an ArrayBuffer that nobody can detach is known to show some of them: one whose own was
// collected a moment ago mostly has none.
bool shown_by_others(Range pages);
// True when native code may still be reading them, through a view that is orphaned or detached.
bool readable_by_others(Range pages);
// Zero pages in the place of `pages`, atomically; the file below them is released.
sys::Status replace_with_zeros(OwnedRange& owned_range, Range pages);
// An owned range of zero pages: kept until no reader can be left.
void retire(OwnedRanges& owned_ranges, OwnedRange& owned_range);
// Zero pages of ours, in nobody's name.
void retire_zeros(OwnedRanges& owned_ranges, Range pages);
// Zero pages where pages have just been unmapped under somebody who may still be reading them.
// Where another thread was quicker to map something there, it is theirs.
void leave_zeros(OwnedRanges& owned_ranges, Range hole);
// An owned range of its own that nobody can be reading: unmapped now.
void release(OwnedRanges& owned_ranges, OwnedRange& owned_range);
// The oldest quarantined range, out of quarantine and zero again, where that is crowded and the
// range is `length` bytes of recyclable memory: what would have to be unmapped is mapped again.
OwnedRange* recycle(OwnedRanges& owned_ranges, size_t length);
// Gives retired ranges back to the kernel: those old enough, or all that can go.
void reap(OwnedRanges& owned_ranges, bool all);

struct Retired {
  size_t ranges;
  size_t bytes;
};
Retired retired(OwnedRanges& owned_ranges);

}  // namespace memmap::views
