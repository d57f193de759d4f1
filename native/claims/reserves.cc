#include "claims/reserves.h"

#include <sys/mman.h>

namespace memmap::reserves {

namespace {

// NORESERVE: the pages are promised to nobody, so they cost no swap space either.
constexpr int kEmpty = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE;

OwnedRange vacant(const Reserve& reserve, Range pages) {
  OwnedRange owned_range;
  owned_range.pages = pages;
  owned_range.environment = reserve.environment;
  owned_range.owner = reserve.owner;
  owned_range.vacant = true;
  owned_range.anonymous = true;
  owned_range.protection = PROT_NONE;
  return owned_range;
}

}  // namespace

const Reserve* home_of(const OwnedRanges& owned_ranges, Range pages) {
  const Reserve* reserve = owned_ranges.reserve_in(pages);
  return reserve != nullptr && reserve->pages.contains(pages) ? reserve : nullptr;
}

sys::Status empty(Range pages) {
  const sys::Status emptied = sys::overlay_anonymous(pages, PROT_NONE, kEmpty);
  // Where that fails a forked child inherits pages that it cannot use: no harm.
  if (emptied.ok()) static_cast<void>(sys::keep_from_children(pages).ok());
  return emptied;
}

void vacate(OwnedRanges& owned_ranges, OwnedRange& owned_range, const Reserve& reserve) {
  guarded_ranges::release(owned_range.guard);
  owned_range = vacant(reserve, owned_range.pages);
  owned_ranges.merge(owned_range);
}

void refill(OwnedRanges& owned_ranges, Range hole, const Reserve& reserve) {
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_NONE, kEmpty, -1, 0);
  if (!filled.ok()) return;  // another thread was quicker: it is theirs
  static_cast<void>(sys::keep_from_children(hole).ok());
  owned_ranges.merge(owned_ranges.add(vacant(reserve, hole)));
}

}  // namespace memmap::reserves
