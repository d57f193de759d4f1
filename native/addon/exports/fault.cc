// The exports of the fault guard: what has happened, and putting it right.
#include "addon/call.h"
#include "addon/exports/exports.h"
#include "addon/work.h"
#include "claims/map_count_budget.h"
#include "faults/handler/signal_handler.h"
#include "faults/handler/vma_reserve.h"
#include "faults/notifier.h"
#include "faults/repair.h"
#include "space/ownership.h"
#include "space/space.h"

namespace memmap::exports {

namespace {

// allocateOwnerIds() -> the first owner id of a registry; it has 2^32 of them
napi_value allocate_owner_ids(Args& args) {
  Environment& own = args.environment();
  own.notifiers.push_back(nullptr);
  return args.number(static_cast<double>(own.notifiers.size() - 1) *
                     Environment::kOwnersPerRegistry);
}

// startGuard(owner, deliver): installs the handler; deliver() is called on this loop after a fault
napi_value start_guard(Args& args) {
  Environment& own = args.environment();
  const double owner = args.id(0);
  if (!args.ok()) return args.failure();
  const auto registry = static_cast<size_t>(owner / Environment::kOwnersPerRegistry);
  if (registry >= own.notifiers.size()) return to_failure(args.env(), {Refusal::kArgument, 0});
  if (!args.value(1).IsFunction()) return to_failure(args.env(), {Refusal::kArgument, 1});
  {
    const auto lock = OwnedRanges::process().lock();
    signal_handler::install();
  }
  Notifier*& mine = own.notifiers[registry];
  if (mine == nullptr) mine = notifier::make(args.env(), args.value(1));
  return nullptr;
}

// faultCount() -> a Uint32Array over the count of faults in this process; undefined where none may
// be
napi_value posted(Args& args) {
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  const napi_status made = napi_create_external_arraybuffer(
      args.env(), &notifier::posted(), sizeof(uint32_t), nullptr, nullptr, &buffer);
  if (made != napi_ok ||
      napi_create_typedarray(args.env(), napi_uint32_array, 1, buffer, 0, &array) != napi_ok) {
    return nullptr;
  }
  return array;
}

// takeFaults(owner) -> undefined, or rows of [address, kind, signal, thread, offset, length, count,
// unix ms], each once
struct Taking {
  const Notifier* notifier;
  std::vector<double> rows;
};
void take_from(void* context, GuardedRange& guard) {
  auto& taking = *static_cast<Taking*>(context);
  FaultState* fault_state = guard.fault_state.load();
  if (fault_state == nullptr || guard.notifier.load() != taking.notifier) return;
  guarded_ranges::ScopedRangeLock range_lock;
  range_lock.add(&guard);
  for (uint32_t i = 0; i < fault_state->entry_count.load(); ++i) {
    const FaultEntry& entry = fault_state->entries[i];
    for (const double value :
         {static_cast<double>(entry.address), static_cast<double>(entry.kind),
          static_cast<double>(entry.signal), static_cast<double>(entry.thread),
          static_cast<double>(entry.offset), static_cast<double>(entry.length),
          static_cast<double>(entry.count), static_cast<double>(entry.unix_ms)}) {
      taking.rows.push_back(value);
    }
  }
  fault_state->entry_count = 0;
  repair::tidy(guard);
}
napi_value take_faults(Args& args) {
  const double owner = args.id(0);
  if (!args.ok()) return args.failure();
  Notifier* own = args.environment().notifier_of(owner);
  if (own == nullptr || !notifier::take(*own)) return nullptr;
  Taking taking{own, {}};
  {
    const auto lock = OwnedRanges::process().lock();
    guarded_ranges::each(take_from, &taking);
    // A process at its limit would give its last regions for them.
    constexpr size_t kRegions = 256;
    if (map_count_budget::allows(OwnedRanges::process().count(), kRegions)) vma_reserve::prepare();
  }
  return args.numbers(taking.rows);
}

// The owned ranges of this environment in a range, one after the other.
template <typename Visit>
void each_own(Args& args, Range pages, Visit visit) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  for (OwnedRange* owned_range = owned_ranges.first_in(pages); owned_range != nullptr;) {
    const uintptr_t end = owned_range->pages.end;
    if (owned_range->environment == &args.environment()) visit(*owned_range);
    if (end >= pages.end) return;
    owned_range = owned_ranges.first_in({end, pages.end});
  }
}

// discardStrays(address, length)
napi_value discard_strays(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  Outcome outcome;
  {
    OwnedRanges& owned_ranges = OwnedRanges::process();
    const auto lock = owned_ranges.lock();
    outcome = ownership::verify(owned_ranges, args.environment(), span.pages, nullptr);
    if (outcome.ok())
      each_own(args, span.pages, [&](OwnedRange& owned_range) {
        if (outcome.ok()) outcome = repair::discard_strays(owned_range);
      });
  }
  return to_failure(args.env(), outcome);
}

// restoreAsync(address, length). The caller keeps the range mapped until the promise is settled.
napi_value restore_async(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const Outcome owned = space::check(args.environment(), span.pages);
  if (!owned.ok()) return to_failure(args.env(), owned);
  const void* environment = &args.environment();
  const Range pages = span.pages;
  return queue_work(args.env(), Napi::Value(),
                    [=] { return Done{repair::restore(environment, pages)}; });
}

// openedLate(address, length) -> rows of [begin, end, late]: inaccessible pages that native code
// met
napi_value opened(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const Outcome owned = space::check(args.environment(), span.pages);
  if (!owned.ok()) return to_failure(args.env(), owned);
  std::vector<double> rows;
  {
    OwnedRanges& owned_ranges = OwnedRanges::process();
    const auto lock = owned_ranges.lock();
    each_own(args, span.pages, [&](OwnedRange& owned_range) {
      if (owned_range.guard == nullptr) return;
      const Range pages = owned_range.guard->opened().intersect(owned_range.pages);
      if (pages.empty()) return;
      rows.push_back(static_cast<double>(pages.begin));
      rows.push_back(static_cast<double>(pages.end));
      rows.push_back(owned_range.guard->late.load() ? 1 : 0);
    });
  }
  return args.numbers(rows);
}

// damaged(address, length) -> rows of [begin, end, kind, stray]
napi_value damaged(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const Outcome owned = space::check(args.environment(), span.pages);
  if (!owned.ok()) return to_failure(args.env(), owned);
  std::vector<double> rows;
  {
    const auto lock = OwnedRanges::process().lock();
    each_own(args, span.pages, [&](OwnedRange& owned_range) {
      FaultState* fault_state =
          owned_range.guard == nullptr ? nullptr : owned_range.guard->fault_state.load();
      if (fault_state == nullptr) return;
      for (Range rest = owned_range.pages.intersect(span.pages); !rest.empty();) {
        const Range run = fault_state->next_run(rest, rest.size());
        if (run.empty()) return;
        const PageState state = fault_state->state_of(run.begin);
        rows.insert(rows.end(), {static_cast<double>(run.begin), static_cast<double>(run.end),
                                 static_cast<double>(state.kind()), state.stray() ? 1.0 : 0.0});
        rest.begin = run.end;
      }
    });
  }
  return args.numbers(rows);
}

// guardStatus() -> [installed once, kernel calls ours for SIGBUS, for SIGSEGV, then the first
// address of each owned range of this environment that has a guarded range]
napi_value guard_status(Args& args) {
  const auto found = signal_handler::installed();
  std::vector<double> row{found.ever ? 1.0 : 0.0, found.bus ? 1.0 : 0.0,
                          found.segmentation ? 1.0 : 0.0};
  {
    const auto lock = OwnedRanges::process().lock();
    each_own(args, {0, std::numeric_limits<uintptr_t>::max()}, [&](OwnedRange& owned_range) {
      if (owned_range.guard != nullptr) row.push_back(static_cast<double>(owned_range.pages.begin));
    });
  }
  return args.numbers(row);
}

}  // namespace

void add_guard_to(Napi::Object exports, Environment* own) {
  add<allocate_owner_ids>(exports, "allocateOwnerIds", own);
  add<start_guard>(exports, "startGuard", own);
  add<posted>(exports, "faultCount", own);
  add<take_faults>(exports, "takeFaults", own);
  add<discard_strays>(exports, "discardStrays", own);
  add<restore_async>(exports, "restoreAsync", own);
  add<damaged>(exports, "damaged", own);
  add<opened>(exports, "openedLate", own);
  add<guard_status>(exports, "guardStatus", own);
}

}  // namespace memmap::exports
