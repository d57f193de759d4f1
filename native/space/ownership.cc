#include "space/ownership.h"

#include <algorithm>

#include "claims/reserves.h"

namespace memmap::books {

namespace {

// Retired pages of a reserve whose owner is named: they stay readable whatever is placed there.
bool is_cooling(const Claims& claims, const Environment& environment, const Claim& claim,
                const Args::Numbers& owners) {
  if (claim.state == State::kAbandoned) return false;
  const Reserve* reserve = reserves::home_of(claims, claim.pages);
  return reserve != nullptr && reserve->environment == &environment && owners.has(reserve->owner);
}

// Views that nobody could have pinned: what they were of is unmapped, and these pages came after.
bool is_haunted(Claims& claims, Range pages) {
  bool found = false;
  claims.each_in(pages, [&](const Claim& claim) {
    const bool after = claim.haunted || claim.environment == nullptr;
    found = found || (after && buffers::readable_by_others(claim.pages.intersect(pages)));
  });
  return found;
}

}  // namespace

Outcome verify(Claims& claims, Environment& environment, Range pages, const Args::Numbers* owners) {
  for (uintptr_t at = pages.begin; at < pages.end;) {
    const Claim* claim = claims.at(at);
    if (claim == nullptr) return {Refusal::kForeign, at};
    if (claim->environment == nullptr) {
      if (owners == nullptr || !is_cooling(claims, environment, *claim, *owners)) {
        return {Refusal::kRetired, at};
      }
      // What nobody can detach would show what is placed there, and change it.
      if (buffers::shown_by_others(claim->pages.intersect(pages))) return {Refusal::kBusy, at};
    } else {
      if (claim->environment != &environment) return {Refusal::kForeign, at};
      if (owners != nullptr && !owners->has(claim->owner)) return {Refusal::kUnnamed, at};
      // Nothing is there that a call could be about.
      if (owners == nullptr && claim->vacant) return {Refusal::kPlaced, at};
    }
    at = claim->pages.end;
  }
  return {};
}

bool is_whole(const Claim& claim, Range pages) {
  return claim.pages.begin == pages.begin && claim.pages.end == pages.end;
}

bool is_viewed(Claims& claims, Range pages) {
  bool viewed = buffers::readable_by_others(pages);
  claims.each_in(pages, [&](const Claim& claim) { viewed = viewed || claim.viewed; });
  return viewed;
}

void forget(Claims& claims, Environment& own, Range pages, buffers::Spans spans) {
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    buffers::detach(own, *claim, part, spans);
    const Range before = claim->pages;
    const bool waiting = claim->environment == nullptr;
    claims.remove(claims.isolate(part));
    // A piece that no view lies over waits for nothing any more.
    if (waiting) buffers::settle(claims, before);
  }
}

void detach(Claims& claims, Environment& own, Range pages) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    buffers::detach(own, *claim, claim->pages.intersect(pages));
  }
}

Outcome blind(Claims& claims, Environment& own, Range pages) {
  if (buffers::escaped(own.env, claims, pages)) return {Refusal::kBusy, pages.begin};
  if (is_haunted(claims, pages)) {
    buffers::sweep(claims, own, true);
    if (is_haunted(claims, pages)) return {Refusal::kBusy, pages.begin};
  }
  detach(claims, own, pages);
  if (buffers::held(pages)) return {Refusal::kBusy, pages.begin};
  return {};
}

void evict_stale(Claims& claims, Range pages) {
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    buffers::hold(*claim, part);
    const Range before = claim->pages;
    const bool waiting = claim->environment == nullptr;
    claims.remove(claims.isolate(part));
    if (waiting) buffers::settle(claims, before);
  }
}

Outcome after_failed_move(Claims& claims, Environment& own, Range target, sys::Status failed) {
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
  const bool viewed = is_viewed(claims, target);
  forget(claims, own, target);
  const Reserve* home = reserves::home_of(claims, target);
  if (viewed) {
    buffers::leave_zeros(claims, target);
  } else if (home != nullptr) {
    reserves::refill(claims, target, *home);
  }
  outcome.destroyed = true;
  return outcome;
}

}  // namespace memmap::books
