// ArrayBuffers over claimed ranges: make, detach, retire. Knows Node-API's buffers and the table;
// must not decide who may map or unmap what.
//
// The life of a view:
//   linked     in its claim's list; its ArrayBuffer is attached, as far as we know
//   lingering  we detached it. While JavaScript can reach the ArrayBuffer so can native code that
//              was handed it (Node keeps it for as long as the call lasts): its pages stay readable
//   held       its ArrayBuffer is gone but its memory is not, because somebody called transfer(),
//   or
//              the collector has not finished
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
  View* next = nullptr;       // in the claim's list
  View* previous = nullptr;
  bool linked = false;
  bool spanning = false;  // over several claims of a reserve: in no claim's list
  bool lingering = false;
  bool held = false;
  bool escaped = false;  // held, and known to be shown by an ArrayBuffer that nobody can detach
  bool swept = false;
  bool finalized = false;
  bool detaching = false;  // some runtimes call the finalizer inside of the call that detaches
};

// Puts a view at the head of a claim's list.
inline void push(View*& list, View* view) {
  view->previous = nullptr;
  view->next = list;
  if (list != nullptr) list->previous = view;
  list = view;
}

namespace buffers {

// An ArrayBuffer over bytes of a claim of `environment`.
napi_value make(Environment& own, Range bytes, Outcome* outcome);
// The same over bytes of a reserve, whatever claims they lie in.
napi_value make_span(Environment& own, Range bytes, Outcome* outcome);

// The rest needs the lock of Claims. Under it only these calls of Node-API are made, none of which
// can run JavaScript or a finalizer: napi_get_reference_value, napi_is_detached_arraybuffer,
// napi_detach_arraybuffer, napi_delete_reference.

// A view that is held from the beginning, and the end of it.
View* hold_new(Environment& own, Range bytes);
void let_go(Claims& claims, View* view);
// Takes the views that touch `pages` out of `claim`: attached ones are detached, the others held.
// The views of a reserve are about addresses, not contents: they may stay where pages are replaced
// by others that can be read.
enum class Spans { kDetach, kKeep };
void detach(Environment& own, Claim& claim, Range pages, Spans spans = Spans::kDetach);
// Lets go of what was detached and then collected; `now`, or when there is much of it.
void sweep(Claims& claims, Environment& own, bool now);
// The environment is ending: nothing of it can be reached any more.
void leave(Claims& claims, Environment& own);
// Holds the views that touch `pages`, without Node-API: they are another thread's, or the
// environment is ending.
void hold(Claim& claim, Range pages);
// Its Mapping was collected.
void abandon(Claim& claim);
// True when a view is held over these pages.
bool held(Range pages);
// What waited for a view over these bytes, or has just been cut off from what waits, goes on.
void settle(Claims& claims, Range bytes);
// True when an ArrayBuffer that nobody can detach is known to show some of them: one whose own was
// collected a moment ago mostly has none.
bool shown_by_others(Range pages);
// True when native code may still be reading them, through a view that is held or lingers.
bool readable_by_others(Range pages);
// True when an ArrayBuffer that nobody can detach any more may show some of these pages: they must
// stay readable.
bool escaped(napi_env env, Claims& claims, Range pages);
// Zero pages in the place of `pages`, atomically; the file below them is released.
sys::Status blank(Claim& claim, Range pages);
// A blank claim of its own: kept until nobody can be reading it any more.
void retire(Claims& claims, Claim& claim);
// Zero pages of ours, in nobody's name.
void retire_zeros(Claims& claims, Range pages);
// Zero pages where pages have just been unmapped under somebody who may still be reading them.
// Where another thread was quicker to map something there, it is theirs.
void leave_zeros(Claims& claims, Range hole);
// A claim of its own that nobody can be reading: unmapped now.
void release(Claims& claims, Claim& claim);
// The oldest quarantined range, out of quarantine and zero again, where that is crowded and the
// range is `length` bytes of recyclable memory: what would have to be unmapped is mapped again.
Claim* recycle(Claims& claims, size_t length);
// Gives retired ranges back to the kernel: those old enough, or all that can go.
void reap(Claims& claims, bool all);

struct Retired {
  size_t ranges;
  size_t bytes;
};
Retired retired(Claims& claims);

}  // namespace buffers
}  // namespace memmap
