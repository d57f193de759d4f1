// Growing and moving: mremap, and what is left behind where native code may still be reading.
#include <errno.h>
#include <sys/mman.h>

#include <algorithm>

#include "claims/map_count_budget.h"
#include "faults/guard_policy.h"
#include "space/ownership.h"
#include "space/space.h"
#include "views/array_buffer.h"

namespace memmap::space {

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
  const Range rest{moved.end, place.value + length};
  sys::Status failed = sys::overlay_zero(pages);
  if (failed.ok()) failed = sys::unmap(rest);
  if (failed.ok()) {
    const auto grown = sys::remap(moved.begin, moved.size(), length, kMayMove, 0);
    if (grown.ok()) return {{}, grown.value, true};
    failed = grown.status();
  } else {
    static_cast<void>(sys::unmap(rest).ok());
  }
  if (sys::move(moved, pages.begin).ok()) return {failed};
  static_cast<void>(sys::unmap(moved).ok());
  // The failed move may have left a hole where the zeros were.
  static_cast<void>(sys::map_exclusive(pages.begin, pages.size(), PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0)
                        .ok());
  return {failed, 0, true, true};
}

// Who may still be reading the old place.
struct Readers {
  bool native;   // native code, with a view that is about to be detached
  bool escaped;  // an ArrayBuffer that nobody can detach: the place must never be a hole
};

Moved grow_in_kernel(Range pages, size_t length, bool may_move, Readers readers) {
  const auto grown = sys::remap(pages.begin, pages.size(), length, 0, 0);
  // EFAULT: several regions, which cannot grow. EAGAIN: locked memory, at its limit.
  const bool nowhere = grown.error == EFAULT || grown.error == EAGAIN;
  if (grown.ok() || !may_move || nowhere) return {grown.status(), grown.value};
  if (readers.native) {
    const Moved moved = move_leaving_zeros(pages, length);
    // EINVAL: a kernel without MREMAP_DONTUNMAP for this kind of memory.
    const bool unable = moved.status.error == EINVAL && !moved.destroyed;
    if (!unable || readers.escaped) return moved;
  }
  const auto moved = sys::remap(pages.begin, pages.size(), length, kMayMove, 0);
  return {moved.status(), moved.value};
}

// mremap that does not grow in place: to a fixed place, or nowhere.
Moved move_to(Range from, const RemapRequest& request, Readers readers) {
  const bool fixed = (request.flags & kFixed) != 0;
  if (fixed && readers.native && request.old_length == request.new_length) {
    const auto parted = sys::remap(from.begin, from.size(), request.new_length,
                                   request.flags | kDontUnmap, request.to);
    // Where zeros cannot be put, the kernel has left pages that can be read all the same.
    if (parted.ok()) static_cast<void>(sys::overlay_zero(from).ok());
    if (parted.ok() || parted.error != EINVAL || readers.escaped) {
      return {parted.status(), parted.value, parted.ok()};
    }
  }
  const auto moved =
      sys::remap(from.begin, request.old_length, request.new_length, request.flags, request.to);
  return {moved.status(), moved.value};
}

}  // namespace

namespace {

Range moved_by(Range range, uintptr_t distance) {
  return range.empty() ? range : Range{range.begin + distance, range.end + distance};
}

// The watch of pages that are somewhere else or longer now. Null: there is none any more.
Watch* hand_on(Watch* watch, Range pages, bool stayed) {
  if (watch != nullptr && stayed) {
    watches::reshape(*watch, pages);
    return watch;
  }
  watches::release(watch);
  return nullptr;
}

}  // namespace

Answer<uintptr_t> grow(Environment& environment, Range pages, size_t length, bool may_move) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  Claim* claim = claims.of(&environment, pages);
  if (claim == nullptr || !books::is_whole(*claim, pages))
    return {{Refusal::kForeign, pages.begin}};
  if (!room::for_more(claims.count(), 3)) return {{Refusal::kLimit, pages.begin, "mremap"}};
  if (claims.reserve_in(pages) != nullptr) return {{Refusal::kPlaced, pages.begin}};
  watches::Closed closed;
  guarding::close(claims, pages, closed);
  const Outcome undamaged = guarding::check_undamaged(claims, pages);
  if (!undamaged.ok()) return {undamaged};
  const Readers readers{claim->viewed, buffers::escaped(environment.env, claims, pages)};
  const Moved grown = grow_in_kernel(pages, length, may_move, readers);
  if (!grown.status.ok() && !grown.destroyed) return {grown.status};
  buffers::detach(environment, *claim, pages);
  Claim shaped = *claim;
  // Handed on, so that the pages are never without: they can be read all the time.
  claim->watch = nullptr;
  claims.remove(*claim);
  if (grown.left) buffers::retire_zeros(claims, pages);
  if (grown.destroyed) {
    watches::release(shaped.watch);
    Outcome lost(grown.status);
    lost.destroyed = true;
    return {lost};
  }
  const bool stayed = grown.at == pages.begin;
  if (!grown.left && !stayed && shaped.viewed) {
    buffers::leave_zeros(claims, pages);
  }
  shaped.pages = {grown.at, grown.at + length};
  shaped.watch = hand_on(shaped.watch, shaped.pages, stayed);
  shaped.holed = moved_by(shaped.holed, grown.at - pages.begin);
  shaped.viewed = stayed && shaped.viewed;
  // What is sealed against shrinking can still end before a longer mapping of it.
  if (length > pages.size()) shaped.safe = shaped.discardable;
  books::evict_stale(claims, shaped.pages);
  guarding::watch(claims.add(shaped), environment);
  return {{}, grown.at};
}

