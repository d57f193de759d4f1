// What pages allow and what becomes of them: mprotect and madvise.
#include <sys/mman.h>

#include <algorithm>

#include "claims/map_count_budget.h"
#include "faults/guard_policy.h"
#include "faults/repair.h"
#include "space/ownership.h"
#include "space/space.h"

namespace memmap::space {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kGuardInstall = 102;  // Linux 6.13: the pages can no longer be read
constexpr int kGuardRemove = 103;

// Advice that only hints; any other may throw away what a private page alone holds.
bool throws_away(int advice) {
  constexpr int kHints[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED};
  return std::find(std::begin(kHints), std::end(kHints), advice) == std::end(kHints);
}

Outcome discard_strays(Claims& claims, Range pages) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    const Outcome discarded = repair::discard_strays(*claim);
    if (!discarded.ok()) return discarded;
  }
  return {};
}

// The pages are no longer just what mapAnonymous() made, or can no longer be made zero by advice.
void change(Claims& claims, Range pages, bool discardable) {
  claims.each_in(pages, [&](Claim& claim) {
    claim.discardable = claim.discardable && discardable;
    claim.recyclable = false;
  });
}

// Guard pages were installed, or removed: where some may be.
void note_holes(Claims& claims, Range pages, bool installed) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    Range& holed = claim->holed;
    const Range part = claim->pages.intersect(pages);
    if (!installed) {
      if (part.contains(holed)) holed = {};
    } else if (holed.empty()) {
      holed = part;
    } else {
      holed = {std::min(holed.begin, part.begin), std::max(holed.end, part.end)};
    }
  }
}

}  // namespace

Outcome protect(Environment& environment, Range pages, int protection) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = books::verify(claims, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  if (!pages.empty() && !room::for_more(claims.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "mprotect"};
  }
  if (pages.empty()) return sys::protect(pages, protection);
  const bool readable = (protection & PROT_READ) != 0;
  const bool writable = (protection & PROT_WRITE) != 0;
  if (!readable || !writable) guarding::watch_all(claims, environment, pages);
  watches::Closed closed;
  guarding::close(claims, pages, closed);
  const Outcome allowed = writable ? Outcome() : guarding::check_unwritten(claims, pages);
  if (!allowed.ok()) return allowed;
  const Outcome discarded = discard_strays(claims, pages);
  if (!discarded.ok()) return discarded;
  if (!readable) {
    const Outcome blinded = books::blind(claims, environment, pages);
    if (!blinded.ok()) return blinded;
    guarding::expect_late_access(claims, pages);
  }
  const sys::Status done = sys::protect(pages, protection);
  guarding::set_protection(claims, pages, protection, done.ok());
  // Also where it failed: the kernel may have changed the pages before the one it refused.
  change(claims, pages, protection == kReadWrite);
  return done;
}

Outcome advise(Environment& environment, Range pages, int advice) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = books::verify(claims, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  if (!pages.empty() && !room::for_more(claims.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "madvise"};
  }
  watches::Closed closed;
  if (throws_away(advice) && !pages.empty()) {
    guarding::close(claims, pages, closed);
    const Outcome undamaged = guarding::check_undamaged(claims, pages);
    if (!undamaged.ok()) return undamaged;
  }
  const bool unreadable = advice == kGuardInstall && !pages.empty();
  if (unreadable) {
    guarding::watch_all(claims, environment, pages);
    guarding::close(claims, pages, closed);
    const Outcome blinded = books::blind(claims, environment, pages);
    if (!blinded.ok()) return blinded;
    guarding::expect_late_access(claims, pages);
  }
  const sys::Status done = sys::advise(pages, advice);
  if (unreadable || (advice == kGuardRemove && done.ok())) note_holes(claims, pages, unreadable);
  // Any advice may have changed what kind of memory it is.
  if (!pages.empty()) change(claims, pages, !unreadable);
  return done;
}

}  // namespace memmap::space
