#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "claims/map_count_budget.h"
#include "claims/reserves.h"
#include "faults/guard_policy.h"
#include "faults/repair.h"
#include "space/ownership.h"
#include "space/space.h"
#include "views/array_buffer.h"

namespace memmap::space {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
// Fresh anonymous memory anywhere: what quarantined memory of the same kind can serve as well.
bool recyclable(const MapRequest& request) {
  return request.address == 0 && !request.inherit && request.flags == (MAP_PRIVATE | MAP_ANON) &&
         request.protection == kReadWrite;
}

OwnedRange owned_range_of(Environment& environment, const MapRequest& request, Range pages) {
  OwnedRange owned_range;
  owned_range.pages = pages;
  owned_range.environment = &environment;
  owned_range.owner = request.owner;
  constexpr int kKind = MAP_PRIVATE | MAP_ANON;
  owned_range.discardable = (request.flags & kKind) == kKind && request.protection == kReadWrite;
  owned_range.recyclable = recyclable(request);
  owned_range.guarded = request.guarded;
  owned_range.anonymous = (request.flags & MAP_ANON) != 0;
  owned_range.shared = (request.flags & MAP_SHARED) != 0;
  // Huge pages come from a pool that may be empty, and are given back as a whole only.
  if (sys::uses_huge_pages(request.flags)) {
    owned_range.discardable = false;
    owned_range.recyclable = false;
  }
  owned_range.cannot_fault =
      (owned_range.discardable || request.cannot_fault) && !sys::uses_huge_pages(request.flags);
  owned_range.protection = request.protection;
  return owned_range;
}

Answer<uintptr_t> map_somewhere(const MapRequest& request) {
  const auto call = request.exclusive ? sys::map_exclusive : sys::map;
  const auto mapped = call(request.address, request.length, request.protection, request.flags,
                           request.fd, request.offset);
  if (!mapped.ok()) return {mapped.status()};
  if (mapped.value == 0) {
    // Null pointers must go on faulting, also where root may map page 0.
    static_cast<void>(sys::unmap({0, request.length}).ok());
    return {sys::Status{EPERM, "mmap"}};
  }
  if (!request.inherit) {
    Range pages{mapped.value, mapped.value + request.length};
    if (outward(pages, sys::page_size(), &pages)) {
      const sys::Status kept = sys::keep_from_children(pages);
      if (!kept.ok()) {
        static_cast<void>(sys::unmap(pages).ok());
        return {kept};
      }
    }
  }
  return {{}, mapped.value};
}

}  // namespace

Answer<uintptr_t> map(Environment& environment, const MapRequest& request) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  if (recyclable(request)) {
    Range wanted{0, request.length};
    OwnedRange* old = outward(wanted, sys::page_size(), &wanted)
                          ? views::recycle(owned_ranges, wanted.size())
                          : nullptr;
    if (old != nullptr) {
      *old = owned_range_of(environment, request, old->pages);
      return {{}, old->pages.begin};
    }
  }
  if (!map_count_budget::allows(owned_ranges.count(), 1)) return {{Refusal::kLimit, 0, "mmap"}};
  const auto mapped = map_somewhere(request);
  if (!mapped.outcome.ok()) return mapped;
  Range pages{mapped.value, mapped.value + request.length};
  if (!outward(pages, sys::page_size(), &pages)) return {sys::Status{ENOMEM, "mmap"}};
  ownership::remove_stale(owned_ranges, pages);
  owned_ranges.add(owned_range_of(environment, request, pages));
  return mapped;
}

namespace {

constexpr int kPrivateMemory = MAP_PRIVATE | MAP_ANON;

// What the kernel makes no files or pools for: putting it over something cannot fail half way.
bool is_plain_memory(const MapRequest& request) {
  return (request.flags & ~MAP_NORESERVE) == kPrivateMemory;
}

// Vacant pages are zero pages already: allowing their use is all there is to do.
bool can_commit(const OwnedRange& owned_range, const MapRequest& request) {
  return owned_range.vacant && is_plain_memory(request) && !request.inherit;
}

sys::Status commit(Range pages, int protection) {
  const sys::Status done = sys::protect(pages, protection);
  if (!done.ok()) static_cast<void>(sys::protect(pages, PROT_NONE).ok());
  return done;
}

// A mapping of plain memory that is to be plain memory again: its pages need only be thrown away.
bool can_discard(const OwnedRange& owned_range, const MapRequest& request) {
  const bool damaged =
      owned_range.guard != nullptr && owned_range.guard->fault_state.load() != nullptr;
  return !damaged && owned_range.discardable && is_plain_memory(request) &&
         request.protection == kReadWrite;
}

// Puts what is asked for over the target. `destroyed`: the target is a hole now.
Outcome put_over(const MapRequest& request, Range target) {
  if (is_plain_memory(request)) {
    Outcome put = sys::overlay_anonymous(target, request.protection, request.flags);
    if (!put.ok() || request.inherit) return put;
    const sys::Status kept = sys::keep_from_children(target);
    if (!kept.ok()) static_cast<void>(sys::unmap(target).ok());
    return kept;
  }
  MapRequest staging = request;
  staging.address = 0;
  staging.exclusive = false;
  const auto staged = map_somewhere(staging);
  if (!staged.outcome.ok()) return staged.outcome;
  const Range from{staged.value, staged.value + target.size()};
  const sys::Status moved = sys::move(from, target.begin);
  if (!moved.ok()) static_cast<void>(sys::unmap(from).ok());
  return moved;
}

}  // namespace

