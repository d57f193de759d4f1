// Keeps the table true: who may touch a range, and what leaves the table when pages change hands.
// Every function needs the lock of OwnedRanges. Must not decide what happens to pages, and maps
// none.
#pragma once

#include "base/environment.h"
#include "base/outcome.h"
#include "claims/claims.h"
#include "views/array_buffer.h"

namespace memmap::ownership {

// Every page of the range belongs to `environment`, and to one of `owners` if they are given.
Outcome verify(OwnedRanges& owned_ranges, Environment& environment, Range pages,
               const Owners* owners);

bool is_whole(const OwnedRange& owned_range, Range pages);

// True when native code may be reading some of the pages through a view.
[[nodiscard]] bool is_exposed(OwnedRanges& owned_ranges, Range pages);

// The parts of `pages` that are owned leave the table; views over them are detached. What lies
// outside of `pages` stays, with its own views.
void forget(OwnedRanges& owned_ranges, Environment& own, Range pages,
            views::ReserveViews reserve_views = views::ReserveViews::kDetach);

// Detaches every view over some pages; those that cannot be are orphaned.
void detach(OwnedRanges& owned_ranges, Environment& own, Range pages);

// Detaches every view over pages that are about to become unreadable. Busy when one of them cannot
// be: it was transferred, or is not detachable at all (the heap of an asm.js module).
Outcome revoke_views(OwnedRanges& owned_ranges, Environment& own, Range pages);

// The kernel has just given us these pages, so whatever the table says of them is out of date:
// somebody unmapped them behind our back. Their views may be another thread's.
void remove_stale(OwnedRanges& owned_ranges, Range pages);

// After a failed fixed call the target may be a hole. A hole among our pages is a trap for the
// next foreign mapping, so it is closed again; the old owners lose it either way.
Outcome after_failed_move(OwnedRanges& owned_ranges, Environment& own, Range target,
                          sys::Status failed);

}  // namespace memmap::ownership
