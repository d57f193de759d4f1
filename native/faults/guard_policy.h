// Which owned ranges are guarded now, and what is refused while one of their pages is damaged.
// Every function needs the lock of OwnedRanges.
#pragma once

#include "base/environment.h"
#include "base/outcome.h"
#include "claims/claims.h"

namespace memmap::guard_policy {

// Gives the owned range a guarded range, if it is guarded, has been viewed, and can fault at all.
void guard(OwnedRange& owned_range, Environment& own);
// Before its pages become read-only: the same for every owned range in the range.
void guard_all(OwnedRanges& owned_ranges, Environment& own, Range pages);

// True when some page of the range is guarded.
[[nodiscard]] bool any_guarded(OwnedRanges& owned_ranges, Range pages);

// The pages are inaccessible now, and native code may still be at work on a view of what lies or
// lay there: the handler makes what such code meets accessible.
void expect_late_access(OwnedRanges& owned_ranges, Range pages);

// Keeps the handler away from these pages for as long as `range_lock` lives.
void lock(OwnedRanges& owned_ranges, Range pages, guarded_ranges::ScopedRangeLock& range_lock);

// The pages now allow something else; where that failed nobody knows what.
void set_protection(OwnedRanges& owned_ranges, Range pages, int protection, bool known);

// kFault at the first page whose mapped bytes are lost. For writing, also those where only the way
// to the file is: what is written would stay here.
enum class Use { kRead, kWrite };
Outcome check_intact(OwnedRanges& owned_ranges, Range pages, Use use);
// kFault at the first page that holds what was written to it, and would no longer allow that:
// repair() could not tell it from a stray write.
Outcome check_unwritten(OwnedRanges& owned_ranges, Range pages);
// kFault at the first page that is not what was mapped, whatever the reason.
Outcome check_undamaged(OwnedRanges& owned_ranges, Range pages);
// The same for pages that are about to leave their owned ranges: what the guard keeps is for the
// whole of an owned range, so no part of a damaged one may go.
Outcome check_whole(OwnedRanges& owned_ranges, Range pages);

}  // namespace memmap::guard_policy
