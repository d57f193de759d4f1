// What pages allow and what becomes of them: mprotect and madvise.
#include <sys/mman.h>

#include <algorithm>

#include "claims/map_count_budget.h"
#include "faults/guard_policy.h"
#include "faults/repair.h"
#include "space/ownership.h"
#include "space/space.h"

namespace memmap::space {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kGuardInstall = 102;  // Linux 6.13: the pages can no longer be read
constexpr int kGuardRemove = 103;

// Advice that only hints; any other may throw away what a private page alone holds.
bool throws_away(int advice) {
  constexpr int kHints[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED};
  return std::find(std::begin(kHints), std::end(kHints), advice) == std::end(kHints);
}

Outcome discard_strays(OwnedRanges& owned_ranges, Range pages) {
  for (OwnedRange* owned_range = owned_ranges.first_in(pages);
       owned_range != nullptr && owned_range->pages.begin < pages.end;
       owned_range = owned_ranges.at(owned_range->pages.end)) {
    const Outcome discarded = repair::discard_strays(*owned_range);
    if (!discarded.ok()) return discarded;
  }
  return {};
}

// The pages are no longer just what mapAnonymous() made, or can no longer be made zero by advice.
void change(OwnedRanges& owned_ranges, Range pages, bool discardable) {
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    owned_range.discardable = owned_range.discardable && discardable;
    owned_range.recyclable = false;
  });
}

// Guard pages were installed, or removed: where some may be.
void note_holes(OwnedRanges& owned_ranges, Range pages, bool installed) {
  for (OwnedRange* owned_range = owned_ranges.first_in(pages);
       owned_range != nullptr && owned_range->pages.begin < pages.end;
       owned_range = owned_ranges.at(owned_range->pages.end)) {
    Range& guard_hole = owned_range->guard_hole;
    const Range part = owned_range->pages.intersect(pages);
    if (!installed) {
      if (part.contains(guard_hole)) guard_hole = {};
    } else if (guard_hole.empty()) {
      guard_hole = part;
    } else {
      guard_hole = {std::min(guard_hole.begin, part.begin), std::max(guard_hole.end, part.end)};
    }
  }
}

}  // namespace

Outcome protect(Environment& environment, Range pages, int protection) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Outcome owned = ownership::verify(owned_ranges, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  if (!pages.empty() && !map_count_budget::allows(owned_ranges.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "mprotect"};
  }
  if (pages.empty()) return sys::protect(pages, protection);
  const bool readable = (protection & PROT_READ) != 0;
  const bool writable = (protection & PROT_WRITE) != 0;
  if (!readable || !writable) guard_policy::guard_all(owned_ranges, environment, pages);
  guarded_ranges::ScopedRangeLock range_lock;
  guard_policy::lock(owned_ranges, pages, range_lock);
  const Outcome allowed = writable ? Outcome() : guard_policy::check_unwritten(owned_ranges, pages);
  if (!allowed.ok()) return allowed;
  const Outcome discarded = discard_strays(owned_ranges, pages);
  if (!discarded.ok()) return discarded;
  if (!readable) {
    const Outcome revoked = ownership::revoke_views(owned_ranges, environment, pages);
    if (!revoked.ok()) return revoked;
    guard_policy::expect_late_access(owned_ranges, pages);
  }
  const sys::Status done = sys::protect(pages, protection);
  guard_policy::set_protection(owned_ranges, pages, protection, done.ok());
  // Also where it failed: the kernel may have changed the pages before the one it refused.
  change(owned_ranges, pages, protection == kReadWrite);
  return done;
}

Outcome advise(Environment& environment, Range pages, int advice) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Outcome owned = ownership::verify(owned_ranges, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  if (!pages.empty() && !map_count_budget::allows(owned_ranges.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "madvise"};
  }
  guarded_ranges::ScopedRangeLock range_lock;
  if (throws_away(advice) && !pages.empty()) {
    guard_policy::lock(owned_ranges, pages, range_lock);
    const Outcome undamaged = guard_policy::check_undamaged(owned_ranges, pages);
    if (!undamaged.ok()) return undamaged;
  }
  const bool unreadable = advice == kGuardInstall && !pages.empty();
  if (unreadable) {
    guard_policy::guard_all(owned_ranges, environment, pages);
    guard_policy::lock(owned_ranges, pages, range_lock);
    const Outcome revoked = ownership::revoke_views(owned_ranges, environment, pages);
    if (!revoked.ok()) return revoked;
    guard_policy::expect_late_access(owned_ranges, pages);
  }
  const sys::Status done = sys::advise(pages, advice);
  if (unreadable || (advice == kGuardRemove && done.ok()))
    note_holes(owned_ranges, pages, unreadable);
  // Any advice may have changed what kind of memory it is.
  if (!pages.empty()) change(owned_ranges, pages, !unreadable);
  return done;
}

}  // namespace memmap::space
