// Reserves as verbs: make one, give it back, ask whether a part of it is vacant.
#include <sys/mman.h>

#include "claims/reserves.h"
#include "space/ownership.h"
#include "space/space.h"
#include "views/array_buffer.h"

namespace memmap::space {

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

}  // namespace memmap::space
