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

namespace memmap::calls {

namespace {

// enroll() -> the first owner id of a registry; it has 2^32 of them
napi_value enroll(Args& args) {
  Environment& own = args.environment();
  own.inboxes.push_back(nullptr);
  return args.number(static_cast<double>(own.inboxes.size() - 1) * Environment::kOwnersPerRegistry);
}

// startGuard(owner, deliver): installs the handler; deliver() is called on this loop after a fault
napi_value start_guard(Args& args) {
  Environment& own = args.environment();
  const double owner = args.id(0);
  if (!args.ok()) return args.failure();
  const auto registry = static_cast<size_t>(owner / Environment::kOwnersPerRegistry);
  if (registry >= own.inboxes.size()) return to_failure(args.env(), {Refusal::kArgument, 0});
  if (!args.value(1).IsFunction()) return to_failure(args.env(), {Refusal::kArgument, 1});
  {
    const auto lock = Claims::process().lock();
    fault_guard::install();
  }
  Inbox*& mine = own.inboxes[registry];
  if (mine == nullptr) mine = inbox::make(args.env(), args.value(1));
  return nullptr;
}

// posted() -> a Uint32Array over the count of faults in this process; undefined where none may be
napi_value posted(Args& args) {
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  const napi_status made = napi_create_external_arraybuffer(
      args.env(), &inbox::posted(), sizeof(uint32_t), nullptr, nullptr, &buffer);
  if (made != napi_ok ||
      napi_create_typedarray(args.env(), napi_uint32_array, 1, buffer, 0, &array) != napi_ok) {
    return nullptr;
  }
  return array;
}

// takeFaults(owner) -> undefined, or rows of [address, kind, signal, thread, offset, length, count,
// unix ms], each once
struct Taking {
  const Inbox* inbox;
  std::vector<double> rows;
};
void take_from(void* context, Watch& watch) {
  auto& taking = *static_cast<Taking*>(context);
  Damage* damage = watch.damage.load();
  if (damage == nullptr || watch.inbox.load() != taking.inbox) return;
  watches::Closed closed;
  closed.add(&watch);
  for (uint32_t i = 0; i < damage->entry_count.load(); ++i) {
    const FaultEntry& entry = damage->entries[i];
    for (const double value :
         {static_cast<double>(entry.address), static_cast<double>(entry.kind),
          static_cast<double>(entry.signal), static_cast<double>(entry.thread),
          static_cast<double>(entry.offset), static_cast<double>(entry.length),
          static_cast<double>(entry.count), static_cast<double>(entry.unix_ms)}) {
      taking.rows.push_back(value);
    }
  }
  damage->entry_count = 0;
  repair::tidy(watch);
}
napi_value take_faults(Args& args) {
  const double owner = args.id(0);
  if (!args.ok()) return args.failure();
  Inbox* own = args.environment().inbox_of(owner);
  if (own == nullptr || !inbox::take(*own)) return nullptr;
  Taking taking{own, {}};
  {
    const auto lock = Claims::process().lock();
    watches::each(take_from, &taking);
    // A process at its limit would give its last regions for them.
    constexpr size_t kRegions = 256;
    if (room::for_more(Claims::process().count(), kRegions)) spares::prepare();
  }
  return args.numbers(taking.rows);
}

// The claims of this environment in a range, one after the other.
template <typename Visit>
void each_own(Args& args, Range pages, Visit visit) {
  Claims& claims = Claims::process();
  for (Claim* claim = claims.first_in(pages); claim != nullptr;) {
    const uintptr_t end = claim->pages.end;
    if (claim->environment == &args.environment()) visit(*claim);
    if (end >= pages.end) return;
    claim = claims.first_in({end, pages.end});
  }
}

// discardStrays(address, length)
napi_value discard_strays(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  Outcome outcome;
  {
    Claims& claims = Claims::process();
    const auto lock = claims.lock();
    outcome = books::verify(claims, args.environment(), span.pages, nullptr);
    if (outcome.ok())
      each_own(args, span.pages, [&](Claim& claim) {
        if (outcome.ok()) outcome = repair::discard_strays(claim);
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

// opened(address, length) -> rows of [begin, end, late]: inaccessible pages that native code met
napi_value opened(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const Outcome owned = space::check(args.environment(), span.pages);
  if (!owned.ok()) return to_failure(args.env(), owned);
  std::vector<double> rows;
  {
    Claims& claims = Claims::process();
    const auto lock = claims.lock();
    each_own(args, span.pages, [&](Claim& claim) {
      if (claim.watch == nullptr) return;
      const Range pages = claim.watch->opened().intersect(claim.pages);
      if (pages.empty()) return;
      rows.push_back(static_cast<double>(pages.begin));
      rows.push_back(static_cast<double>(pages.end));
      rows.push_back(claim.watch->late.load() ? 1 : 0);
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
    const auto lock = Claims::process().lock();
    each_own(args, span.pages, [&](Claim& claim) {
      Damage* damage = claim.watch == nullptr ? nullptr : claim.watch->damage.load();
      if (damage == nullptr) return;
      for (Range rest = claim.pages.intersect(span.pages); !rest.empty();) {
        const Range run = damage->next_run(rest, rest.size());
        if (run.empty()) return;
        const PageState state = damage->state_of(run.begin);
        rows.insert(rows.end(), {static_cast<double>(run.begin), static_cast<double>(run.end),
                                 static_cast<double>(state.kind()), state.stray() ? 1.0 : 0.0});
        rest.begin = run.end;
      }
    });
  }
  return args.numbers(rows);
}

// guardStatus() -> [installed once, kernel calls ours for SIGBUS, for SIGSEGV, then the first
// address of each claim of this environment that has a watch]
napi_value guard_status(Args& args) {
  const auto found = fault_guard::installed();
  std::vector<double> row{found.ever ? 1.0 : 0.0, found.bus ? 1.0 : 0.0,
                          found.segmentation ? 1.0 : 0.0};
  {
    const auto lock = Claims::process().lock();
    each_own(args, {0, std::numeric_limits<uintptr_t>::max()}, [&](Claim& claim) {
      if (claim.watch != nullptr) row.push_back(static_cast<double>(claim.pages.begin));
    });
  }
  return args.numbers(row);
}

}  // namespace

void add_guard_to(Napi::Object exports, Environment* own) {
  add<enroll>(exports, "enroll", own);
  add<start_guard>(exports, "startGuard", own);
  add<posted>(exports, "posted", own);
  add<take_faults>(exports, "takeFaults", own);
  add<discard_strays>(exports, "discardStrays", own);
  add<restore_async>(exports, "restoreAsync", own);
  add<damaged>(exports, "damaged", own);
  add<opened>(exports, "opened", own);
  add<guard_status>(exports, "guardStatus", own);
}

}  // namespace memmap::calls
