#include "buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "room.h"

namespace memmap::buffers {

namespace {

// How long, how many and how much: memory that native code on another thread may still be reading.
// The bytes are address space only; no page of it is resident unless somebody writes there.
constexpr uint64_t kQuarantineMs = 10'000;
constexpr size_t kQuarantineRanges = 1024;
constexpr size_t kQuarantineBytes = size_t{64} << 30;

struct Quarantined {
  Range pages;
  uint64_t since;
};

// Held views by address. Several may overlap, so a search starts a longest view's length early.
class Held {
 public:
  void insert(View* view) {
    view->held = true;
    longest_ = std::max(longest_, view->bytes.size());
    views_.emplace(view->bytes.begin, view);
  }
  void erase(View* view) {
    const auto same = views_.equal_range(view->bytes.begin);
    for (auto entry = same.first; entry != same.second; ++entry) {
      if (entry->second != view) continue;
      views_.erase(entry);
      break;
    }
    view->held = false;
    if (views_.empty()) longest_ = 0;
  }
  [[nodiscard]] bool over(Range pages) const {
    const uintptr_t from = pages.begin > longest_ ? pages.begin - longest_ : 0;
    for (auto entry = views_.lower_bound(from); entry != views_.end() && entry->first < pages.end;
         ++entry) {
      if (entry->second->bytes.overlaps(pages)) return true;
    }
    return false;
  }

 private:
  std::multimap<uintptr_t, View*> views_;
  size_t longest_ = 0;
};

// Guarded by the lock of Claims, and like it never destroyed.
struct Limbo {
  Held held;
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

// A held view has gone: what waited for it may go on.
void settle(Claims& claims, Range bytes) {
  each_in(claims, bytes, [&](Claim& claim) {
    if (limbo().held.over(claim.pages)) return;
    if (claim.state == State::kRetired) quarantine(claim);
    if (claim.state != State::kAbandoned) return;
    release(claims, claim);
  });
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
  const bool settled = !view->linked && !view->held;
  if (view->linked) unlink(*claims.at(view->bytes.begin), view);
  if (!settled && last) {
    // The memory may have been transferred to a thread that lives on: held for good, as zeros.
    if (!view->held) limbo().held.insert(view);
    each_in(claims, view->bytes, [&](Claim& claim) {
      if (claim.state != State::kAbandoned || !blank(claim, claim.pages).ok()) return;
      retire(claims, claim);
    });
    return;
  }
  napi_delete_reference(env, view->buffer);
  if (view->held) {
    limbo().held.erase(view);
    settle(claims, view->bytes);
  }
  delete view;
}

}  // namespace

napi_value make(napi_env env, const void* environment, Range bytes, Outcome* outcome) {
  Claims& claims = Claims::process();
  {
    const auto lock = claims.lock();
    Claim* claim = claims.of(environment, bytes);
    if (claim == nullptr) {
      *outcome = {Refusal::kForeign, bytes.begin};
      return nullptr;
    }
    claim->viewed = true;
  }
  // Without the lock: a failing creation calls finalize() at once.
  View* view = new View{bytes};
  napi_value buffer = nullptr;
  const napi_status made =
      napi_create_external_buffer(env, bytes.size(), bytes.data(), finalize, view, &buffer);
  if (made != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    napi_value ignored = nullptr;
    if (pending) napi_get_and_clear_last_exception(env, &ignored);
    delete view;
    *outcome = {Refusal::kNoExternal, bytes.begin};
    return nullptr;
  }
  napi_value memory = nullptr;
  napi_get_typedarray_info(env, buffer, nullptr, nullptr, nullptr, &memory, nullptr);
  napi_create_reference(env, memory, 0, &view->buffer);
  const auto lock = claims.lock();
  Claim* claim = claims.at(bytes.begin);
  view->next = claim->views;
  claim->views = view;
  view->linked = true;
  return buffer;
}

void detach(napi_env env, Claim& claim, Range pages) {
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(claim, view);
      napi_value buffer = nullptr;
      bool detached = true;
      napi_get_reference_value(env, view->buffer, &buffer);
      if (buffer != nullptr) napi_is_detached_arraybuffer(env, buffer, &detached);
      if (detached || napi_detach_arraybuffer(env, buffer) != napi_ok) limbo().held.insert(view);
    }
    view = following;
  }
}

void hold(Claim& claim, Range pages) {
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(claim, view);
      limbo().held.insert(view);
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
  claim.state = State::kRetired;
  claim.environment = nullptr;
  if (!limbo().held.over(claim.pages)) quarantine(claim);
  reap(claims, false);
}

void release(Claims& claims, Claim& claim) {
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

Claim* recycle(Claims& claims, size_t length) {
  Limbo& state = limbo();
  if (state.quarantine.size() < kQuarantineRanges) return nullptr;
  const Range oldest = state.quarantine.front().pages;
  if (oldest.size() != length) return nullptr;
  Claim* claim = claims.at(oldest.begin);
  // Once more: native code that was late may have written there.
  if (!claim->recyclable || !sys::advise(oldest, MADV_DONTNEED).ok()) return nullptr;
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
    going.push_back(state.quarantine.front().pages);
    state.quarantined_bytes -= going.back().size();
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

Retired retired(Claims&) { return {limbo().quarantine.size(), limbo().quarantined_bytes}; }

}  // namespace memmap::buffers
