#include "claims/map_count_budget.h"

#include "sys/sys.h"

namespace memmap::map_count_budget {

namespace {

// Left for everybody else in the process: V8 aborts when it is itself refused a mapping.
constexpr size_t kHeadroom = 4000;
// Reading a list that is full costs tens of milliseconds.
constexpr uint64_t kRefusedMs = 100;

// Guarded by the lock of OwnedRanges.
size_t splits = 0;
size_t budget = 0;
uint64_t refused_until = 0;

}  // namespace

bool allows(size_t owned_ranges, size_t regions) {
  static const size_t limit = sys::region_limit();
  if (limit == 0) return true;
  const size_t most = limit > 2 * kHeadroom ? limit - kHeadroom : limit / 2;
  // An owned range that nobody has split lies in one region: while all of them fit nothing is
  // counted.
  if (regions > 1) splits += regions;
  if (owned_ranges + splits + kHeadroom <= most) return true;
  if (budget >= regions) {
    budget -= regions;
    return true;
  }
  const uint64_t now = sys::monotonic_ms();
  if (now < refused_until) return false;
  const auto counted = sys::count_regions();
  if (!counted.ok()) return true;
  if (counted.value + regions > most) {
    refused_until = now + kRefusedMs;
    return false;
  }
  budget = (most - counted.value - regions) / 2;
  return true;
}

void recount() {
  budget = 0;
  refused_until = 0;
}

}  // namespace memmap::map_count_budget