Outcome overlay(Environment& environment, const MapRequest& request, Owners owners, Keep keep) {
  Range target;
  if (!make_range(request.address, request.length, &target) ||
      !outward(target, sys::page_size(), &target)) {
    return sys::Status{ENOMEM, "mmap"};
  }
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Outcome allowed = ownership::verify(owned_ranges, environment, target, &owners);
  if (!allowed.ok()) return allowed;
  const bool readable = (request.protection & PROT_READ) != 0;
  OwnedRange* only = owned_ranges.of(&environment, target);
  const bool whole = only != nullptr && ownership::is_whole(*only, target);
  if (keep == Keep::kViews && !(readable && whole)) return {Refusal::kArgument, target.begin};
  // A part of a reserve, or nothing of one.
  const Reserve* home = owned_ranges.reserve_in(target);
  if (home != nullptr && !home->pages.contains(target)) return {Refusal::kPlaced, target.begin};
  if (!map_count_budget::allows(owned_ranges.count(), 2))
    return {Refusal::kLimit, target.begin, "mmap"};
  OwnedRange owned_range = owned_range_of(environment, request, target);
  if (only != nullptr && can_commit(*only, request)) {
    const sys::Status done = commit(target, request.protection);
    if (done.ok()) owned_ranges.isolate(target) = owned_range;
    return done;
  }
  owned_range.has_stale_readers = home != nullptr && views::readable_by_others(target);
  const bool writable = (request.protection & PROT_WRITE) != 0;
  // Native code at work on a view must find a guarded range at each moment, the old one or the new.
  if (!owned_range.cannot_fault || !writable)
    guard_policy::guard_all(owned_ranges, environment, target);
  guarded_ranges::ScopedRangeLock range_lock;
  guard_policy::lock(owned_ranges, target, range_lock);
  const Outcome undamaged = guard_policy::check_whole(owned_ranges, target);
  if (!undamaged.ok()) return undamaged;

  if (!readable) {
    const Outcome revoked = ownership::revoke_views(owned_ranges, environment, target);
    if (!revoked.ok()) return revoked;
  }
  const bool discards = keep == Keep::kViews && can_discard(*only, request);
  const bool discarded = discards && sys::advise(target, MADV_DONTNEED).ok();
  const Outcome put = discarded ? Outcome() : put_over(request, target);
  if (!put.ok()) return ownership::after_failed_move(owned_ranges, environment, target, put.status);
  if (keep == Keep::kViews) {
    OwnedRange& kept = owned_ranges.isolate(target);
    owned_range.views = kept.views;
    owned_range.exposed = kept.exposed;
    owned_range.guard = kept.guard;
    if (owned_range.guard != nullptr)
      guarded_ranges::reset(*owned_range.guard, owned_range.protection);
    kept = owned_range;
    guard_policy::guard(kept, environment);
    return {};
  }
  const auto reserve_views =
      keep == Keep::kNothing ? views::ReserveViews::kDetach : views::ReserveViews::kKeep;
  // Native code may still be reading through a view that was there.
  owned_range.exposed = ownership::is_exposed(owned_ranges, target);
  guard_policy::guard(owned_range, environment);
  range_lock.add(owned_range.guard);
  ownership::forget(owned_ranges, environment, target, reserve_views);
  owned_ranges.add(owned_range);
  if (!readable) guard_policy::expect_late_access(owned_ranges, target);
  return {};
}

