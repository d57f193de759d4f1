#include "sync/range_users.h"

#include <sys/mman.h>

#include <initializer_list>

namespace memmap::tenants {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

int protection_of(const Claim& claim, uintptr_t address) {
  if (claim.protection != kMixedProtection) return claim.protection;
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
  cells::abandon(pages);
  waiters::evict(pages);
  return space::drop(environment, pages);
}

Outcome protect(Environment& environment, Range pages, int protection) {
  const bool usable = (protection & kReadWrite) == kReadWrite;
  if (!usable && cells::any_in(pages)) return {Refusal::kBusy, pages.begin};
  return space::protect(environment, pages, protection);
}

void leave(Environment& environment) {
  cells::abandon(environment);
  waiters::leave(environment);
}

Outcome check(Environment& environment, Range bytes, Use use, bool* safe) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Claim* claim = claims.of(&environment, bytes);
  if (claim == nullptr || claim->vacant) return {Refusal::kForeign, bytes.begin};
  if (!claim->shared) return {Refusal::kPrivate, bytes.begin};
  const int needed = use == Use::kChange ? kReadWrite : PROT_READ;
  for (const uintptr_t at : {bytes.begin, bytes.end - 1}) {
    if ((protection_of(*claim, at) & needed) != needed) return {Refusal::kUnreadable, at};
  }
  *safe = claim->safe || claim->watch != nullptr;
  return {};
}

}  // namespace memmap::tenants
