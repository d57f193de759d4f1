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

#include "base/environment.h"
#include "base/outcome.h"
#include "claims/claims.h"
#include "claims/view.h"
#include "views/quarantine.h"

namespace memmap {

namespace views {

// An ArrayBuffer over bytes that can be read and are guarded by now: see space::open_view(). Over
// those of one owned range, or of a reserve, whatever owned ranges they lie in.
enum class Over { kOwnedRange, kReserve };
napi_value make(Environment& own, Range bytes, Over over, Outcome* outcome);

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
// What waited for a view over these bytes, or has just been cut off from what waits, goes on.
void on_readers_gone(OwnedRanges& owned_ranges, Range bytes);
// True when an ArrayBuffer that nobody can detach any more may show some of these pages: they must
// stay readable.
bool escaped(napi_env env, OwnedRanges& owned_ranges, Range pages);

}  // namespace views
}  // namespace memmap
