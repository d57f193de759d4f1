#include "claims/claims.h"

#include "claims/view.h"

namespace memmap {

OwnedRanges& OwnedRanges::process() {
  static OwnedRanges* const owned_ranges = new OwnedRanges();
  return *owned_ranges;
}

OwnedRange& OwnedRanges::add(const OwnedRange& owned_range) {
  recent_ = &ranges_.insert_or_assign(owned_range.pages.begin, owned_range).first->second;
  return *recent_;
}

void OwnedRanges::remove(const OwnedRange& owned_range) {
  if (recent_ == &owned_range) recent_ = nullptr;
  guarded_ranges::release(owned_range.guard);
  ranges_.erase(owned_range.pages.begin);
}

OwnedRange* OwnedRanges::at(uintptr_t address) {
  // What is made is looked at, and what is looked at is unmapped: mostly the same one again.
  if (recent_ != nullptr && recent_->pages.contains(address)) return recent_;
  auto next = ranges_.upper_bound(address);
  if (next == ranges_.begin()) return nullptr;
  OwnedRange& owned_range = std::prev(next)->second;
  if (address >= owned_range.pages.end) return nullptr;
  recent_ = &owned_range;
  return recent_;
}

OwnedRange* OwnedRanges::of(const void* environment, Range pages) {
  OwnedRange* owned_range = at(pages.begin);
  if (owned_range == nullptr || owned_range->environment != environment) return nullptr;
  return owned_range->pages.contains(pages) ? owned_range : nullptr;
}

OwnedRange* OwnedRanges::below(uintptr_t address) {
  const auto next = ranges_.upper_bound(address);
  return next == ranges_.begin() ? nullptr : &std::prev(next)->second;
}

OwnedRange* OwnedRanges::first_in(Range pages) {
  const auto next = ranges_.upper_bound(pages.begin);
  if (next != ranges_.begin()) {
    OwnedRange& below = std::prev(next)->second;
    if (pages.begin < below.pages.end) return &below;
  }
  if (next == ranges_.end() || next->first >= pages.end) return nullptr;
  return &next->second;
}

OwnedRange& OwnedRanges::split(OwnedRange& owned_range, uintptr_t address) {
  OwnedRange upper = owned_range;
  upper.pages.begin = address;
  upper.views = nullptr;
  upper.guard = guarded_ranges::split(owned_range.guard, address);
  owned_range.pages.end = address;
  OwnedRange& added = add(upper);
  View* lower_views = nullptr;
  for (View* view = owned_range.views; view != nullptr;) {
    View* following = view->next;
    View*& list = view->bytes.begin >= address ? added.views : lower_views;
    push(list, view);
    view = following;
  }
  owned_range.views = lower_views;
  return added;
}

OwnedRange& OwnedRanges::isolate(Range pages) {
  OwnedRange* owned_range = at(pages.begin);
  if (owned_range->pages.begin < pages.begin) owned_range = &split(*owned_range, pages.begin);
  if (pages.end < owned_range->pages.end) split(*owned_range, pages.end);
  return *owned_range;
}

OwnedRange& OwnedRanges::merge(OwnedRange& vacant) {
  const Reserve* reserve = reserve_in(vacant.pages);
  if (reserve == nullptr) return vacant;
  const auto mergeable = [&](const OwnedRange* owned_range) {
    return owned_range != nullptr && owned_range->vacant && owned_range->state == State::kMapped &&
           reserve->pages.contains(owned_range->pages);
  };
  OwnedRange* merged = &vacant;
  OwnedRange* below = at(vacant.pages.begin - 1);
  if (mergeable(below)) {
    below->pages.end = vacant.pages.end;
    remove(vacant);
    merged = below;
  }
  OwnedRange* above = at(merged->pages.end);
  if (mergeable(above)) {
    merged->pages.end = above->pages.end;
    remove(*above);
  }
  return *merged;
}

void OwnedRanges::add_reserve(const Reserve& reserve) {
  reserves_.insert_or_assign(reserve.pages.begin, reserve);
}

void OwnedRanges::remove_reserve(uintptr_t begin) { reserves_.erase(begin); }

const Reserve* OwnedRanges::reserve_in(Range pages) const {
  if (reserves_.empty()) return nullptr;
  const auto next = reserves_.upper_bound(pages.begin);
  if (next != reserves_.begin()) {
    const Reserve& below = std::prev(next)->second;
    if (pages.begin < below.pages.end) return &below;
  }
  return next != reserves_.end() && next->first < pages.end ? &next->second : nullptr;
}

void OwnedRanges::remove_reserves_of(const void* environment) {
  std::erase_if(reserves_,
                [&](const auto& entry) { return entry.second.environment == environment; });
}

}  // namespace memmap
