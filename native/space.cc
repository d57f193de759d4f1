#include "space.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "buffers.h"

namespace memmap::space {

namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

// Left for everybody else in the process: V8 aborts when it is itself refused a mapping.
constexpr size_t kHeadroom = 4000;

// Every page of the range belongs to `environment`, and to one of `owners` if they are given.
Outcome verify(Claims& claims, const Environment& environment, Range pages,
               const Args::Numbers* owners) {
  for (uintptr_t at = pages.begin; at < pages.end;) {
    const Claim* claim = claims.at(at);
    if (claim == nullptr) return {Refusal::kForeign, at};
    if (claim->environment == nullptr) return {Refusal::kRetired, at};
    if (claim->environment != &environment) return {Refusal::kForeign, at};
    if (owners != nullptr && !owners->has(claim->owner)) return {Refusal::kUnnamed, at};
    at = claim->pages.end;
  }
  return {};
}

bool is_whole(const Claim& claim, Range pages) {
  return claim.pages.begin == pages.begin && claim.pages.end == pages.end;
}

Claim claim_of(const Environment& environment, const MapRequest& request, Range pages) {
  Claim claim;
  claim.pages = pages;
  claim.environment = &environment;
  claim.owner = request.owner;
  constexpr int kKind = MAP_PRIVATE | MAP_ANON;
  claim.discardable = (request.flags & kKind) == kKind && request.protection == kReadWrite;
  return claim;
}

// Reading the kernel's list costs milliseconds when it is long, so it is read again only when
// half of what was left can have been used up.
bool room_for_one(Claims& claims) {
  static const size_t limit = sys::region_limit();
  static size_t next_look = 0;
  if (limit == 0) return true;
  if (next_look == 0) next_look = limit / 4;
  if (claims.count() < next_look) return true;
  const auto counted = sys::count_regions();
  if (!counted.ok()) return true;
  const size_t most = limit > 2 * kHeadroom ? limit - kHeadroom : limit / 2;
  if (counted.value >= most) return false;
  next_look = claims.count() + (most - counted.value + 1) / 2;
  return true;
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

// The parts of `pages` that are claimed leave the table; views over them are detached. What lies
// outside of `pages` stays, with its own views.
void forget(Claims& claims, napi_env env, Range pages) {
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    buffers::detach(env, *claim, part);
    claims.remove(claims.isolate(part));
  }
}

// The kernel has just given us these pages, so whatever the table says of them is out of date:
// somebody unmapped them behind our back. Their views may be another thread's.
void evict_stale(Claims& claims, Range pages) {
  while (Claim* claim = claims.first_in(pages)) {
    const Range part = claim->pages.intersect(pages);
    buffers::hold(*claim, part);
    claims.remove(claims.isolate(part));
  }
}

// After a failed fixed call the target may be a hole. A hole among our pages is a trap for the
// next foreign mapping, so it is closed again; the old owners lose it either way.
Outcome after_failed_move(Claims& claims, napi_env env, Range target, sys::Status failed) {
  Outcome outcome(failed);
  Range covered{target.begin, target.begin};
  const auto visit = [](void* context, const sys::Region& region) {
    Range& so_far = *static_cast<Range*>(context);
    if (region.range.begin > so_far.end) return false;
    so_far.end = std::max(so_far.end, region.range.end);
    return true;
  };
  const bool listed = sys::regions(target, visit, &covered).ok();
  if (listed && covered.end >= target.end) return outcome;
  forget(claims, env, target);
  outcome.destroyed = true;
  return outcome;
}

}  // namespace

Answer<uintptr_t> map(const Environment& environment, const MapRequest& request) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  if (!room_for_one(claims)) return {{Refusal::kLimit, 0}};
  const auto mapped = map_somewhere(request);
  if (!mapped.outcome.ok()) return mapped;
  Range pages{mapped.value, mapped.value + request.length};
  if (!outward(pages, sys::page_size(), &pages)) return {sys::Status{ENOMEM, "mmap"}};
  evict_stale(claims, pages);
  claims.add(claim_of(environment, request, pages));
  return mapped;
}

