#include "books.h"

#include <algorithm>

#include "buffers.h"

namespace memmap::books {

Outcome verify(Claims& claims, Environment& environment, Range pages, const Args::Numbers* owners) {
  for (uintptr_t at = pages.begin; at < pages.end;) {
    const Claim* claim = claims.at(at);
    if (claim == nullptr) return {Refusal::kForeign, at};
    if (claim->environment == nullptr) return {Refusal::kRetired, at};
    if (claim->environment != &environment) return {Refusal::kForeign, at};
    if (owners != nullptr && !owners->has(claim->owner)) return {Refusal::kUnnamed, at};
    at = claim->pages.end;
  }
  return {};
}

bool is_whole(const Claim& claim, Range pages) {
  return claim.pages.begin == pages.begin && claim.pages.end == pages.end;
}

bool forget(Claims& claims, Environment& own, Range pages) {
  bool viewed = false;
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    viewed = viewed || claim->viewed;
    buffers::detach(own, *claim, part);
    claims.remove(claims.isolate(part));
  }
  return viewed || buffers::readable_by_others(pages);
}

void detach(Claims& claims, Environment& own, Range pages) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    buffers::detach(own, *claim, claim->pages.intersect(pages));
  }
}

Outcome blind(Claims& claims, Environment& own, Range pages) {
  if (buffers::escaped(own.env, claims, pages)) return {Refusal::kBusy, pages.begin};
  detach(claims, own, pages);
  if (buffers::held(pages)) return {Refusal::kBusy, pages.begin};
  return {};
}

void evict_stale(Claims& claims, Range pages) {
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    buffers::hold(*claim, part);
    claims.remove(claims.isolate(part));
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
  if (forget(claims, own, target)) buffers::leave_zeros(claims, target);
  outcome.destroyed = true;
  return outcome;
}

}  // namespace memmap::books
