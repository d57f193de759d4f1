#include "claims/reserves.h"

#include <sys/mman.h>

#include "space/ownership.h"
#include "space/space.h"
#include "views/array_buffer.h"

namespace memmap {

namespace reserves {

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

}  // namespace reserves

namespace space {

Outcome hold_reserve(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  if (owned_range == nullptr || !ownership::is_whole(*owned_range, pages))
    return {Refusal::kForeign, pages.begin};
  const bool used =
      owned_range->protection != PROT_NONE || owned_range->exposed || owned_range->guard != nullptr;
  if (used || owned_ranges.reserve_in(pages) != nullptr) {
    return {Refusal::kArgument, pages.begin};
  }
  // Whatever it was, it is empty pages now: what commit() will believe of it.
  const sys::Status emptied = reserves::empty(pages);
  if (!emptied.ok()) return emptied;
  const Reserve reserve{pages, &environment, owned_range->owner};
  owned_ranges.add_reserve(reserve);
  reserves::vacate(owned_ranges, *owned_range, reserve);
  return {};
}

Outcome release_reserve(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Reserve* reserve = owned_ranges.reserve_in(pages);
  const bool whole =
      reserve != nullptr && reserve->pages.begin == pages.begin && reserve->pages.end == pages.end;
  if (!whole || reserve->environment != &environment) return {Refusal::kForeign, pages.begin};
  owned_ranges.remove_reserve(pages.begin);
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    if (owned_range.vacant) views::release(owned_ranges, owned_range);
  });
  return {};
}

bool is_vacant(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  return owned_range != nullptr && owned_range->vacant;
}

}  // namespace space
}  // namespace memmap