Outcome overlay(const Environment& environment, const MapRequest& request, Args::Numbers owners,
                bool keep_views) {
  Range target;
  if (!make_range(request.address, request.length, &target) ||
      !outward(target, sys::page_size(), &target)) {
    return sys::Status{ENOMEM, "mmap"};
  }
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome allowed = verify(claims, environment, target, &owners);
  if (!allowed.ok()) return allowed;
  if (keep_views && !is_whole(*claims.at(target.begin), target)) {
    return {Refusal::kArgument, target.begin};
  }

  const bool readable = (request.protection & PROT_READ) != 0;
  if (!readable && buffers::escaped(environment.env, claims, target)) {
    return {Refusal::kBusy, target.begin};
  }

  MapRequest staging = request;
  staging.address = 0;
  staging.exclusive = false;
  const auto staged = map_somewhere(staging);
  if (!staged.outcome.ok()) return staged.outcome;
  const Range from{staged.value, staged.value + target.size()};
  const sys::Status moved = sys::move(from, target.begin);
  if (!moved.ok()) {
    static_cast<void>(sys::unmap(from).ok());
    return after_failed_move(claims, environment.env, target, moved);
  }
  Claim claim = claim_of(environment, request, target);
  if (keep_views) {
    Claim& kept = claims.isolate(target);
    claim.views = kept.views;
    claim.viewed = kept.viewed;
    kept = claim;
    return {};
  }
  forget(claims, environment.env, target);
  claim.viewed = buffers::held(target);
  claims.add(claim);
  return {};
}

Answer<bool> unmap(const Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr) return {{Refusal::kForeign, pages.begin}};
  const bool viewed = claim->viewed || buffers::held(pages);
  // The kernel first: when it refuses, nothing is lost, not even a view.
  if (!viewed) {
    const sys::Status unmapped = sys::unmap(pages);
    if (!unmapped.ok()) return {unmapped};
    claims.remove(claims.isolate(pages));
    return {};
  }
  const sys::Status blank = buffers::blank(*claim, pages);
  if (!blank.ok()) return {blank};
  buffers::detach(environment.env, *claim, pages);
  buffers::retire(claims, claims.isolate(pages));
  return {{}, true};
}

Outcome drop(const Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr || !is_whole(*claim, pages)) return {Refusal::kForeign, pages.begin};
  buffers::abandon(*claim);
  if (!buffers::held(pages)) buffers::release(claims, *claim);
  return {};
}

namespace {

// The pages can no longer be read, or no longer be made zero by advice.
void change(Claims& claims, const Environment& environment, Range pages, bool readable,
            bool discardable) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr && claim->pages.begin < pages.end;
       claim = claims.at(claim->pages.end)) {
    claim->discardable = claim->discardable && discardable;
    if (!readable) buffers::detach(environment.env, *claim, claim->pages.intersect(pages));
  }
}

}  // namespace

Outcome protect(const Environment& environment, Range pages, int protection) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = verify(claims, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  const bool readable = (protection & PROT_READ) != 0;
  if (!readable && buffers::escaped(environment.env, claims, pages)) {
    return {Refusal::kBusy, pages.begin};
  }
  const sys::Status done = sys::protect(pages, protection);
  // Also where it failed: the kernel may have changed the pages before the one it refused.
  if (!pages.empty()) {
    change(claims, environment, pages, readable, protection == kReadWrite);
  }
  return done;
}

Outcome advise(const Environment& environment, Range pages, int advice) {
  constexpr int kGuardInstall = 102;  // Linux 6.13: the pages can no longer be read
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = verify(claims, environment, pages, nullptr);
  if (!owned.ok()) return owned;
  if (advice == kGuardInstall && buffers::escaped(environment.env, claims, pages)) {
    return {Refusal::kBusy, pages.begin};
  }
  const sys::Status done = sys::advise(pages, advice);
  if (advice == kGuardInstall && !pages.empty()) change(claims, environment, pages, false, false);
  return done;
}

Outcome detach(const Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Outcome owned = verify(claims, environment, pages, nullptr);
  if (owned.ok() && !pages.empty()) change(claims, environment, pages, false, true);
  return owned;
}

namespace {

constexpr int kMayMove = 1;
constexpr int kFixed = 2;
constexpr int kDontUnmap = 4;  // Linux 5.7

// Where the pages are now. `left`: zero pages of ours were left at the old place.
struct Moved {
  sys::Status status;
  uintptr_t at = 0;
  bool left = false;
  bool destroyed = false;
};

// Moves `pages` to a new place of `length` bytes and leaves zero pages behind, so that native code
// which still reads an old view never meets a hole.
//
//   old:  [pages]            ->  [zeros]
//   new:  [reserved length]  ->  [pages | grown]
Moved move_leaving_zeros(Range pages, size_t length) {
  const auto place = sys::map(0, length, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (!place.ok()) return {{place.error, "mremap"}};
  const Range moved{place.value, place.value + pages.size()};
  const auto parted = sys::remap(pages.begin, pages.size(), pages.size(),
                                 kMayMove | kFixed | kDontUnmap, moved.begin);
  if (!parted.ok()) {
    static_cast<void>(sys::unmap({place.value, place.value + length}).ok());
    return {parted.status()};
  }
  sys::Status failed = sys::overlay_zero(pages);
  if (failed.ok()) failed = sys::unmap({moved.end, place.value + length});
  if (failed.ok()) {
    const auto grown = sys::remap(moved.begin, moved.size(), length, kMayMove, 0);
    if (grown.ok()) return {{}, grown.value, true};
    failed = grown.status();
  }
  return {failed, 0, false, !sys::move(moved, pages.begin).ok()};
}

Moved grow_in_kernel(const Claim& claim, size_t length, bool may_move) {
  const Range pages = claim.pages;
  const auto grown = sys::remap(pages.begin, pages.size(), length, 0, 0);
  if (grown.ok() || !may_move) return {grown.status(), grown.value};
  if (claim.viewed) {
    const Moved moved = move_leaving_zeros(pages, length);
    if (moved.status.ok() || moved.status.error != EINVAL) return moved;
    // EINVAL: a kernel without MREMAP_DONTUNMAP for this kind of memory.
  }
  const auto moved = sys::remap(pages.begin, pages.size(), length, kMayMove, 0);
  return {moved.status(), moved.value};
}

// Native code may still be reading what has just moved away. Where another thread was quicker to
// map something there, it is theirs.
void leave_zeros(Claims& claims, Range hole) {
  if (hole.empty()) return;
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), kReadWrite,
                                         MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (!filled.ok()) return;
  Claim left;
  left.pages = hole;
  left.discardable = true;
  buffers::retire(claims, claims.add(left));
}

}  // namespace

