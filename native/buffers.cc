#include "buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "guarding.h"
#include "room.h"
#include "view_list.h"

namespace memmap::buffers {

namespace {

// How long, how many and how much: what JavaScript cannot reach any more, but native code on
// another thread might still be reading. Address space only: no page is resident unless somebody
// writes.
constexpr uint64_t kQuarantineMs = 10'000;
constexpr size_t kQuarantineRanges = 16'384;
constexpr size_t kQuarantineBytes = size_t{64} << 30;
// From here on the oldest of them are given to those who ask for the same.
constexpr size_t kRecycleFrom = 1024;
// As much address space as detached ArrayBuffers that are not yet collected may keep once it is
// looked through: less than a hundredth of 47 bits.
constexpr size_t kLingeringBytes = size_t{1} << 40;
// As many detached ArrayBuffers as are looked through at once, at least.
constexpr size_t kSweepFrom = 5'000;

struct Quarantined {
  Range pages;
  uint64_t since;
};

// Guarded by the lock of Claims, and like it never destroyed.
struct Limbo {
  ViewList held;
  ViewList lingering;
  std::deque<Quarantined> quarantine;
  size_t quarantined_bytes = 0;
  // Grows where the kernel has no room to let ranges go, so that not every retirement tries again.
  size_t most_ranges = kQuarantineRanges;
};
Limbo& limbo() {
  static Limbo* const state = new Limbo();
  return *state;
}

void unlink(Claim& claim, View* view) {
  View** link = &claim.views;
  while (*link != nullptr && *link != view) link = &(*link)->next;
  if (*link == view) *link = view->next;
  view->linked = false;
}

// An environment that is ending runs finalizers although the memory may live on in another
// thread. Every call that could reach JavaScript fails by then; this is one that reaches none.
bool ending(napi_env env) {
  napi_value object = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return true;
  return napi_object_freeze(env, object) != napi_ok;
}

void hold(View* view) {
  view->held = true;
  limbo().held.insert(view);
}

bool in_use(Range pages) { return limbo().held.over(pages) || limbo().lingering.over(pages); }

void quarantine(Claim& claim) {
  claim.state = State::kQuarantined;
  limbo().quarantine.push_back({claim.pages, sys::monotonic_ms()});
  limbo().quarantined_bytes += claim.pages.size();
}

template <typename Visit>
void each_in(Claims& claims, Range range, Visit visit) {
  std::vector<Range> found;
  for (Claim* claim = claims.first_in(range); claim != nullptr;) {
    found.push_back(claim->pages);
    if (claim->pages.end >= range.end) break;
    claim = claims.first_in({claim->pages.end, range.end});
  }
  for (const Range pages : found) visit(*claims.at(pages.begin));
}

// A view has gone: what waited for it may go on.
void settle(Claims& claims, Range bytes) {
  each_in(claims, bytes, [&](Claim& claim) {
    if (in_use(claim.pages)) return;
    if (claim.state == State::kRetired) quarantine(claim);
    if (claim.state != State::kAbandoned) return;
    release(claims, claim);
  });
}

// Its ArrayBuffer is detached and, as far as JavaScript goes, gone.
void forget(Claims& claims, Environment& own, View* view) {
  napi_delete_reference(own.env, view->buffer);
  limbo().lingering.erase(view);
  settle(claims, view->bytes);
  if (view->finalized) {
    delete view;
  } else {
    view->swept = true;
  }
}

// Node: the last backing store over these bytes is gone, or the environment is ending.
void finalize(napi_env env, void* /*data*/, void* hint) {
  View* view = static_cast<View*>(hint);
  if (view->buffer == nullptr) {  // creation failed; make() still has it
    view->finalized = true;
    return;
  }
  Claims& claims = Claims::process();
  const bool last = ending(env);
  const auto lock = claims.lock();
  if (view->lingering) {  // we detached it; sweep() has, or will have, the rest of it
    view->finalized = true;
    if (view->swept) delete view;
    return;
  }
  if (view->linked) unlink(*claims.at(view->bytes.begin), view);
  if (last) {
    // The memory may have been transferred to a thread that lives on: held for good, as zeros.
    if (!view->held) hold(view);
    each_in(claims, view->bytes, [&](Claim& claim) {
      if (claim.state != State::kAbandoned || !blank(claim, claim.pages).ok()) return;
      retire(claims, claim);
    });
    return;
  }
  napi_delete_reference(env, view->buffer);
  if (view->held) {
    limbo().held.erase(view);
    // What lingers over the same bytes was probably collected with it.
    if (limbo().lingering.over(view->bytes)) sweep(claims, *view->own, true);
    settle(claims, view->bytes);
  }
  delete view;
}

}  // namespace

napi_value make(Environment& own, Range bytes, Outcome* outcome) {
  Claims& claims = Claims::process();
  {
    const auto lock = claims.lock();
    *outcome = guarding::open_view(claims, own, bytes);
    if (!outcome->ok()) return nullptr;
  }
  // Without the lock: a failing creation calls finalize() at once.
  View* view = new View{bytes, &own};
  napi_value buffer = nullptr;
  const napi_status made =
      napi_create_external_buffer(own.env, bytes.size(), bytes.data(), finalize, view, &buffer);
  if (made != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(own.env, &pending);
    napi_value ignored = nullptr;
    if (pending) napi_get_and_clear_last_exception(own.env, &ignored);
    delete view;
    *outcome = {Refusal::kNoExternal, bytes.begin};
    return nullptr;
  }
  napi_value memory = nullptr;
  napi_get_typedarray_info(own.env, buffer, nullptr, nullptr, nullptr, &memory, nullptr);
  napi_create_reference(own.env, memory, 0, &view->buffer);
  const auto lock = claims.lock();
  Claim* claim = claims.at(bytes.begin);
  view->next = claim->views;
  claim->views = view;
  view->linked = true;
  return buffer;
}

View* hold_new(Environment& own, Range bytes) {
  View* view = new View{bytes, &own};
  hold(view);
  return view;
}

void let_go(Claims& claims, View* view) {
  limbo().held.erase(view);
  settle(claims, view->bytes);
  delete view;
}

void detach(Environment& own, Claim& claim, Range pages) {
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(claim, view);
      napi_value buffer = nullptr;
      bool detached = true;
      napi_get_reference_value(own.env, view->buffer, &buffer);
      if (buffer != nullptr) napi_is_detached_arraybuffer(own.env, buffer, &detached);
      if (detached || napi_detach_arraybuffer(own.env, buffer) != napi_ok) {
        hold(view);
      } else {
        view->lingering = true;
        limbo().lingering.insert(view);
        own.lingering.push_back(view);
        own.lingering_bytes += view->bytes.size();
      }
    }
    view = following;
  }
}

