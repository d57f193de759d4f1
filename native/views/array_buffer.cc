#include "views/array_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "faults/guard_policy.h"
#include "views/quarantine.h"

namespace memmap::buffers {

namespace {

// As much address space as detached ArrayBuffers may keep before they are looked through at each
// unmap: less than a hundredth of 47 bits.
constexpr size_t kLingeringBytes = size_t{1} << 40;
// As many detached ArrayBuffers as are looked through at once, at least.
constexpr size_t kSweepFrom = 5'000;

void unlink(Claim& claim, View* view) {
  if (claim.views == view) claim.views = view->next;
  if (view->previous != nullptr) view->previous->next = view->next;
  if (view->next != nullptr) view->next->previous = view->previous;
  view->previous = nullptr;
  view->linked = false;
}

void link(Claims& claims, View* view) {
  view->linked = true;
  if (view->spanning) {
    limbo().spans.insert(view);
    return;
  }
  Claim* claim = claims.at(view->bytes.begin);
  push(claim->views, view);
}

void unlink(Claims& claims, View* view) {
  if (view->spanning) {
    limbo().spans.erase(view);
    view->linked = false;
  } else {
    unlink(*claims.at(view->bytes.begin), view);
  }
}

void hold(View* view) {
  view->held = true;
  limbo().held.insert(view);
}

// An environment that is ending runs finalizers although the memory may live on in another
// thread. Every call that could reach JavaScript fails by then; this is one that reaches none.
bool ending(napi_env env) {
  napi_value object = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return true;
  return napi_object_freeze(env, object) != napi_ok;
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
  if (view->buffer == nullptr || view->detaching) {  // the caller still has it, and the lock
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
  if (view->linked) unlink(claims, view);
  if (last) {
    // The memory may have been transferred to a thread that lives on: held for good, as zeros.
    if (!view->held) hold(view);
    claims.each_in(view->bytes, [&](Claim& claim) {
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

// Over bytes that can be read and are watched by now.
napi_value make_view(Environment& own, Range bytes, bool spanning, Outcome* outcome) {
  // Without the lock: a failing creation calls finalize() at once.
  View* view = new View{bytes, &own};
  view->spanning = spanning;
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
  Claims& claims = Claims::process();
  const auto lock = claims.lock();
  link(claims, view);
  return buffer;
}

// Detached, or held where it is not ours to detach any more. It is in no list.
void part_with(Environment& own, View* view) {
  view->linked = false;
  napi_value buffer = nullptr;
  bool detached = true;
  napi_get_reference_value(own.env, view->buffer, &buffer);
  if (buffer != nullptr) napi_is_detached_arraybuffer(own.env, buffer, &detached);
  view->detaching = true;
  const bool done = !detached && napi_detach_arraybuffer(own.env, buffer) == napi_ok;
  view->detaching = false;
  if (!done) {
    view->escaped = buffer != nullptr;
    hold(view);
    return;
  }
  view->lingering = true;
  limbo().lingering.insert(view);
  own.lingering.push_back(view);
  own.lingering_bytes += view->bytes.size();
}

// True when its ArrayBuffer is not the one that shows the memory.
bool has_escaped(napi_env env, const View* view) {
  napi_value buffer = nullptr;
  bool detached = true;
  napi_get_reference_value(env, view->buffer, &buffer);
  if (buffer != nullptr) napi_is_detached_arraybuffer(env, buffer, &detached);
  return detached;
}

}  // namespace

napi_value make(Environment& own, Range bytes, Outcome* outcome) {
  {
    Claims& claims = Claims::process();
    const auto lock = claims.lock();
    *outcome = guarding::open_view(claims, own, bytes);
    if (!outcome->ok()) return nullptr;
  }
  return make_view(own, bytes, false, outcome);
}

napi_value make_span(Environment& own, Range bytes, Outcome* outcome) {
  {
    Claims& claims = Claims::process();
    const auto lock = claims.lock();
    *outcome = guarding::open_span(claims, own, bytes);
    if (!outcome->ok()) return nullptr;
  }
  return make_view(own, bytes, true, outcome);
}

View* hold_new(Environment& own, Range bytes) {
  View* view = new View{bytes, &own};
  view->escaped = true;
  hold(view);
  return view;
}

void let_go(Claims& claims, View* view) {
  limbo().held.erase(view);
  settle(claims, view->bytes);
  delete view;
}

void detach(Environment& own, Claim& claim, Range pages, Spans spans) {
  for (View* view = claim.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(claim, view);
      part_with(own, view);
    }
    view = following;
  }
  if (spans == Spans::kKeep) return;
  for (View* view : limbo().spans.take_over(pages)) part_with(own, view);
}

void sweep(Claims& claims, Environment& own, bool now) {
  const bool much =
      own.lingering.size() >= own.sweep_at || own.lingering_bytes > own.sweep_at_bytes;
  if (own.lingering.empty() || (!now && !much)) return;
  std::vector<View*> reachable;
  size_t bytes = 0;
  // Where addresses are scarce only what JavaScript can reach is kept: the finalizer comes a turn
  // of the loop later, and nothing could be given back until then.
  static const bool scarce = sys::address_space_limit() != 0;
  for (View* view : own.lingering) {
    napi_value buffer = nullptr;
    napi_get_reference_value(own.env, view->buffer, &buffer);
    if (buffer == nullptr && (view->finalized || scarce)) {
      forget(claims, own, view);
    } else {
      reachable.push_back(view);
      bytes += view->bytes.size();
    }
  }
  own.lingering = std::move(reachable);
  own.lingering_bytes = bytes;
  own.sweep_at_bytes = std::max(kLingeringBytes, 2 * bytes);
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
  for (View* view : limbo().spans.take_over(pages)) {
    view->linked = false;
    hold(view);
  }
}

void abandon(Claim& claim) {
  // A collected ArrayBuffer proves nothing: transfer() and byte streams move its backing store to
  // another one. The finalizer proves it, a tick later.
  hold(claim, claim.pages);
  claim.state = State::kAbandoned;
  claim.environment = nullptr;
}

void settle(Claims& claims, Range bytes) {
  claims.each_in(bytes, [&](Claim& claim) {
    if (readable_by_others(claim.pages)) return;
    if (claim.watch != nullptr) claim.watch->late = false;
    if (claim.state == State::kRetired) quarantine(claim);
    if (claim.state != State::kAbandoned) return;
    release(claims, claim);
  });
}

bool held(Range pages) { return limbo().held.over(pages); }
bool shown_by_others(Range pages) {
  return !limbo().held.each_over(pages, [](const View* view) { return !view->escaped; });
}

bool readable_by_others(Range pages) {
  return limbo().held.over(pages) || limbo().lingering.over(pages);
}

bool escaped(napi_env env, Claims& claims, Range pages) {
  if (limbo().held.over(pages)) return true;
  bool found = false;
  claims.each_in(pages, [&](Claim& claim) {
    for (const View* view = claim.views; view != nullptr; view = view->next) {
      found = found || (view->bytes.overlaps(pages) && has_escaped(env, view));
    }
  });
  const auto attached = [env](const View* view) { return !has_escaped(env, view); };
  return found || !limbo().spans.each_over(pages, attached);
}

}  // namespace memmap::buffers
