#include "sync/range_users.h"

#include <sys/mman.h>

#include <initializer_list>

namespace memmap::range_users {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

int protection_of(const OwnedRange& owned_range, uintptr_t address) {
  if (owned_range.protection != kMixedProtection) return owned_range.protection;
  int found = PROT_NONE;
  const auto visit = [](void* context, const sys::Region& region) {
    *static_cast<int*>(context) = region.protection;
    return false;
  };
  static_cast<void>(sys::regions({address, address + 1}, visit, &found).ok());
  return found;
}

}  // namespace

Outcome drop(Environment& environment, Range pages) {
  robust_lock::abandon(pages);
  waiters::invalidate_range(pages);
  return space::drop(environment, pages);
}

Outcome protect(Environment& environment, Range pages, int protection) {
  const bool usable = (protection & kReadWrite) == kReadWrite;
  if (!usable && robust_lock::any_in(pages)) return {Refusal::kBusy, pages.begin};
  return space::protect(environment, pages, protection);
}

void clean_up(Environment& environment) {
  robust_lock::abandon(environment);
  waiters::clean_up(environment);
}

Outcome check(Environment& environment, Range bytes, Use use, bool* cannot_fault) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const OwnedRange* owned_range = owned_ranges.of(&environment, bytes);
  if (owned_range == nullptr || owned_range->vacant) return {Refusal::kForeign, bytes.begin};
  if (!owned_range->shared) return {Refusal::kPrivate, bytes.begin};
  const int needed = use == Use::kChange ? kReadWrite : PROT_READ;
  for (const uintptr_t at : {bytes.begin, bytes.end - 1}) {
    if ((protection_of(*owned_range, at) & needed) != needed) return {Refusal::kUnreadable, at};
  }
  *cannot_fault = owned_range->cannot_fault || owned_range->guard != nullptr;
  return {};
}

}  // namespace memmap::range_users
