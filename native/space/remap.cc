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

// The guarded range of pages that are somewhere else or longer now. Null: there is none any more.
GuardedRange* hand_on(GuardedRange* guard, Range pages, bool stayed) {
  if (guard != nullptr && stayed) {
    guarded_ranges::resize(*guard, pages);
    return guard;
  }
  guarded_ranges::release(guard);
  return nullptr;
}

}  // namespace

Answer<uintptr_t> grow(Environment& environment, Range pages, size_t length, bool may_move) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.of(&environment, pages);
  if (owned_range == nullptr || !ownership::is_whole(*owned_range, pages))
    return {{Refusal::kForeign, pages.begin}};
  if (!map_count_budget::allows(owned_ranges.count(), 3))
    return {{Refusal::kLimit, pages.begin, "mremap"}};
  if (owned_ranges.reserve_in(pages) != nullptr) return {{Refusal::kPlaced, pages.begin}};
  guarded_ranges::ScopedRangeLock range_lock;
  guard_policy::lock(owned_ranges, pages, range_lock);
  const Outcome undamaged = guard_policy::check_undamaged(owned_ranges, pages);
  if (!undamaged.ok()) return {undamaged};
  const Readers readers{owned_range->exposed, views::escaped(environment.env, owned_ranges, pages)};
  const Moved grown = grow_in_kernel(pages, length, may_move, readers);
  if (!grown.status.ok() && !grown.destroyed) return {grown.status};
  views::detach(environment, *owned_range, pages);
  OwnedRange shaped = *owned_range;
  // Handed on, so that the pages are never without: they can be read all the time.
  owned_range->guard = nullptr;
  owned_ranges.remove(*owned_range);
  if (grown.left) views::retire_zeros(owned_ranges, pages);
  if (grown.destroyed) {
    guarded_ranges::release(shaped.guard);
    Outcome lost(grown.status);
    lost.destroyed = true;
    return {lost};
  }
  const bool stayed = grown.at == pages.begin;
  if (!grown.left && !stayed && shaped.exposed) {
    views::leave_zeros(owned_ranges, pages);
  }
  shaped.pages = {grown.at, grown.at + length};
  shaped.guard = hand_on(shaped.guard, shaped.pages, stayed);
  shaped.guard_hole = moved_by(shaped.guard_hole, grown.at - pages.begin);
  shaped.exposed = stayed && shaped.exposed;
  // What is sealed against shrinking can still end before a longer mapping of it.
  if (length > pages.size()) shaped.cannot_fault = shaped.discardable;
  ownership::remove_stale(owned_ranges, shaped.pages);
  guard_policy::guard(owned_ranges.add(shaped), environment);
  return {{}, grown.at};
}

namespace {

// Shorter in place: what is cut off is retired, not unmapped.
Answer<uintptr_t> shrink(OwnedRanges& owned_ranges, Environment& environment, OwnedRange& source,
                         Range from, const RemapRequest& request) {
  const Range kept{from.begin, from.begin + request.new_length};
  const Range cut{kept.end, from.end};
  const sys::Status replaced = views::replace_with_zeros(source, cut);
  if (!replaced.ok()) return {{Outcome({replaced.error, "mremap"})}};
  views::detach(environment, source, from);
  OwnedRange& shaped = owned_ranges.isolate(from);
  shaped.owner = request.owner;
  views::retire(owned_ranges, owned_ranges.isolate(cut));
  return {{}, from.begin};
}

}  // namespace

