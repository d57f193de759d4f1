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

Claim claim_of(Environment& environment, const MapRequest& request, Range pages) {
  Claim claim;
  claim.pages = pages;
  claim.environment = &environment;
  claim.owner = request.owner;
  constexpr int kKind = MAP_PRIVATE | MAP_ANON;
  claim.discardable = (request.flags & kKind) == kKind && request.protection == kReadWrite;
  claim.recyclable = recyclable(request);
  claim.guarded = request.guarded;
  claim.anonymous = (request.flags & MAP_ANON) != 0;
  claim.shared = (request.flags & MAP_SHARED) != 0;
  // Huge pages come from a pool that may be empty, and are given back as a whole only.
  if (sys::uses_huge_pages(request.flags)) {
    claim.discardable = false;
    claim.recyclable = false;
  }
  claim.safe = (claim.discardable || request.safe) && !sys::uses_huge_pages(request.flags);
  claim.protection = request.protection;
  return claim;
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
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  if (recyclable(request)) {
    Range wanted{0, request.length};
    Claim* old = outward(wanted, sys::page_size(), &wanted)
                     ? buffers::recycle(claims, wanted.size())
                     : nullptr;
    if (old != nullptr) {
      *old = claim_of(environment, request, old->pages);
      return {{}, old->pages.begin};
    }
  }
  if (!room::for_more(claims.count(), 1)) return {{Refusal::kLimit, 0, "mmap"}};
  const auto mapped = map_somewhere(request);
  if (!mapped.outcome.ok()) return mapped;
  Range pages{mapped.value, mapped.value + request.length};
  if (!outward(pages, sys::page_size(), &pages)) return {sys::Status{ENOMEM, "mmap"}};
  books::evict_stale(claims, pages);
  claims.add(claim_of(environment, request, pages));
  return mapped;
}

namespace {

constexpr int kPrivateMemory = MAP_PRIVATE | MAP_ANON;

// What the kernel makes no files or pools for: putting it over something cannot fail half way.
bool is_plain_memory(const MapRequest& request) {
  return (request.flags & ~MAP_NORESERVE) == kPrivateMemory;
}

// Vacant pages are zero pages already: allowing their use is all there is to do.
bool can_commit(const Claim& claim, const MapRequest& request) {
  return claim.vacant && is_plain_memory(request) && !request.inherit;
}

sys::Status commit(Range pages, int protection) {
  const sys::Status done = sys::protect(pages, protection);
  if (!done.ok()) static_cast<void>(sys::protect(pages, PROT_NONE).ok());
  return done;
}

// A mapping of plain memory that is to be plain memory again: its pages need only be thrown away.
bool can_discard(const Claim& claim, const MapRequest& request) {
  const bool damaged = claim.watch != nullptr && claim.watch->damage.load() != nullptr;
  return !damaged && claim.discardable && is_plain_memory(request) &&
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

Outcome overlay(Environment& environment, const MapRequest& request, Args::Numbers owners,
                Keep keep) {
  Range target;
  if (!make_range(request.address, request.length, &target) ||
      !outward(target, sys::page_size(), &target)) {
    return sys::Status{ENOMEM, "mmap"};
  }
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome allowed = books::verify(claims, environment, target, &owners);
  if (!allowed.ok()) return allowed;
  const bool readable = (request.protection & PROT_READ) != 0;
  Claim* only = claims.of(&environment, target);
  const bool whole = only != nullptr && books::is_whole(*only, target);
  if (keep == Keep::kViews && !(readable && whole)) return {Refusal::kArgument, target.begin};
  // A part of a reserve, or nothing of one.
  const Reserve* home = claims.reserve_in(target);
  if (home != nullptr && !home->pages.contains(target)) return {Refusal::kPlaced, target.begin};
  if (!room::for_more(claims.count(), 2)) return {Refusal::kLimit, target.begin, "mmap"};
  Claim claim = claim_of(environment, request, target);
  if (only != nullptr && can_commit(*only, request)) {
    const sys::Status done = commit(target, request.protection);
    if (done.ok()) claims.isolate(target) = claim;
    return done;
  }
  claim.haunted = home != nullptr && buffers::readable_by_others(target);
  const bool writable = (request.protection & PROT_WRITE) != 0;
  // Native code at work on a view must find a watch at each moment, the old one or the new.
  if (!claim.safe || !writable) guarding::watch_all(claims, environment, target);
  watches::Closed closed;
  guarding::close(claims, target, closed);
  const Outcome undamaged = guarding::check_whole(claims, target);
  if (!undamaged.ok()) return undamaged;

  if (!readable) {
    const Outcome blinded = books::blind(claims, environment, target);
    if (!blinded.ok()) return blinded;
  }
  const bool discards = keep == Keep::kViews && can_discard(*only, request);
  const bool discarded = discards && sys::advise(target, MADV_DONTNEED).ok();
  const Outcome put = discarded ? Outcome() : put_over(request, target);
  if (!put.ok()) return books::after_failed_move(claims, environment, target, put.status);
  if (keep == Keep::kViews) {
    Claim& kept = claims.isolate(target);
    claim.views = kept.views;
    claim.viewed = kept.viewed;
    claim.watch = kept.watch;
    if (claim.watch != nullptr) watches::reset(*claim.watch, claim.protection);
    kept = claim;
    guarding::watch(kept, environment);
    return {};
  }
  const auto spans = keep == Keep::kNothing ? buffers::Spans::kDetach : buffers::Spans::kKeep;
  // Native code may still be reading through a view that was there.
  claim.viewed = books::is_viewed(claims, target);
  guarding::watch(claim, environment);
  closed.add(claim.watch);
  books::forget(claims, environment, target, spans);
  claims.add(claim);
  if (!readable) guarding::expect_late_access(claims, target);
  return {};
}

Answer<bool> unmap(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr) return {{Refusal::kForeign, pages.begin}};
  const bool viewed = claim->viewed || buffers::readable_by_others(pages);
  watches::Closed closed;
  if (claim->watch != nullptr) {
    closed.add(claim->watch);
    const Outcome allowed = guarding::check_whole(claims, pages);
    if (!allowed.ok()) return {allowed};
  }
  // The kernel first: when it refuses, nothing is lost, not even a view.
  // Regions that the kernel had merged come apart when one between them goes.
  const bool whole = books::is_whole(*claim, pages);
  const bool room = room::for_more(claims.count(), whole ? 1 : 2);
  if (!room && !whole && !claim->discardable) return {{Refusal::kLimit, pages.begin, "munmap"}};
  const Reserve* home = reserves::home_of(claims, claim->pages);
  if (!viewed && home != nullptr) {
    const sys::Status emptied = reserves::empty(pages);
    if (!emptied.ok()) return {Outcome({emptied.error, "munmap"})};
    reserves::vacate(claims, claims.isolate(pages), *home);
    return {};
  }
  if (!viewed && (room || !claim->discardable)) {
    const sys::Status unmapped = sys::unmap(pages);
    if (!unmapped.ok()) return {unmapped};
    claims.remove(claims.isolate(pages));
    return {};
  }
  const sys::Status blank = buffers::blank(*claim, pages);
  if (!blank.ok()) return {Outcome({blank.error, "munmap"})};
  buffers::detach(environment, *claim, pages);
  buffers::retire(claims, claims.isolate(pages));
  buffers::sweep(claims, environment, false);
  return {{}, true};
}

Outcome drop(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr || !books::is_whole(*claim, pages)) return {Refusal::kForeign, pages.begin};
  buffers::abandon(*claim);
  // What lingers of it was probably collected with it.
  if (!buffers::held(pages) && buffers::readable_by_others(pages)) {
    buffers::sweep(claims, environment, true);
    // Then it has gone already, or waits in the quarantine.
    claim = claims.at(pages.begin);
    if (claim == nullptr || claim->state != State::kAbandoned) return {};
  }
  if (!buffers::readable_by_others(pages)) buffers::release(claims, *claim);
  return {};
}