void sweep(Claims& claims, Environment& own, bool now) {
  const bool much =
      own.lingering.size() >= own.sweep_at || own.lingering_bytes > 2 * kLingeringBytes;
  if (own.lingering.empty() || (!now && !much)) return;
  std::vector<View*> reachable;
  size_t bytes = 0;
  // The newest first: where there is too much, it is the oldest that go.
  for (auto entry = own.lingering.rbegin(); entry != own.lingering.rend(); ++entry) {
    View* view = *entry;
    napi_value buffer = nullptr;
    napi_get_reference_value(own.env, view->buffer, &buffer);
    if (buffer == nullptr || bytes > kLingeringBytes) {
      forget(claims, own, view);
    } else {
      reachable.push_back(view);
      bytes += view->bytes.size();
    }
  }
  own.lingering.assign(reachable.rbegin(), reachable.rend());
  own.lingering_bytes = bytes;
  own.sweep_at = std::max(kSweepFrom, 2 * own.lingering.size());
}

void leave(Claims& claims, Environment& own) {
  for (View* view : own.lingering) forget(claims, own, view);
  own.lingering.clear();
}

void hold(Claim& claim, Range pages) {
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(claim, view);
      hold(view);
    }
    view = following;
  }
}

void abandon(Claim& claim) {
  // A collected ArrayBuffer proves nothing: transfer() and byte streams move its backing store to
  // another one. The finalizer proves it, a tick later.
  hold(claim, claim.pages);
  claim.state = State::kAbandoned;
  claim.environment = nullptr;
}

bool held(Range pages) { return limbo().held.over(pages); }
bool readable_by_others(Range pages) { return in_use(pages); }

bool escaped(napi_env env, Claims& claims, Range pages) {
  if (limbo().held.over(pages)) return true;
  bool found = false;
  each_in(claims, pages, [&](Claim& claim) {
    for (const View* view = claim.views; view != nullptr; view = view->next) {
      if (!view->bytes.overlaps(pages)) continue;
      napi_value buffer = nullptr;
      napi_get_reference_value(env, view->buffer, &buffer);
      bool detached = true;
      if (buffer != nullptr) napi_is_detached_arraybuffer(env, buffer, &detached);
      found = found || detached;
    }
  });
  return found;
}

