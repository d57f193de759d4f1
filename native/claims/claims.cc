#include "claims/claims.h"

#include "views/array_buffer.h"

namespace memmap {

Claims& Claims::process() {
  static Claims* const claims = new Claims();
  return *claims;
}

Claim& Claims::add(const Claim& claim) {
  recent_ = &claims_.insert_or_assign(claim.pages.begin, claim).first->second;
  return *recent_;
}

void Claims::remove(const Claim& claim) {
  if (recent_ == &claim) recent_ = nullptr;
  watches::release(claim.watch);
  claims_.erase(claim.pages.begin);
}

Claim* Claims::at(uintptr_t address) {
  // What is made is looked at, and what is looked at is unmapped: mostly the same one again.
  if (recent_ != nullptr && recent_->pages.contains(address)) return recent_;
  auto next = claims_.upper_bound(address);
  if (next == claims_.begin()) return nullptr;
  Claim& claim = std::prev(next)->second;
  if (address >= claim.pages.end) return nullptr;
  recent_ = &claim;
  return recent_;
}

Claim* Claims::of(const void* environment, Range pages) {
  Claim* claim = at(pages.begin);
  if (claim == nullptr || claim->environment != environment) return nullptr;
  return claim->pages.contains(pages) ? claim : nullptr;
}

Claim* Claims::below(uintptr_t address) {
  const auto next = claims_.upper_bound(address);
  return next == claims_.begin() ? nullptr : &std::prev(next)->second;
}

Claim* Claims::first_in(Range pages) {
  const auto next = claims_.upper_bound(pages.begin);
  if (next != claims_.begin()) {
    Claim& below = std::prev(next)->second;
    if (pages.begin < below.pages.end) return &below;
  }
  if (next == claims_.end() || next->first >= pages.end) return nullptr;
  return &next->second;
}

Claim& Claims::split(Claim& claim, uintptr_t address) {
  Claim upper = claim;
  upper.pages.begin = address;
  upper.views = nullptr;
  upper.watch = watches::split(claim.watch, address);
  claim.pages.end = address;
  Claim& added = add(upper);
  View* lower_views = nullptr;
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    View*& list = view->bytes.begin >= address ? added.views : lower_views;
    push(list, view);
    view = following;
  }
  claim.views = lower_views;
  return added;
}

Claim& Claims::isolate(Range pages) {
  Claim* claim = at(pages.begin);
  if (claim->pages.begin < pages.begin) claim = &split(*claim, pages.begin);
  if (pages.end < claim->pages.end) split(*claim, pages.end);
  return *claim;
}

Claim& Claims::merge(Claim& vacant) {
  const Reserve* reserve = reserve_in(vacant.pages);
  if (reserve == nullptr) return vacant;
  const auto mergeable = [&](const Claim* claim) {
    return claim != nullptr && claim->vacant && claim->state == State::kMapped &&
           reserve->pages.contains(claim->pages);
  };
  Claim* merged = &vacant;
  Claim* below = at(vacant.pages.begin - 1);
  if (mergeable(below)) {
    below->pages.end = vacant.pages.end;
    remove(vacant);
    merged = below;
  }
  Claim* above = at(merged->pages.end);
  if (mergeable(above)) {
    merged->pages.end = above->pages.end;
    remove(*above);
  }
  return *merged;
}

void Claims::add_reserve(const Reserve& reserve) {
  reserves_.insert_or_assign(reserve.pages.begin, reserve);
}

void Claims::remove_reserve(uintptr_t begin) { reserves_.erase(begin); }

const Reserve* Claims::reserve_in(Range pages) const {
  if (reserves_.empty()) return nullptr;
  const auto next = reserves_.upper_bound(pages.begin);
  if (next != reserves_.begin()) {
    const Reserve& below = std::prev(next)->second;
    if (pages.begin < below.pages.end) return &below;
  }
  return next != reserves_.end() && next->first < pages.end ? &next->second : nullptr;
}

void Claims::remove_reserves_of(const void* environment) {
  std::erase_if(reserves_,
                [&](const auto& entry) { return entry.second.environment == environment; });
}

}  // namespace memmap