Outcome detach(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = books::verify(claims, environment, pages, nullptr);
  if (!owned.ok() || pages.empty()) return owned;
  books::detach(claims, environment, pages);
  return {};
}

Outcome check_split(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = books::verify(claims, environment, pages, nullptr);
  if (owned.ok() && !pages.empty() && !room::for_more(claims.count(), 2)) {
    return {Refusal::kLimit, pages.begin, "mlock"};
  }
  return owned;
}

Outcome check(Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  return books::verify(claims, environment, pages, nullptr);
}

Answer<Copied> check_copy(Environment& environment, const Copying& copying) {
  const Range pages = copying.pages;
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const bool ordinary = claims.first_in(copying.bytes) == nullptr;
  // Mostly it is one claim, and nobody has a view of it.
  const Claim* claim = claims.of(&environment, pages);
  if (claim != nullptr && claim->watch == nullptr) return {{}, {ordinary, false}};
  const Outcome owned = books::verify(claims, environment, pages, nullptr);
  if (!owned.ok()) return {owned};
  const auto use = copying.out ? guarding::Use::kRead : guarding::Use::kWrite;
  const bool guarded = guarding::any_watch(claims, pages);
  return {guarded ? guarding::check_intact(claims, pages, use) : Outcome(), {ordinary, guarded}};
}

Outcome check_copied(Range pages, bool out) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  return guarding::check_intact(claims, pages, out ? guarding::Use::kRead : guarding::Use::kWrite);
}

Outcome check_flushed(Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  return guarding::check_intact(claims, pages, guarding::Use::kWrite);
}

void leave(Environment& environment) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  claims.remove_reserves_of(&environment);
  std::vector<Range> own;
  claims.each([&](const Claim& claim) {
    if (claim.environment == &environment) own.push_back(claim.pages);
  });
  for (const Range pages : own) {
    Claim& claim = *claims.at(pages.begin);
    if (!claim.viewed && !buffers::readable_by_others(pages)) {
      buffers::release(claims, claim);
      continue;
    }
    buffers::hold(claim, pages);
    if (buffers::blank(claim, pages).ok()) {
      buffers::retire(claims, claim);
    } else {
      // Still mapped and readable; nothing is lost but the file's early release.
      claim.environment = nullptr;
      claim.state = State::kAbandoned;
    }
  }
  buffers::leave(claims, environment);
}

}  // namespace memmap::space
