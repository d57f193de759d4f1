// Before a view is made: whether its bytes are ours and can be read, and from here on guarded.
#include <sys/mman.h>

#include "claims/reserves.h"
#include "faults/guard_policy.h"
#include "space/space.h"

namespace memmap::space {

namespace {

// 0: all can be read.
uintptr_t first_unreadable(const OwnedRange& owned_range, Range bytes) {
  Range pages;
  if (!outward(bytes, sys::page_size(), &pages)) return bytes.begin;
  if (owned_range.protection >= 0 && (owned_range.protection & PROT_READ) == 0) return pages.begin;
  uintptr_t found = 0;
  const auto visit = [](void* context, const sys::Region& region) {
    if ((region.protection & PROT_READ) != 0) return true;
    *static_cast<uintptr_t*>(context) = region.range.begin;
    return false;
  };
  const bool mixed = owned_range.protection == kMixedProtection;
  if (mixed) static_cast<void>(sys::regions(pages, visit, &found).ok());
  char byte = 0;
  const Range doubtful = pages.intersect(owned_range.guard_hole);
  for (uintptr_t at = doubtful.begin; found == 0 && at < doubtful.end; at += sys::page_size()) {
    if (!sys::copy(&byte, reinterpret_cast<void*>(at), 1, true).ok()) found = at;
  }
  return found;
}

}  // namespace

Outcome open_view(Environment& environment, Range bytes) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.of(&environment, bytes);
  if (owned_range == nullptr) return {Refusal::kForeign, bytes.begin};
  const uintptr_t hole = first_unreadable(*owned_range, bytes);
  if (hole != 0) return {Refusal::kUnreadable, hole};
  owned_range->exposed = true;
  guard_policy::guard(*owned_range, environment);
  return {};
}

Outcome open_reserve_view(Environment& environment, Range bytes) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Reserve* reserve = reserves::home_of(owned_ranges, bytes);
  if (reserve == nullptr || reserve->environment != &environment) {
    return {Refusal::kForeign, bytes.begin};
  }
  for (uintptr_t at = bytes.begin; at < bytes.end;) {
    const OwnedRange* owned_range = owned_ranges.at(at);
    if (owned_range == nullptr || owned_range->environment != &environment) {
      return {Refusal::kUnreadable, at};
    }
    const uintptr_t hole = first_unreadable(*owned_range, owned_range->pages.intersect(bytes));
    if (hole != 0) return {Refusal::kUnreadable, hole};
    at = owned_range->pages.end;
  }
  owned_ranges.each_in(bytes, [&](OwnedRange& owned_range) {
    owned_range.exposed = true;
    guard_policy::guard(owned_range, environment);
  });
  return {};
}

bool is_one_mapping(Environment& environment, Range bytes) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  return owned_ranges.of(&environment, bytes) != nullptr;
}

}  // namespace memmap::space
