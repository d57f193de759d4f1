#include <vector>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "addon/weak_refs.h"
#include "addon/work.h"
#include "space/space.h"
#include "sync/range_users.h"
#include "views/array_buffer.h"

namespace memmap::exports {

namespace {

// The options of map() and overlay(), as lib/binding.ts names them.
constexpr int kInherit = 1;
constexpr int kGuarded = 2;
constexpr int kSafe = 4;
constexpr int kMostKept = 2;  // space::Keep

space::MapRequest map_request(Args& args) {
  space::MapRequest request{};
  request.owner = args.id(0);
  request.address = args.address(1);
  request.length = args.size(2);
  request.protection = args.integer(3);
  request.flags = args.integer(4);
  request.fd = args.integer(5);
  request.offset = args.offset(6);
  const int options = args.integer(7);
  request.inherit = (options & kInherit) != 0;
  request.guarded = (options & kGuarded) != 0;
  request.cannot_fault = (options & kSafe) != 0;
  return request;
}

// map(owner, address, length, protection, flags, fd, offset, options, exclusive) -> base
napi_value map(Args& args) {
  space::MapRequest request = map_request(args);
  request.exclusive = args.boolean(8);
  if (!args.ok()) return args.failure();
  const auto mapped = space::map(args.environment(), request);
  if (!mapped.outcome.ok()) return to_failure(args.env(), mapped.outcome);
  return args.number(static_cast<double>(mapped.value));
}

// overlay(owner, address, length, protection, flags, fd, offset, options, owners, keep)
napi_value overlay(Args& args) {
  const space::MapRequest request = map_request(args);
  const Args::Numbers owners = args.numbers(8);
  const int keep = args.integer(9);
  if (!args.ok()) return args.failure();
  if (request.length == 0 || request.address % sys::page_size() != 0) {
    return to_failure(args.env(), {Refusal::kArgument, 1});
  }
  if (keep < 0 || keep > kMostKept) return to_failure(args.env(), {Refusal::kArgument, 9});
  const auto kept = static_cast<space::Keep>(keep);
  Range pages;
  if (!make_range(request.address, request.length, &pages)) pages = {};
  return to_failure(args.env(), range_users::invalidate_range(pages, [&] {
                      return space::overlay(args.environment(), request, owners, kept);
                    }));
}

// A call on whole pages that answers nothing: (address, length).
template <Outcome (*call)(Environment&, Range)>
napi_value at_pages(Args& args) {
  const Span span = pages_at(args);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  return to_failure(args.env(), call(args.environment(), span.pages));
}

// isVacant(address, length) -> whether nothing is in that part of a reserve, or can still be read
napi_value vacant(Args& args) {
  const Span span = pages_at(args);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  return Napi::Boolean::New(args.env(), space::is_vacant(args.environment(), span.pages));
}

// unmap(address, length) -> true when the range was retired instead
napi_value unmap(Args& args) {
  const Span span = pages_at(args);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const auto unmapped = range_users::invalidate_range(
      span.pages, [&] { return space::unmap(args.environment(), span.pages); });
  if (!unmapped.outcome.ok()) return to_failure(args.env(), unmapped.outcome);
  return Napi::Boolean::New(args.env(), unmapped.value);
}

// A call on owned pages that answers nothing: (address, length, number).
template <typename Call>
napi_value on_pages(Args& args, Call call) {
  const Span span = pages_of(args, 0);
  const int number = args.integer(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  return to_failure(args.env(), call(args.environment(), span.pages, number));
}

// The same on the thread pool. The caller keeps the range mapped until the promise is settled.
template <typename Call>
napi_value on_pages_later(Args& args, Call call, bool splits = false) {
  const Span span = pages_of(args, 0);
  const int number = args.integer(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const auto check = splits ? space::check_split : space::check;
  const Outcome owned = check(args.environment(), span.pages);
  if (!owned.ok()) return to_failure(args.env(), owned);
  return queue_work(args.env(), Napi::Value(),
                    [=] { return Done{Outcome(call(span.pages, number))}; });
}

template <typename Call>
auto owned(Call call) {
  return [call](Environment& own, Range pages, int number) -> Outcome {
    const Outcome checked = space::check(own, pages);
    if (!checked.ok()) return checked;
    return call(pages, number);
  };
}

template <typename Call>
auto splitting(Call call) {
  return [call](Environment& own, Range pages, int number) -> Outcome {
    const Outcome checked = space::check_split(own, pages);
    if (!checked.ok()) return checked;
    return call(pages, number);
  };
}

// What the guard keeps apart from the file has not been written, whatever the kernel says.
Outcome sync_pages(Range pages, int flags) {
  const sys::Status synced = sys::sync(pages, flags);
  return synced.ok() ? space::check_flushed(pages) : Outcome(synced);
}
sys::Status lock_pages(Range pages, int) { return sys::lock(pages); }
sys::Status unlock_pages(Range pages, int) { return sys::unlock(pages); }
sys::Status populate_pages(Range pages, int write) { return sys::populate(pages, write != 0); }

napi_value protect(Args& args) { return on_pages(args, range_users::protect); }
napi_value advise(Args& args) { return on_pages(args, space::advise); }
napi_value sync(Args& args) { return on_pages(args, owned(sync_pages)); }
napi_value lock(Args& args) { return on_pages(args, splitting(lock_pages)); }
napi_value unlock(Args& args) { return on_pages(args, splitting(unlock_pages)); }
napi_value populate(Args& args) { return on_pages(args, owned(populate_pages)); }
napi_value sync_async(Args& args) { return on_pages_later(args, sync_pages); }
napi_value lock_async(Args& args) { return on_pages_later(args, lock_pages, true); }
napi_value populate_async(Args& args) { return on_pages_later(args, populate_pages); }

// residency(address, length, states)
napi_value residency(Args& args) {
  const Span span = pages_of(args, 0);
  const Args::Bytes states = args.bytes(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  const Outcome owned_now = space::check(args.environment(), span.pages);
  if (!owned_now.ok()) return to_failure(args.env(), owned_now);
  if (states.length < span.pages.size() / sys::page_size()) {
    return to_failure(args.env(), {Refusal::kArgument, 2});
  }
  return to_failure(args.env(), sys::residency(span.pages, states.data));
}

// detach(address, length): the views over it, and nothing else
napi_value detach(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  return to_failure(args.env(), space::detach(args.environment(), span.pages));
}

// grow(address, length, newLength, mayMove) -> base
napi_value grow(Args& args) {
  const Span span = pages_at(args);
  const size_t length = args.size(2);
  const bool may_move = args.boolean(3);
  if (!args.ok()) return args.failure();
  Range grown;
  if (!span.outcome.ok() || !outward({0, length}, sys::page_size(), &grown)) {
    return to_failure(args.env(), sys::Status{ENOMEM, "mremap"});
  }
  // Shorter is unmap's: it knows who may still be reading what is cut off.
  if (grown.size() < span.pages.size()) return to_failure(args.env(), {Refusal::kArgument, 2});
  const auto moved = range_users::invalidate_range(span.pages, [&] {
    return space::grow(args.environment(), span.pages, grown.size(), may_move);
  });
  if (!moved.outcome.ok()) return to_failure(args.env(), moved.outcome);
  return args.number(static_cast<double>(moved.value));
}

// remap(owner, from, oldLength, newLength, flags, to, owners) -> base; page-aligned throughout
napi_value remap(Args& args) {
  space::RemapRequest request{};
  request.owner = args.id(0);
  request.from = args.address(1);
  request.old_length = args.size(2);
  request.new_length = args.size(3);
  request.flags = args.integer(4);
  request.to = args.address(5);
  const Args::Numbers owners = args.numbers(6);
  if (!args.ok()) return args.failure();
  const uintptr_t mask = sys::page_size() - 1;
  Range unused;
  const bool aligned =
      ((request.from | request.old_length | request.new_length | request.to) & mask) == 0;
  if (!aligned || request.new_length == 0 ||
      !make_range(request.from, request.old_length, &unused) ||
      !make_range(request.to, request.new_length, &unused)) {
    return to_failure(args.env(), sys::Status{EINVAL, "mremap"});
  }
  const Range from{request.from, request.from + request.old_length};
  // Where the kernel chooses it is nobody's.
  const Range to = request.to == 0 ? Range{} : Range{request.to, request.to + request.new_length};
  const auto moved = range_users::invalidate_range(from, [&] {
    return range_users::invalidate_range(
        to, [&] { return space::remap(args.environment(), request, owners); });
  });
  if (!moved.outcome.ok()) return to_failure(args.env(), moved.outcome);
  return args.number(static_cast<double>(moved.value));
}

// regions(address, length) -> Float64Array of [begin, end, protection, shared, offset, inode]
napi_value regions(Args& args) {
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(args.env(), span.outcome);
  std::vector<double> rows;
  const auto visit = [](void* context, const sys::Region& region) {
    auto& list = *static_cast<std::vector<double>*>(context);
    list.push_back(static_cast<double>(region.range.begin));
    list.push_back(static_cast<double>(region.range.end));
    list.push_back(region.protection);
    list.push_back(region.shared ? 1 : 0);
    list.push_back(static_cast<double>(region.offset));
    list.push_back(static_cast<double>(region.inode));
    return true;
  };
  const sys::Status listed = sys::regions(span.pages, visit, &rows);
  if (!listed.ok()) return to_failure(args.env(), Outcome(listed));
  return args.numbers(rows);
}

// reap(all) -> ranges that are still retired
napi_value reap(Args& args) {
  const bool all = args.boolean(0);
  if (!args.ok()) return args.failure();
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock_now = owned_ranges.lock();
  views::sweep(owned_ranges, args.environment(), true);
  views::reap(owned_ranges, all);
  return args.number(static_cast<double>(views::retired(owned_ranges).ranges));
}

// retired() -> [ranges, bytes] in quarantine, process-wide
napi_value retired(Args& args) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock_now = owned_ranges.lock();
  const views::Retired found = views::retired(owned_ranges);
  return args.numbers({static_cast<double>(found.ranges), static_cast<double>(found.bytes)});
}

// owned() -> [begin, end, owner (-1: not this environment's), state] of the whole process
napi_value claimed(Args& args) {
  std::vector<double> rows;
  {
    OwnedRanges& owned_ranges = OwnedRanges::process();
    const auto lock_now = owned_ranges.lock();
    owned_ranges.each([&](const OwnedRange& owned_range) {
      rows.push_back(static_cast<double>(owned_range.pages.begin));
      rows.push_back(static_cast<double>(owned_range.pages.end));
      rows.push_back(owned_range.environment == &args.environment() ? owned_range.owner : -1);
      rows.push_back(static_cast<double>(owned_range.state));
    });
  }
  return args.numbers(rows);
}

}  // namespace

void add_to(Napi::Object exports, Environment* own) {
  add_data_to(exports, own);
  add_guard_to(exports, own);
  add_survey_to(exports, own);
  add_digests_to(exports, own);
  add_shm_to(exports, own);
  add_sync_to(exports, own);
  add<map>(exports, "map", own);
  add<overlay>(exports, "overlay", own);
  add<unmap>(exports, "unmap", own);
  add<at_pages<range_users::drop>>(exports, "unmapCollected", own);
  add<at_pages<space::hold_reserve>>(exports, "reserve", own);
  add<at_pages<space::release_reserve>>(exports, "release", own);
  add<vacant>(exports, "isVacant", own);
  add<protect>(exports, "protect", own);
  add<advise>(exports, "advise", own);
  add<sync>(exports, "sync", own);
  add<sync_async>(exports, "syncAsync", own);
  add<lock>(exports, "lock", own);
  add<lock_async>(exports, "lockAsync", own);
  add<unlock>(exports, "unlock", own);
  add<populate>(exports, "populate", own);
  add<populate_async>(exports, "populateAsync", own);
  add<residency>(exports, "residency", own);
  add<detach>(exports, "detach", own);
  add<grow>(exports, "grow", own);
  add<remap>(exports, "remap", own);
  add<regions>(exports, "regions", own);
  add<reap>(exports, "reap", own);
  add<retired>(exports, "retired", own);
  add<claimed>(exports, "ownedRanges", own);
  add<weak_refs::create>(exports, "createWeakRef", own);
  add<weak_refs::deref>(exports, "derefWeakRef", own);
  add<weak_refs::remove>(exports, "deleteWeakRef", own);
  add<weak_refs::set_strong>(exports, "setStrongRef", own);
}

}  // namespace memmap::exports
