#include "views/array_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "views/quarantine.h"

namespace memmap::views {

namespace {

// As much address space as detached ArrayBuffers may keep before they are looked through at each
// unmap: less than a hundredth of 47 bits.
constexpr size_t kDetachedBytes = size_t{1} << 40;
// As many detached ArrayBuffers as are looked through at once, at least.
constexpr size_t kSweepFrom = 5'000;

void unlink(OwnedRange& owned_range, View* view) {
  if (owned_range.views == view) owned_range.views = view->next;
  if (view->previous != nullptr) view->previous->next = view->next;
  if (view->next != nullptr) view->next->previous = view->previous;
  view->previous = nullptr;
  view->linked = false;
}

void link(OwnedRanges& owned_ranges, View* view) {
  view->linked = true;
  if (view->over_reserve) {
    quarantine_lists().reserve_views.insert(view);
    return;
  }
  OwnedRange* owned_range = owned_ranges.at(view->bytes.begin);
  push(owned_range->views, view);
}

void unlink(OwnedRanges& owned_ranges, View* view) {
  if (view->over_reserve) {
    quarantine_lists().reserve_views.erase(view);
    view->linked = false;
  } else {
    unlink(*owned_ranges.at(view->bytes.begin), view);
  }
}

void orphan(View* view) {
  view->orphaned = true;
  quarantine_lists().orphaned.insert(view);
}

// An environment that is ending runs finalizers although the memory may live on in another
// thread. Every call that could reach JavaScript fails by then; this is one that reaches none.
bool ending(napi_env env) {
  napi_value object = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return true;
  return napi_object_freeze(env, object) != napi_ok;
}

// Its ArrayBuffer is detached and, as far as JavaScript goes, gone.
void forget(OwnedRanges& owned_ranges, Environment& own, View* view) {
  napi_delete_reference(own.env, view->buffer);
  quarantine_lists().detached_views.erase(view);
  on_readers_gone(owned_ranges, view->bytes);
  if (view->finalized) {
    delete view;
  } else {
    view->collected = true;
  }
}

// Node: the last backing store over these bytes is gone, or the environment is ending.
void finalize(napi_env env, void* /*data*/, void* hint) {
  View* view = static_cast<View*>(hint);
  if (view->buffer == nullptr || view->detaching) {  // the caller still has it, and the lock
    view->finalized = true;
    return;
  }
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const bool last = ending(env);
  const auto lock = owned_ranges.lock();
  if (view->detached) {  // we detached it; sweep() has, or will have, the rest of it
    view->finalized = true;
    if (view->collected) delete view;
    return;
  }
  if (view->linked) unlink(owned_ranges, view);
  if (last) {
    // The memory may have been transferred to a thread that lives on: orphaned for good, as zeros.
    if (!view->orphaned) orphan(view);
    owned_ranges.each_in(view->bytes, [&](OwnedRange& owned_range) {
      if (owned_range.state != State::kAbandoned ||
          !replace_with_zeros(owned_range, owned_range.pages).ok())
        return;
      retire(owned_ranges, owned_range);
    });
    return;
  }
  napi_delete_reference(env, view->buffer);
  if (view->orphaned) {
    quarantine_lists().orphaned.erase(view);
    // What is detached over the same bytes was probably collected with it.
    if (quarantine_lists().detached_views.over(view->bytes)) sweep(owned_ranges, *view->own, true);
    on_readers_gone(owned_ranges, view->bytes);
  }
  delete view;
}

// Detached, or orphaned where it is not ours to detach any more. It is in no list.
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
    orphan(view);
    return;
  }
  view->detached = true;
  quarantine_lists().detached_views.insert(view);
  own.detached_views.push_back(view);
  own.detached_bytes += view->bytes.size();
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

napi_value make(Environment& own, Range bytes, Over over, Outcome* outcome) {
  // Without the lock: a failing creation calls finalize() at once.
  View* view = new View{bytes, &own};
  view->over_reserve = over == Over::kReserve;
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
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  link(owned_ranges, view);
  return buffer;
}

View* new_orphan(Environment& own, Range bytes) {
  View* view = new View{bytes, &own};
  view->escaped = true;
  orphan(view);
  return view;
}

void delete_orphan(OwnedRanges& owned_ranges, View* view) {
  quarantine_lists().orphaned.erase(view);
  on_readers_gone(owned_ranges, view->bytes);
  delete view;
}

void detach(Environment& own, OwnedRange& owned_range, Range pages, ReserveViews reserve_views) {
  for (View* view = owned_range.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(owned_range, view);
      part_with(own, view);
    }
    view = following;
  }
  if (reserve_views == ReserveViews::kKeep) return;
  for (View* view : quarantine_lists().reserve_views.take_over(pages)) part_with(own, view);
}

