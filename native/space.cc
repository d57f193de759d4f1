#include "space.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "books.h"
#include "buffers.h"
#include "guarding.h"
#include "repair.h"
#include "room.h"

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
  // Huge pages come from a pool that may be empty.
  claim.safe = (claim.discardable || request.safe) && !sys::uses_huge_pages(request.flags);
  claim.protection = request.protection;
  return claim;
}

Answer<uintptr_t> map_somewhere(const MapRequest& request) {
  const auto call = request.exclusive ? sys::map_exclusive : sys::map;
  const auto mapped = call(request.address, request.length, request.protection, request.flags,
                           request.fd, request.offset);
  if (!mapped.ok()) return {mapped.status()};
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
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    claim->discardable = claim->discardable && discardable;
    claim->recyclable = false;
  }
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

Outcome overlay(Environment& environment, const MapRequest& request, Args::Numbers owners,
                bool keep_views) {
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
  const bool keepable = readable && books::is_whole(*claims.at(target.begin), target);
  if (keep_views && !keepable) return {Refusal::kArgument, target.begin};
  watches::Closed closed;
  guarding::close(claims, target, closed);
  const Outcome whole = guarding::check_whole(claims, target);
  if (!whole.ok()) return whole;

  if (!readable) {
    const Outcome blinded = books::blind(claims, environment, target);
    if (!blinded.ok()) return blinded;
  }

  if (!room::for_more(claims.count(), 2)) return {Refusal::kLimit, target.begin, "mmap"};
  MapRequest staging = request;
  staging.address = 0;
  staging.exclusive = false;
  const auto staged = map_somewhere(staging);
  if (!staged.outcome.ok()) return staged.outcome;
  const Range from{staged.value, staged.value + target.size()};
  const sys::Status moved = sys::move(from, target.begin);
  if (!moved.ok()) {
    static_cast<void>(sys::unmap(from).ok());
    return books::after_failed_move(claims, environment, target, moved);
  }
  Claim claim = claim_of(environment, request, target);
  if (keep_views) {
    Claim& kept = claims.isolate(target);
    claim.views = kept.views;
    claim.viewed = kept.viewed;
    claim.watch = kept.watch;
    if (claim.watch != nullptr) watches::reset(*claim.watch, claim.protection);
    kept = claim;
    guarding::watch(kept, environment);
    return {};
  }
  claim.viewed = books::forget(claims, environment, target);
  // Native code may still be reading through a view that was there.
  guarding::watch(claims.add(claim), environment);
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
  if (!viewed && (room || !claim->discardable)) {
    const sys::Status unmapped = sys::unmap(pages);
    if (!unmapped.ok()) return {unmapped};
    claims.remove(claims.isolate(pages));
    return {};
  }
  const sys::Status blank = buffers::blank(*claim, pages);
  if (!blank.ok()) return {blank};
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
  if (readable && !writable) guarding::watch_all(claims, environment, pages);
  watches::Closed closed;
  guarding::close(claims, pages, closed);
  const Outcome allowed = writable ? Outcome() : guarding::check_unwritten(claims, pages);
  if (!allowed.ok()) return allowed;
  const Outcome discarded = discard_strays(claims, pages);
  if (!discarded.ok()) return discarded;
  if (!readable) {
    const Outcome blinded = books::blind(claims, environment, pages);
    if (!blinded.ok()) return blinded;
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
    const Outcome blinded = books::blind(claims, environment, pages);
    if (!blinded.ok()) return blinded;
  }
  const sys::Status done = sys::advise(pages, advice);
  if (unreadable || (advice == kGuardRemove && done.ok())) note_holes(claims, pages, unreadable);
  // Any advice may have changed what kind of memory it is.
  if (!pages.empty()) change(claims, pages, !unreadable);
  return done;
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
