// Growing and moving: mremap, and what is left behind where native code may still be reading.
#include <errno.h>
#include <sys/mman.h>

#include <algorithm>

#include "books.h"
#include "buffers.h"
#include "space.h"

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
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_READ | PROT_WRITE,
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
  if (claim == nullptr || !books::is_whole(*claim, pages))
    return {{Refusal::kForeign, pages.begin}};
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
  books::evict_stale(claims, shaped.pages);
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
    const Outcome allowed = books::verify(claims, environment, target, &owners);
    if (!allowed.ok()) return {allowed};
    // What is moved there may be unreadable.
    if (buffers::escaped(environment.env, claims, target)) return {{Refusal::kBusy, target.begin}};
  }
  const auto moved =
      sys::remap(from.begin, request.old_length, request.new_length, request.flags, request.to);
  if (!moved.ok()) {
    if (!fixed) return {moved.status()};
    const Range target{request.to, request.to + request.new_length};
    return {books::after_failed_move(claims, environment.env, target, moved.status())};
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
  if (fixed) books::forget(claims, environment.env, now);
  books::evict_stale(claims, now);
  claims.add(placed);
  return {{}, moved.value};
}

}  // namespace memmap::space