Answer<uintptr_t> remap(Environment& environment, const RemapRequest& request, Owners owners) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  const Range from{request.from, request.from + request.old_length};
  const Range touched{from.begin, std::max(from.end, from.begin + 1)};
  OwnedRange* source = owned_ranges.of(&environment, touched);
  if (source == nullptr) return {{Refusal::kForeign, from.begin}};
  if (!map_count_budget::allows(owned_ranges.count(), 3))
    return {{Refusal::kLimit, from.begin, "mremap"}};
  const bool leaves = request.old_length != 0 && (request.flags & kDontUnmap) == 0;
  if (source->vacant || (leaves && owned_ranges.reserve_in(touched) != nullptr))
    return {{Refusal::kPlaced, from.begin}};
  guarded_ranges::ScopedRangeLock range_lock;
  guard_policy::lock(owned_ranges, touched, range_lock);
  const Outcome undamaged = guard_policy::check_undamaged(owned_ranges, source->pages);
  if (!undamaged.ok()) return {undamaged};
  const bool fixed = (request.flags & kFixed) != 0;
  if (fixed) {
    const Range target{request.to, request.to + request.new_length};
    const Outcome allowed = ownership::verify(owned_ranges, environment, target, &owners);
    if (!allowed.ok()) return {allowed};
    guard_policy::lock(owned_ranges, target, range_lock);
    const Outcome whole = guard_policy::check_whole(owned_ranges, target);
    if (!whole.ok()) return {whole};
    const Reserve* home = owned_ranges.reserve_in(target);
    if (home != nullptr && !home->pages.contains(target)) return {{Refusal::kPlaced, target.begin}};
    guard_policy::guard_all(owned_ranges, environment, target);
    guard_policy::lock(owned_ranges, target, range_lock);
    const bool readable = source->protection >= 0 && (source->protection & PROT_READ) != 0;
    const Outcome revoked =
        readable ? Outcome() : ownership::revoke_views(owned_ranges, environment, target);
    if (!revoked.ok()) return {revoked};
  }
  const bool stays = request.old_length == 0 || (request.flags & kDontUnmap) != 0;
  const bool shrinks = !fixed && !stays && request.new_length < request.old_length;
  const Readers readers{!stays && (source->exposed || views::readable_by_others(from)),
                        !stays && views::escaped(environment.env, owned_ranges, from)};
  if (shrinks && readers.native) return shrink(owned_ranges, environment, *source, from, request);
  const bool may_move = (request.flags & kMayMove) != 0;
  const bool grows = !fixed && !stays && request.new_length > request.old_length;
  const Moved moved = grows ? grow_in_kernel(from, request.new_length, may_move, readers)
                            : move_to(from, request, readers);
  if (!moved.status.ok() && !moved.destroyed) {
    if (!fixed) return {moved.status};
    const Range target{request.to, request.to + request.new_length};
    return {ownership::after_failed_move(owned_ranges, environment, target, moved.status)};
  }
  OwnedRange placed = *source;
  placed.owner = request.owner;
  placed.views = nullptr;
  placed.guard = nullptr;
  placed.exposed = false;
  placed.recyclable = false;
  GuardedRange* guard = nullptr;
  if (!stays) {
    views::detach(environment, *source, from);
    OwnedRange& moving = owned_ranges.isolate(from);
    guard = moving.guard;
    moving.guard = nullptr;
    owned_ranges.remove(moving);
    if (moved.left) views::retire_zeros(owned_ranges, from);
  }
  if (moved.destroyed) {
    guarded_ranges::release(guard);
    Outcome lost(moved.status);
    lost.destroyed = true;
    return {lost};
  }
  const Range now{moved.at, moved.at + request.new_length};
  placed.pages = now;
  placed.guard = hand_on(guard, now, now.begin == from.begin);
  placed.guard_hole = moved_by(placed.guard_hole, now.begin - from.begin);
  if (readers.native) {
    const bool stayed = now.begin == from.begin;
    if (!stayed && !moved.left) views::leave_zeros(owned_ranges, from);
    placed.exposed = stayed;
  }
  placed.has_stale_readers =
      owned_ranges.reserve_in(now) != nullptr && views::readable_by_others(now);
  // What is sealed against shrinking can still end before a longer mapping of it.
  if (now.size() > from.size()) placed.cannot_fault = placed.discardable;
  if (fixed) {
    placed.exposed = placed.exposed || ownership::is_exposed(owned_ranges, now);
    // Before the old guarded ranges go: native code at work must find one at each moment.
    guard_policy::guard(placed, environment);
    range_lock.add(placed.guard);
    ownership::forget(owned_ranges, environment, now);
  }
  ownership::remove_stale(owned_ranges, now);
  guard_policy::guard(owned_ranges.add(placed), environment);
  if (placed.protection < 0 || (placed.protection & PROT_READ) == 0) {
    guard_policy::expect_late_access(owned_ranges, now);
  }
  return {{}, moved.at};
}

}  // namespace memmap::space
