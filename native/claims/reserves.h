// Reserves: ranges of addresses that stay ours, whatever is placed in them and taken out again.
// Every function needs the lock of OwnedRanges. Must not decide who may place what.
#pragma once

#include "claims/claims.h"
#include "sys/sys.h"

namespace memmap::reserves {

// The reserve that all of these pages lie in, or null.
[[nodiscard]] const Reserve* home_of(const OwnedRanges& owned_ranges, Range pages);

// Inaccessible, empty pages in the place of what is in the range, atomically.
sys::Status empty(Range pages);
// In the table: an owned range of its own, whose pages are empty, is the reserve's again.
void vacate(OwnedRanges& owned_ranges, OwnedRange& owned_range, const Reserve& reserve);
// Empty pages where there are none any more, in the kernel's list and in the table.
void refill(OwnedRanges& owned_ranges, Range hole, const Reserve& reserve);

}  // namespace memmap::reserves
