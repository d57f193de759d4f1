#include "space/ownership.h"

#include <algorithm>

#include "claims/reserves.h"

namespace memmap::ownership {

namespace {

// Retired pages of a reserve whose owner is named: they stay readable whatever is placed there.
bool is_retired_part(const OwnedRanges& owned_ranges, const Environment& environment,
                     const OwnedRange& owned_range, Owners owners) {
  if (owned_range.state == State::kAbandoned) return false;
  const Reserve* reserve = reserves::home_of(owned_ranges, owned_range.pages);
  return reserve != nullptr && reserve->environment == &environment &&
         names(owners, reserve->owner);
}

// Views that nobody could have pinned: what they were of is unmapped, and these pages came after.
bool any_stale_readers(OwnedRanges& owned_ranges, Range pages) {
  bool found = false;
  owned_ranges.each_in(pages, [&](const OwnedRange& owned_range) {
    const bool after = owned_range.has_stale_readers || owned_range.environment == nullptr;
    found = found || (after && views::readable_by_others(owned_range.pages.intersect(pages)));
  });
  return found;
}

}  // namespace

Outcome verify(OwnedRanges& owned_ranges, Environment& environment, Range pages,
               const Owners* owners) {
  for (uintptr_t at = pages.begin; at < pages.end;) {
    const OwnedRange* owned_range = owned_ranges.at(at);
    if (owned_range == nullptr) return {Refusal::kForeign, at};
    if (owned_range->environment == nullptr) {
      if (owners == nullptr || !is_retired_part(owned_ranges, environment, *owned_range, *owners)) {
        return {Refusal::kRetired, at};
      }
      // What nobody can detach would show what is placed there, and change it.
      if (views::shown_by_others(owned_range->pages.intersect(pages))) return {Refusal::kBusy, at};
    } else {
      if (owned_range->environment != &environment) return {Refusal::kForeign, at};
      if (owners != nullptr && !names(*owners, owned_range->owner)) return {Refusal::kUnnamed, at};
      // Nothing is there that a call could be about.
      if (owners == nullptr && owned_range->vacant) return {Refusal::kPlaced, at};
    }
    at = owned_range->pages.end;
  }
  return {};
}

bool is_whole(const OwnedRange& owned_range, Range pages) {
  return owned_range.pages.begin == pages.begin && owned_range.pages.end == pages.end;
}

bool is_exposed(OwnedRanges& owned_ranges, Range pages) {
  bool exposed = views::readable_by_others(pages);
  owned_ranges.each_in(
      pages, [&](const OwnedRange& owned_range) { exposed = exposed || owned_range.exposed; });
  return exposed;
}

void forget(OwnedRanges& owned_ranges, Environment& own, Range pages,
            views::ReserveViews reserve_views) {
  while (OwnedRange* owned_range = owned_ranges.first_in(pages)) {
    const Range part = owned_range->pages.intersect(pages);
    views::detach(own, *owned_range, part, reserve_views);
    const Range before = owned_range->pages;
    const bool waiting = owned_range->environment == nullptr;
    owned_ranges.remove(owned_ranges.isolate(part));
    // A piece that no view lies over waits for nothing any more.
    if (waiting) views::on_readers_gone(owned_ranges, before);
  }
}

void detach(OwnedRanges& owned_ranges, Environment& own, Range pages) {
  for (OwnedRange* owned_range = owned_ranges.first_in(pages);
       owned_range != nullptr && owned_range->pages.begin < pages.end;
       owned_range = owned_ranges.at(owned_range->pages.end)) {
    views::detach(own, *owned_range, owned_range->pages.intersect(pages));
  }
}

Outcome revoke_views(OwnedRanges& owned_ranges, Environment& own, Range pages) {
  if (views::escaped(own.env, owned_ranges, pages)) return {Refusal::kBusy, pages.begin};
  if (any_stale_readers(owned_ranges, pages)) {
    views::sweep(owned_ranges, own, true);
    if (any_stale_readers(owned_ranges, pages)) return {Refusal::kBusy, pages.begin};
  }
  detach(owned_ranges, own, pages);
  if (views::has_orphans(pages)) return {Refusal::kBusy, pages.begin};
  return {};
}

void remove_stale(OwnedRanges& owned_ranges, Range pages) {
  while (OwnedRange* owned_range = owned_ranges.first_in(pages)) {
    const Range part = owned_range->pages.intersect(pages);
    views::orphan(*owned_range, part);
    const Range before = owned_range->pages;
    const bool waiting = owned_range->environment == nullptr;
    owned_ranges.remove(owned_ranges.isolate(part));
    if (waiting) views::on_readers_gone(owned_ranges, before);
  }
}

Outcome after_failed_move(OwnedRanges& owned_ranges, Environment& own, Range target,
                          sys::Status failed) {
  Outcome outcome(failed);
  Range covered{target.begin, target.begin};
  const auto visit = [](void* context, const sys::Region& region) {
    Range& so_far = *static_cast<Range*>(context);
    if (region.range.begin > so_far.end) return false;
    so_far.end = std::max(so_far.end, region.range.end);
    return true;
  };
  const bool listed = sys::regions(target, visit, &covered).ok();
  if (listed && covered.end >= target.end) return outcome;
  const bool exposed = is_exposed(owned_ranges, target);
  forget(owned_ranges, own, target);
  const Reserve* home = reserves::home_of(owned_ranges, target);
  if (exposed) {
    views::leave_zeros(owned_ranges, target);
  } else if (home != nullptr) {
    reserves::refill(owned_ranges, target, *home);
  }
  outcome.destroyed = true;
  return outcome;
}

}  // namespace memmap::ownership