Answer<bool> unmap(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  if (owned_range == nullptr) return {{Refusal::kForeign, pages.begin}};
  const bool exposed = owned_range->exposed || views::readable_by_others(pages);
  guarded_ranges::ScopedRangeLock range_lock;
  if (owned_range->guard != nullptr) {
    range_lock.add(owned_range->guard);
    const Outcome allowed = guard_policy::check_whole(owned_ranges, pages);
    if (!allowed.ok()) return {allowed};
  }
  // The kernel first: when it refuses, nothing is lost, not even a view.
  // Regions that the kernel had merged come apart when one between them goes.
  const bool whole = ownership::is_whole(*owned_range, pages);
  const bool room = map_count_budget::allows(owned_ranges.count(), whole ? 1 : 2);
  if (!room && !whole && !owned_range->discardable)
    return {{Refusal::kLimit, pages.begin, "munmap"}};
  const Reserve* home = reserves::home_of(owned_ranges, owned_range->pages);
  if (!exposed && home != nullptr) {
    const sys::Status emptied = reserves::empty(pages);
    if (!emptied.ok()) return {Outcome({emptied.error, "munmap"})};
    reserves::vacate(owned_ranges, owned_ranges.isolate(pages), *home);
    return {};
  }
  if (!exposed && (room || !owned_range->discardable)) {
    const sys::Status unmapped = sys::unmap(pages);
    if (!unmapped.ok()) return {unmapped};
    owned_ranges.remove(owned_ranges.isolate(pages));
    return {};
  }
  const sys::Status replaced = views::replace_with_zeros(*owned_range, pages);
  if (!replaced.ok()) return {Outcome({replaced.error, "munmap"})};
  views::detach(environment, *owned_range, pages);
  views::retire(owned_ranges, owned_ranges.isolate(pages));
  views::sweep(owned_ranges, environment, false);
  return {{}, true};
}

Outcome drop(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  if (owned_range == nullptr || !ownership::is_whole(*owned_range, pages))
    return {Refusal::kForeign, pages.begin};
  views::abandon(*owned_range);
  // What is detached of it was probably collected with it.
  if (!views::has_orphans(pages) && views::readable_by_others(pages)) {
    views::sweep(owned_ranges, environment, true);
    // Then it has gone already, or waits in the quarantine.
    owned_range = owned_ranges.at(pages.begin);
    if (owned_range == nullptr || owned_range->state != State::kAbandoned) return {};
  }
  if (!views::readable_by_others(pages)) views::release(owned_ranges, *owned_range);
  return {};
}

Outcome detach(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Outcome owned = ownership::verify(owned_ranges, environment, pages, nullptr);
  if (!owned.ok() || pages.empty()) return owned;
  ownership::detach(owned_ranges, environment, pages);
  return {};
}

Outcome check_split(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Outcome owned = ownership::verify(owned_ranges, environment, pages, nullptr);
  if (owned.ok() && !pages.empty() && !map_count_budget::allows(owned_ranges.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "mlock"};
  }
  return owned;
}

Outcome check(Environment& environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  return ownership::verify(owned_ranges, environment, pages, nullptr);
}

Answer<Copied> check_copy(Environment& environment, const Copying& copying) {
  const Range pages = copying.pages;
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const bool ordinary = owned_ranges.first_in(copying.bytes) == nullptr;
  // Mostly it is one owned range, and nobody has a view of it.
  const OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  if (owned_range != nullptr && owned_range->guard == nullptr) return {{}, {ordinary, false}};
  const Outcome owned = ownership::verify(owned_ranges, environment, pages, nullptr);
  if (!owned.ok()) return {owned};
  const auto use = copying.out ? guard_policy::Use::kRead : guard_policy::Use::kWrite;
  const bool guarded = guard_policy::any_guarded(owned_ranges, pages);
  return {guarded ? guard_policy::check_intact(owned_ranges, pages, use) : Outcome(),
          {ordinary, guarded}};
}

Outcome check_copied(Range pages, bool out) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  return guard_policy::check_intact(owned_ranges, pages,
                                    out ? guard_policy::Use::kRead : guard_policy::Use::kWrite);
}

Outcome check_flushed(Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  return guard_policy::check_intact(owned_ranges, pages, guard_policy::Use::kWrite);
}

void clean_up(Environment& environment) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  owned_ranges.remove_reserves_of(&environment);
  std::vector<Range> own;
  owned_ranges.each([&](const OwnedRange& owned_range) {
    if (owned_range.environment == &environment) own.push_back(owned_range.pages);
  });
  for (const Range pages : own) {
    OwnedRange& owned_range = *owned_ranges.at(pages.begin);
    if (!owned_range.exposed && !views::readable_by_others(pages)) {
      views::release(owned_ranges, owned_range);
      continue;
    }
    views::orphan(owned_range, pages);
    if (views::replace_with_zeros(owned_range, pages).ok()) {
      views::retire(owned_ranges, owned_range);
    } else {
      // Still mapped and readable; nothing is lost but the file's early release.
      owned_range.environment = nullptr;
      owned_range.state = State::kAbandoned;
    }
  }
  views::clean_up(owned_ranges, environment);
}

}  // namespace memmap::space
