// ArrayBuffers over owned ranges: make, detach, retire. Knows Node-API's buffers and the table;
// must not decide who may map or unmap what.
//
// The life of a view:
//   linked    in its owned range's list; its ArrayBuffer is attached, as far as we know
//   detached  we detached it. While JavaScript can reach the ArrayBuffer so can native code that
//             was handed it (Node keeps it for as long as the call lasts): its pages stay readable
//   orphaned  its ArrayBuffer is gone but its memory is not: transfer() moved it to another one,
//             or the collector has not finished
// and it ends when the collector has taken the ArrayBuffer and Node says that no backing store is
// left: native code holds the one or the other for as long as it works.
#pragma once

#include <napi.h>

#include "addon/environment.h"
#include "addon/js_result.h"
#include "claims/claims.h"

namespace memmap {

struct View {
  Range bytes;
  Environment* own;           // valid until its environment ends
  napi_ref buffer = nullptr;  // weak
  View* next = nullptr;       // in the owned range's list
  View* previous = nullptr;
  bool linked = false;
  bool over_reserve = false;  // over several owned ranges of a reserve: in no owned range's list
  bool detached = false;
  bool orphaned = false;
  bool escaped = false;  // orphaned, and known to be shown by an ArrayBuffer that nobody can detach
  bool collected = false;
  bool finalized = false;
  bool detaching = false;  // some runtimes call the finalizer inside of the call that detaches
};

// Puts a view at the head of an owned range's list.
inline void push(View*& list, View* view) {
  view->previous = nullptr;
  view->next = list;
  if (list != nullptr) list->previous = view;
  list = view;
}

namespace views {

// An ArrayBuffer over bytes of an owned range of `environment`.
napi_value make(Environment& own, Range bytes, Outcome* outcome);
// The same over bytes of a reserve, whatever owned ranges they lie in.
napi_value make_reserve_view(Environment& own, Range bytes, Outcome* outcome);

// The rest needs the lock of OwnedRanges. Under it only these calls of Node-API are made, none of
// which can run JavaScript or a finalizer: napi_get_reference_value, napi_is_detached_arraybuffer,
// napi_detach_arraybuffer, napi_delete_reference.

// A view that is orphaned from the beginning, and the end of it.
View* new_orphan(Environment& own, Range bytes);
void delete_orphan(OwnedRanges& owned_ranges, View* view);
// Takes the views that touch `pages` out of `owned_range`: attached ones are detached, the others
// orphaned. The views of a reserve are about addresses, not contents: they may stay where pages are
// replaced by others that can be read.
enum class ReserveViews { kDetach, kKeep };
void detach(Environment& own, OwnedRange& owned_range, Range pages,
            ReserveViews reserve_views = ReserveViews::kDetach);
// Lets go of what was detached and then collected; `now`, or when there is much of it.
void sweep(OwnedRanges& owned_ranges, Environment& own, bool now);
// The environment is ending: nothing of it can be reached any more.
void clean_up(OwnedRanges& owned_ranges, Environment& own);
// Holds the views that touch `pages`, without Node-API: they are another thread's, or the
// environment is ending.
void orphan(OwnedRange& owned_range, Range pages);
// Its Mapping was collected.
void abandon(OwnedRange& owned_range);
// True when a view is orphaned over these pages.
bool has_orphans(Range pages);
// What waited for a view over these bytes, or has just been cut off from what waits, goes on.
void on_readers_gone(OwnedRanges& owned_ranges, Range bytes);
// True when an ArrayBuffer that nobody can detach is known to show some of them: one whose own was
// collected a moment ago mostly has none.
bool shown_by_others(Range pages);
// True when native code may still be reading them, through a view that is orphaned or detached.
bool readable_by_others(Range pages);
// True when an ArrayBuffer that nobody can detach any more may show some of these pages: they must
// stay readable.
bool escaped(napi_env env, OwnedRanges& owned_ranges, Range pages);
// Zero pages in the place of `pages`, atomically; the file below them is released.
sys::Status replace_with_zeros(OwnedRange& owned_range, Range pages);
// An owned range of zero pages: kept until no reader can be left.
void retire(OwnedRanges& owned_ranges, OwnedRange& owned_range);
// Zero pages of ours, in nobody's name.
void retire_zeros(OwnedRanges& owned_ranges, Range pages);
// Zero pages where pages have just been unmapped under somebody who may still be reading them.
// Where another thread was quicker to map something there, it is theirs.
void leave_zeros(OwnedRanges& owned_ranges, Range hole);
// An owned range of its own that nobody can be reading: unmapped now.
void release(OwnedRanges& owned_ranges, OwnedRange& owned_range);
// The oldest quarantined range, out of quarantine and zero again, where that is crowded and the
// range is `length` bytes of recyclable memory: what would have to be unmapped is mapped again.
OwnedRange* recycle(OwnedRanges& owned_ranges, size_t length);
// Gives retired ranges back to the kernel: those old enough, or all that can go.
void reap(OwnedRanges& owned_ranges, bool all);

struct Retired {
  size_t ranges;
  size_t bytes;
};
Retired retired(OwnedRanges& owned_ranges);

}  // namespace views
}  // namespace memmap