sys::Status blank(Claim& claim, Range pages) {
  if (claim.discardable && sys::advise(pages, MADV_DONTNEED).ok()) return {};
  claim.recyclable = false;
  return sys::overlay_zero(pages);
}

void retire(Claims& claims, Claim& claim) {
  watches::release(std::exchange(claim.watch, nullptr));
  claim.state = State::kRetired;
  claim.environment = nullptr;
  if (!in_use(claim.pages)) quarantine(claim);
  reap(claims, false);
}

void retire_zeros(Claims& claims, Range pages) {
  Claim left;
  left.pages = pages;
  left.discardable = true;
  retire(claims, claims.add(left));
}

void leave_zeros(Claims& claims, Range hole) {
  if (hole.empty()) return;
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (filled.ok()) retire_zeros(claims, hole);
}

void release(Claims& claims, Claim& claim) {
  // Before the pages go: a handler must not put one where somebody else's will be.
  watches::release(std::exchange(claim.watch, nullptr));
  const bool room = room::for_more(claims.count(), 1) || !claim.discardable;
  if (room && sys::unmap(claim.pages).ok()) {
    claims.remove(claim);
    return;
  }
  // No room to split a region: tried again when the quarantine is emptied.
  static_cast<void>(blank(claim, claim.pages).ok());
  claim.environment = nullptr;
  quarantine(claim);
}

namespace {

// The claim of a quarantined range; null where the pages are somebody else's by now.
Claim* quarantined(Claims& claims, Range pages) {
  Claim* claim = claims.at(pages.begin);
  const bool same = claim != nullptr && claim->pages.begin == pages.begin &&
                    claim->pages.end == pages.end && claim->state == State::kQuarantined;
  return same ? claim : nullptr;
}

}  // namespace

Claim* recycle(Claims& claims, size_t length) {
  Limbo& state = limbo();
  if (state.quarantine.size() < kRecycleFrom) return nullptr;
  const Range oldest = state.quarantine.front().pages;
  if (oldest.size() != length) return nullptr;
  Claim* claim = quarantined(claims, oldest);
  const bool stale = claim == nullptr;
  // Once more: native code that was late may have written there.
  if (!stale && (!claim->recyclable || !sys::advise(oldest, MADV_DONTNEED).ok())) return nullptr;
  state.quarantine.pop_front();
  state.quarantined_bytes -= length;
  return claim;
}

void reap(Claims& claims, bool all) {
  Limbo& state = limbo();
  const size_t waiting = state.quarantine.size();
  if (waiting == 0) return;
  const bool crowded =
      waiting > state.most_ranges || (state.quarantined_bytes > kQuarantineBytes && waiting > 1);
  const uint64_t now = sys::monotonic_ms();
  const bool aged = now - state.quarantine.front().since > kQuarantineMs;
  if (!all && !crowded && !aged) return;
  if (all) room::look_again();

  // Crowded: the older half goes, so that the cost is paid once for many. Oldest first in line.
  size_t take = all ? waiting : crowded ? waiting / 2 : 0;
  std::vector<Range> going;
  while (!state.quarantine.empty() &&
         (take > 0 || now - state.quarantine.front().since > kQuarantineMs)) {
    if (take > 0) --take;
    const Range pages = state.quarantine.front().pages;
    state.quarantined_bytes -= pages.size();
    if (quarantined(claims, pages) != nullptr) going.push_back(pages);
    state.quarantine.pop_front();
  }
  std::sort(going.begin(), going.end(), [](Range a, Range b) { return a.begin < b.begin; });
  for (size_t first = 0; first < going.size();) {
    size_t last = first;
    while (last + 1 < going.size() && going[last + 1].begin == going[last].end) ++last;
    const bool gone =
        room::for_more(claims.count(), 1) && sys::unmap({going[first].begin, going[last].end}).ok();
    for (size_t i = first; i <= last; ++i) {
      Claim& claim = *claims.at(going[i].begin);
      if (gone) {
        claims.remove(claim);
      } else {
        quarantine(claim);
      }
    }
    first = last + 1;
  }
  state.most_ranges = std::max(kQuarantineRanges, 2 * state.quarantine.size());
}

Retired retired(Claims& claims) {
  Retired found{0, 0};
  claims.each([&](const Claim& claim) {
    if (claim.state != State::kRetired && claim.state != State::kQuarantined) return;
    ++found.ranges;
    found.bytes += claim.pages.size();
  });
  return found;
}

}  // namespace memmap::buffers
