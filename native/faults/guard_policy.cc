#include "faults/guard_policy.h"

#include <sys/mman.h>

#include "faults/handler/signal_handler.h"
#include "views/array_buffer.h"

namespace memmap::guard_policy {

namespace {

void guard_now(OwnedRange& owned_range, Environment& own) {
  if (!owned_range.guarded || !owned_range.exposed || owned_range.guard != nullptr) return;
  signal_handler::install();
  owned_range.guard =
      guarded_ranges::add({owned_range.pages, owned_range.protection, owned_range.anonymous,
                           own.notifier_of(owned_range.owner)});
}

// Where the first page is whose state `bad` says so of.
template <typename Bad>
Outcome first_bad(OwnedRanges& owned_ranges, Range pages, Bad bad) {
  Outcome found;
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    FaultState* fault_state =
        owned_range.guard == nullptr ? nullptr : owned_range.guard->fault_state.load();
    if (fault_state == nullptr || !found.ok()) return;
    Range rest = owned_range.pages.intersect(pages);
    while (!rest.empty()) {
      const Range run = fault_state->next_run(rest, rest.size());
      if (run.empty()) return;
      if (bad(fault_state->state_of(run.begin))) {
        found = {Refusal::kFault, run.begin};
        return;
      }
      rest.begin = run.end;
    }
  });
  return found;
}

}  // namespace

void guard(OwnedRange& owned_range, Environment& own) {
  const bool writable = owned_range.protection >= 0 && (owned_range.protection & PROT_WRITE) != 0;
  if (!owned_range.cannot_fault || !writable) guard_now(owned_range, own);
}

void guard_all(OwnedRanges& owned_ranges, Environment& own, Range pages) {
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) { guard_now(owned_range, own); });
}

void expect_late_access(OwnedRanges& owned_ranges, Range pages) {
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    if (owned_range.guard == nullptr) return;
    if (views::readable_by_others(owned_range.pages.intersect(pages)))
      owned_range.guard->late = true;
  });
}

bool any_guarded(OwnedRanges& owned_ranges, Range pages) {
  bool found = false;
  owned_ranges.each_in(
      pages, [&](OwnedRange& owned_range) { found = found || owned_range.guard != nullptr; });
  return found;
}

void lock(OwnedRanges& owned_ranges, Range pages, guarded_ranges::ScopedRangeLock& range_lock) {
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) { range_lock.add(owned_range.guard); });
}

void set_protection(OwnedRanges& owned_ranges, Range pages, int protection, bool known) {
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    const Range part = owned_range.pages.intersect(pages);
    const bool whole = part.begin == owned_range.pages.begin && part.end == owned_range.pages.end;
    if (owned_range.protection != protection || !known) {
      owned_range.protection = whole && known ? protection : kMixedProtection;
    }
    if (owned_range.guard == nullptr) return;
    owned_range.guard->protection = owned_range.protection;
    if (known && part.contains(owned_range.guard->opened())) {
      owned_range.guard->opened_end = 0;
      owned_range.guard->opened_begin = 0;
    }
    FaultState* fault_state = owned_range.guard->fault_state.load();
    if (fault_state == nullptr) return;
    for (Range rest = part;;) {
      const Range run = fault_state->next_run(rest, rest.size());
      if (run.empty()) return;
      const PageState state = fault_state->state_of(run.begin);
      if (known) {
        fault_state->set_states(run, PageState::make(state.kind(), protection, state.copied()));
      } else {
        // The kernel may have changed it before it refused another page.
        static_cast<void>(sys::protect(run, state.protection()).ok());
      }
      rest.begin = run.end;
    }
  });
}

Outcome check_intact(OwnedRanges& owned_ranges, Range pages, Use use) {
  return first_bad(owned_ranges, pages, [use](PageState state) {
    // A full disk takes nothing, but what it did not take is here and right.
    const bool here = use == Use::kRead && state.kind() == FaultKind::kNoSpace;
    return state.lost() && !here;
  });
}

Outcome check_unwritten(OwnedRanges& owned_ranges, Range pages) {
  return first_bad(owned_ranges, pages, [](PageState state) {
    return state.lost() && (state.protection() & PROT_WRITE) != 0;
  });
}

Outcome check_undamaged(OwnedRanges& owned_ranges, Range pages) {
  return first_bad(owned_ranges, pages, [](PageState) { return true; });
}

Outcome check_whole(OwnedRanges& owned_ranges, Range pages) {
  Outcome found;
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    if (found.ok() && !pages.contains(owned_range.pages))
      found = check_undamaged(owned_ranges, owned_range.pages);
  });
  return found;
}

}  // namespace memmap::guard_policy