void sweep(OwnedRanges& owned_ranges, Environment& own, bool now) {
  const bool much =
      own.detached_views.size() >= own.sweep_at || own.detached_bytes > own.sweep_at_bytes;
  if (own.detached_views.empty() || (!now && !much)) return;
  std::vector<View*> reachable;
  size_t bytes = 0;
  // Where addresses are scarce only what JavaScript can reach is kept: the finalizer comes a turn
  // of the loop later, and nothing could be given back until then.
  static const bool scarce = sys::address_space_limit() != 0;
  for (View* view : own.detached_views) {
    napi_value buffer = nullptr;
    napi_get_reference_value(own.env, view->buffer, &buffer);
    if (buffer == nullptr && (view->finalized || scarce)) {
      forget(owned_ranges, own, view);
    } else {
      reachable.push_back(view);
      bytes += view->bytes.size();
    }
  }
  own.detached_views = std::move(reachable);
  own.detached_bytes = bytes;
  own.sweep_at_bytes = std::max(kDetachedBytes, 2 * bytes);
  own.sweep_at = std::max(kSweepFrom, 2 * own.detached_views.size());
}

void clean_up(OwnedRanges& owned_ranges, Environment& own) {
  for (View* view : own.detached_views) forget(owned_ranges, own, view);
  own.detached_views.clear();
}

void orphan(OwnedRange& owned_range, Range pages) {
  for (View* view = owned_range.views; view != nullptr;) {
    View* following = view->next;
    if (view->bytes.overlaps(pages)) {
      unlink(owned_range, view);
      orphan(view);
    }
    view = following;
  }
  for (View* view : quarantine_lists().reserve_views.take_over(pages)) {
    view->linked = false;
    orphan(view);
  }
}

void abandon(OwnedRange& owned_range) {
  // A collected ArrayBuffer proves nothing: transfer() and byte streams move its backing store to
  // another one. The finalizer proves it, a tick later.
  orphan(owned_range, owned_range.pages);
  owned_range.state = State::kAbandoned;
  owned_range.environment = nullptr;
}

void on_readers_gone(OwnedRanges& owned_ranges, Range bytes) {
  owned_ranges.each_in(bytes, [&](OwnedRange& owned_range) {
    if (readable_by_others(owned_range.pages)) return;
    if (owned_range.guard != nullptr) owned_range.guard->late = false;
    if (owned_range.state == State::kRetired) quarantine(owned_range);
    if (owned_range.state != State::kAbandoned) return;
    release(owned_ranges, owned_range);
  });
}

bool escaped(napi_env env, OwnedRanges& owned_ranges, Range pages) {
  if (quarantine_lists().orphaned.over(pages)) return true;
  bool found = false;
  owned_ranges.each_in(pages, [&](OwnedRange& owned_range) {
    for (const View* view = owned_range.views; view != nullptr; view = view->next) {
      found = found || (view->bytes.overlaps(pages) && has_escaped(env, view));
    }
  });
  const auto attached = [env](const View* view) { return !has_escaped(env, view); };
  return found || !quarantine_lists().reserve_views.each_over(pages, attached);
}

}  // namespace memmap::views