Answer<uintptr_t> grow(const Environment& environment, Range pages, size_t length, bool may_move) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr || !is_whole(*claim, pages)) return {{Refusal::kForeign, pages.begin}};
  const Moved grown = grow_in_kernel(*claim, length, may_move);
  if (!grown.status.ok() && !grown.destroyed) return {grown.status};
  buffers::detach(environment.env, *claim, pages);
  Claim shaped = *claim;
  claims.remove(*claim);
  if (grown.destroyed) {
    Outcome lost(grown.status);
    lost.destroyed = true;
    return {lost};
  }
  const bool stayed = grown.at == pages.begin;
  if (grown.left) {
    Claim left;
    left.pages = pages;
    left.discardable = true;
    buffers::retire(claims, claims.add(left));
  } else if (!stayed && shaped.viewed) {
    leave_zeros(claims, pages);
  }
  shaped.pages = {grown.at, grown.at + length};
  shaped.viewed = stayed && shaped.viewed;
  evict_stale(claims, shaped.pages);
  claims.add(shaped);
  return {{}, grown.at};
}

Answer<uintptr_t> remap(const Environment& environment, const RemapRequest& request,
                        Args::Numbers owners) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Range from{request.from, request.from + request.old_length};
  const Range touched{from.begin, std::max(from.end, from.begin + 1)};
  Claim* source = claims.of(&environment, touched);
  if (source == nullptr) return {{Refusal::kForeign, from.begin}};
  const bool fixed = (request.flags & kFixed) != 0;
  if (fixed) {
    const Range target{request.to, request.to + request.new_length};
    const Outcome allowed = verify(claims, environment, target, &owners);
    if (!allowed.ok()) return {allowed};
    // What is moved there may be unreadable.
    if (buffers::escaped(environment.env, claims, target)) return {{Refusal::kBusy, target.begin}};
  }
  const auto moved = sys::remap(from.begin, request.old_length, request.new_length, request.flags,
                                request.to);
  if (!moved.ok()) {
    if (!fixed) return {moved.status()};
    const Range target{request.to, request.to + request.new_length};
    return {after_failed_move(claims, environment.env, target, moved.status())};
  }
  const Range now{moved.value, moved.value + request.new_length};
  Claim placed = *source;
  placed.pages = now;
  placed.owner = request.owner;
  placed.views = nullptr;
  placed.viewed = false;
  const bool stays = request.old_length == 0 || (request.flags & kDontUnmap) != 0;
  if (!stays) {
    buffers::detach(environment.env, *source, from);
    Claim& gone = claims.isolate(from);
    const bool viewed = gone.viewed;
    claims.remove(gone);
    const Range hole = now.begin == from.begin ? Range{now.end, from.end} : from;
    if (viewed) leave_zeros(claims, hole);
    placed.viewed = viewed && now.begin == from.begin;
  }
  if (fixed) forget(claims, environment.env, now);
  evict_stale(claims, now);
  claims.add(placed);
  return {{}, moved.value};
}

Outcome check(const Environment& environment, Range pages) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  return verify(claims, environment, pages, nullptr);
}

bool is_claimed(Range bytes) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  return claims.first_in(bytes) != nullptr;
}

void leave(const Environment& environment) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  std::vector<Range> own;
  claims.each([&](const Claim& claim) {
    if (claim.environment == &environment) own.push_back(claim.pages);
  });
  for (const Range pages : own) {
    Claim& claim = *claims.at(pages.begin);
    if (!claim.viewed && !buffers::held(pages)) {
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
}

}  // namespace memmap::space