namespace {

// Shorter in place: what is cut off is retired, not unmapped.
Answer<uintptr_t> shrink(Claims& claims, Environment& environment, Claim& source, Range from,
                         const RemapRequest& request) {
  const Range kept{from.begin, from.begin + request.new_length};
  const Range cut{kept.end, from.end};
  const sys::Status blank = buffers::blank(source, cut);
  if (!blank.ok()) return {{Outcome({blank.error, "mremap"})}};
  buffers::detach(environment, source, from);
  Claim& shaped = claims.isolate(from);
  shaped.owner = request.owner;
  buffers::retire(claims, claims.isolate(cut));
  return {{}, from.begin};
}

}  // namespace

Answer<uintptr_t> remap(Environment& environment, const RemapRequest& request,
                        Args::Numbers owners) {
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  const Range from{request.from, request.from + request.old_length};
  const Range touched{from.begin, std::max(from.end, from.begin + 1)};
  Claim* source = claims.of(&environment, touched);
  if (source == nullptr) return {{Refusal::kForeign, from.begin}};
  if (!room::for_more(claims.count(), 3)) return {{Refusal::kLimit, from.begin, "mremap"}};
  const bool leaves = request.old_length != 0 && (request.flags & kDontUnmap) == 0;
  if (source->vacant || (leaves && claims.reserve_in(touched) != nullptr))
    return {{Refusal::kPlaced, from.begin}};
  watches::Closed closed;
  guarding::close(claims, touched, closed);
  const Outcome undamaged = guarding::check_undamaged(claims, source->pages);
  if (!undamaged.ok()) return {undamaged};
  const bool fixed = (request.flags & kFixed) != 0;
  if (fixed) {
    const Range target{request.to, request.to + request.new_length};
    const Outcome allowed = books::verify(claims, environment, target, &owners);
    if (!allowed.ok()) return {allowed};
    guarding::close(claims, target, closed);
    const Outcome whole = guarding::check_whole(claims, target);
    if (!whole.ok()) return {whole};
    const Reserve* home = claims.reserve_in(target);
    if (home != nullptr && !home->pages.contains(target)) return {{Refusal::kPlaced, target.begin}};
    guarding::watch_all(claims, environment, target);
    guarding::close(claims, target, closed);
    const bool readable = source->protection >= 0 && (source->protection & PROT_READ) != 0;
    const Outcome blinded = readable ? Outcome() : books::blind(claims, environment, target);
    if (!blinded.ok()) return {blinded};
  }
  const bool stays = request.old_length == 0 || (request.flags & kDontUnmap) != 0;
  const bool shrinks = !fixed && !stays && request.new_length < request.old_length;
  const Readers readers{!stays && (source->viewed || buffers::readable_by_others(from)),
                        !stays && buffers::escaped(environment.env, claims, from)};
  if (shrinks && readers.native) return shrink(claims, environment, *source, from, request);
  const bool may_move = (request.flags & kMayMove) != 0;
  const bool grows = !fixed && !stays && request.new_length > request.old_length;
  const Moved moved = grows ? grow_in_kernel(from, request.new_length, may_move, readers)
                            : move_to(from, request, readers);
  if (!moved.status.ok() && !moved.destroyed) {
    if (!fixed) return {moved.status};
    const Range target{request.to, request.to + request.new_length};
    return {books::after_failed_move(claims, environment, target, moved.status)};
  }
  Claim placed = *source;
  placed.owner = request.owner;
  placed.views = nullptr;
  placed.watch = nullptr;
  placed.viewed = false;
  placed.recyclable = false;
  Watch* watch = nullptr;
  if (!stays) {
    buffers::detach(environment, *source, from);
    Claim& moving = claims.isolate(from);
    watch = moving.watch;
    moving.watch = nullptr;
    claims.remove(moving);
    if (moved.left) buffers::retire_zeros(claims, from);
  }
  if (moved.destroyed) {
    watches::release(watch);
    Outcome lost(moved.status);
    lost.destroyed = true;
    return {lost};
  }
  const Range now{moved.at, moved.at + request.new_length};
  placed.pages = now;
  placed.watch = hand_on(watch, now, now.begin == from.begin);
  placed.holed = moved_by(placed.holed, now.begin - from.begin);
  if (readers.native) {
    const bool stayed = now.begin == from.begin;
    if (!stayed && !moved.left) buffers::leave_zeros(claims, from);
    placed.viewed = stayed;
  }
  placed.haunted = claims.reserve_in(now) != nullptr && buffers::readable_by_others(now);
  // What is sealed against shrinking can still end before a longer mapping of it.
  if (now.size() > from.size()) placed.safe = placed.discardable;
  if (fixed) {
    placed.viewed = placed.viewed || books::is_viewed(claims, now);
    // Before the old watches go: native code at work must find one at each moment.
    guarding::watch(placed, environment);
    closed.add(placed.watch);
    books::forget(claims, environment, now);
  }
  books::evict_stale(claims, now);
  guarding::watch(claims.add(placed), environment);
  if (placed.protection < 0 || (placed.protection & PROT_READ) == 0) {
    guarding::expect_late_access(claims, now);
  }
  return {{}, moved.at};
}

}  // namespace memmap::space
