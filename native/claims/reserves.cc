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

Claim vacant(const Reserve& reserve, Range pages) {
  Claim claim;
  claim.pages = pages;
  claim.environment = reserve.environment;
  claim.owner = reserve.owner;
  claim.vacant = true;
  claim.anonymous = true;
  claim.protection = PROT_NONE;
  return claim;
}

}  // namespace

const Reserve* home_of(const Claims& claims, Range pages) {
  const Reserve* reserve = claims.reserve_in(pages);
  return reserve != nullptr && reserve->pages.contains(pages) ? reserve : nullptr;
}

sys::Status empty(Range pages) {
  const sys::Status emptied = sys::overlay_anonymous(pages, PROT_NONE, kEmpty);
  // Where that fails a forked child inherits pages that it cannot use: no harm.
  if (emptied.ok()) static_cast<void>(sys::keep_from_children(pages).ok());
  return emptied;
}

void vacate(Claims& claims, Claim& claim, const Reserve& reserve) {
  watches::release(claim.watch);
  claim = vacant(reserve, claim.pages);
  claims.merge(claim);
}

void refill(Claims& claims, Range hole, const Reserve& reserve) {
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_NONE, kEmpty, -1, 0);
  if (!filled.ok()) return;  // another thread was quicker: it is theirs
  static_cast<void>(sys::keep_from_children(hole).ok());
  claims.merge(claims.add(vacant(reserve, hole)));
}

}  // namespace reserves

namespace space {

Outcome hold_reserve(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr || !books::is_whole(*claim, pages)) return {Refusal::kForeign, pages.begin};
  const bool used = claim->protection != PROT_NONE || claim->viewed || claim->watch != nullptr;
  if (used || claims.reserve_in(pages) != nullptr) {
    return {Refusal::kArgument, pages.begin};
  }
  // Whatever it was, it is empty pages now: what commit() will believe of it.
  const sys::Status emptied = reserves::empty(pages);
  if (!emptied.ok()) return emptied;
  const Reserve reserve{pages, &environment, claim->owner};
  claims.add_reserve(reserve);
  reserves::vacate(claims, *claim, reserve);
  return {};
}

Outcome release_reserve(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Reserve* reserve = claims.reserve_in(pages);
  const bool whole =
      reserve != nullptr && reserve->pages.begin == pages.begin && reserve->pages.end == pages.end;
  if (!whole || reserve->environment != &environment) return {Refusal::kForeign, pages.begin};
  claims.remove_reserve(pages.begin);
  claims.each_in(pages, [&](Claim& claim) {
    if (claim.vacant) buffers::release(claims, claim);
  });
  return {};
}

bool is_vacant(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Claim* claim = claims.of(&environment, pages);
  return claim != nullptr && claim->vacant;
}

}  // namespace space
}  // namespace memmap
