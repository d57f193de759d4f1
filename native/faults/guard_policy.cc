#include "faults/guard_policy.h"

#include <sys/mman.h>

#include "claims/reserves.h"
#include "faults/handler/signal_handler.h"
#include "views/array_buffer.h"

namespace memmap::guarding {

namespace {

void watch_now(Claim& claim, Environment& own) {
  if (!claim.guarded || !claim.viewed || claim.watch != nullptr) return;
  fault_guard::install();
  claim.watch =
      watches::add({claim.pages, claim.protection, claim.anonymous, own.inbox_of(claim.owner)});
}

// Where the first page is whose state `bad` says so of.
template <typename Bad>
Outcome first_bad(Claims& claims, Range pages, Bad bad) {
  Outcome found;
  claims.each_in(pages, [&](Claim& claim) {
    Damage* damage = claim.watch == nullptr ? nullptr : claim.watch->damage.load();
    if (damage == nullptr || !found.ok()) return;
    Range rest = claim.pages.intersect(pages);
    while (!rest.empty()) {
      const Range run = damage->next_run(rest, rest.size());
      if (run.empty()) return;
      if (bad(damage->state_of(run.begin))) {
        found = {Refusal::kFault, run.begin};
        return;
      }
      rest.begin = run.end;
    }
  });
  return found;
}

// 0: all can be read.
uintptr_t first_unreadable(const Claim& claim, Range bytes) {
  Range pages;
  if (!outward(bytes, sys::page_size(), &pages)) return bytes.begin;
  if (claim.protection >= 0 && (claim.protection & PROT_READ) == 0) return pages.begin;
  uintptr_t found = 0;
  const auto visit = [](void* context, const sys::Region& region) {
    if ((region.protection & PROT_READ) != 0) return true;
    *static_cast<uintptr_t*>(context) = region.range.begin;
    return false;
  };
  const bool mixed = claim.protection == kMixedProtection;
  if (mixed) static_cast<void>(sys::regions(pages, visit, &found).ok());
  char byte = 0;
  const Range doubtful = pages.intersect(claim.holed);
  for (uintptr_t at = doubtful.begin; found == 0 && at < doubtful.end; at += sys::page_size()) {
    if (!sys::copy(&byte, reinterpret_cast<void*>(at), 1, true).ok()) found = at;
  }
  return found;
}

}  // namespace

void watch(Claim& claim, Environment& own) {
  const bool writable = claim.protection >= 0 && (claim.protection & PROT_WRITE) != 0;
  if (!claim.safe || !writable) watch_now(claim, own);
}

void watch_all(Claims& claims, Environment& own, Range pages) {
  claims.each_in(pages, [&](Claim& claim) { watch_now(claim, own); });
}

void expect_late_access(Claims& claims, Range pages) {
  claims.each_in(pages, [&](Claim& claim) {
    if (claim.watch == nullptr) return;
    if (buffers::readable_by_others(claim.pages.intersect(pages))) claim.watch->late = true;
  });
}

bool any_watch(Claims& claims, Range pages) {
  bool found = false;
  claims.each_in(pages, [&](Claim& claim) { found = found || claim.watch != nullptr; });
  return found;
}

void close(Claims& claims, Range pages, watches::Closed& closed) {
  claims.each_in(pages, [&](Claim& claim) { closed.add(claim.watch); });
}

void set_protection(Claims& claims, Range pages, int protection, bool known) {
  claims.each_in(pages, [&](Claim& claim) {
    const Range part = claim.pages.intersect(pages);
    const bool whole = part.begin == claim.pages.begin && part.end == claim.pages.end;
    if (claim.protection != protection || !known) {
      claim.protection = whole && known ? protection : kMixedProtection;
    }
    if (claim.watch == nullptr) return;
    claim.watch->protection = claim.protection;
    if (known && part.contains(claim.watch->opened())) {
      claim.watch->opened_end = 0;
      claim.watch->opened_begin = 0;
    }
    Damage* damage = claim.watch->damage.load();
    if (damage == nullptr) return;
    for (Range rest = part;;) {
      const Range run = damage->next_run(rest, rest.size());
      if (run.empty()) return;
      const PageState state = damage->state_of(run.begin);
      if (known) {
        damage->set_states(run, PageState::make(state.kind(), protection, state.copied()));
      } else {
        // The kernel may have changed it before it refused another page.
        static_cast<void>(sys::protect(run, state.protection()).ok());
      }
      rest.begin = run.end;
    }
  });
}

Outcome check_intact(Claims& claims, Range pages, Use use) {
  return first_bad(claims, pages, [use](PageState state) {
    // A full disk takes nothing, but what it did not take is here and right.
    const bool here = use == Use::kRead && state.kind() == FaultKind::kNoSpace;
    return state.lost() && !here;
  });
}

Outcome check_unwritten(Claims& claims, Range pages) {
  return first_bad(claims, pages, [](PageState state) {
    return state.lost() && (state.protection() & PROT_WRITE) != 0;
  });
}

Outcome check_undamaged(Claims& claims, Range pages) {
  return first_bad(claims, pages, [](PageState) { return true; });
}

Outcome check_whole(Claims& claims, Range pages) {
  Outcome found;
  claims.each_in(pages, [&](Claim& claim) {
    if (found.ok() && !pages.contains(claim.pages)) found = check_undamaged(claims, claim.pages);
  });
  return found;
}

Outcome open_view(Claims& claims, Environment& own, Range bytes) {
  Claim* claim = claims.of(&own, bytes);
  if (claim == nullptr) return {Refusal::kForeign, bytes.begin};
  const uintptr_t hole = first_unreadable(*claim, bytes);
  if (hole != 0) return {Refusal::kUnreadable, hole};
  claim->viewed = true;
  watch(*claim, own);
  return {};
}

Outcome open_span(Claims& claims, Environment& own, Range bytes) {
  const Reserve* reserve = reserves::home_of(claims, bytes);
  if (reserve == nullptr || reserve->environment != &own) return {Refusal::kForeign, bytes.begin};
  for (uintptr_t at = bytes.begin; at < bytes.end;) {
    const Claim* claim = claims.at(at);
    if (claim == nullptr || claim->environment != &own) return {Refusal::kUnreadable, at};
    const uintptr_t hole = first_unreadable(*claim, claim->pages.intersect(bytes));
    if (hole != 0) return {Refusal::kUnreadable, hole};
    at = claim->pages.end;
  }
  claims.each_in(bytes, [&](Claim& claim) {
    claim.viewed = true;
    watch(claim, own);
  });
  return {};
}

}  // namespace memmap::guarding
