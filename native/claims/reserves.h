// Reserves: ranges of addresses that stay ours, whatever is placed in them and taken out again.
// Every function needs the lock of Claims. Must not decide who may place what.
#pragma once

#include "claims/claims.h"
#include "sys/sys.h"

namespace memmap::reserves {

// The reserve that all of these pages lie in, or null.
[[nodiscard]] const Reserve* home_of(const Claims& claims, Range pages);

// Inaccessible, empty pages in the place of what is in the range, atomically.
sys::Status empty(Range pages);
// In the table: a claim of its own, whose pages are empty, is the reserve's again.
void vacate(Claims& claims, Claim& claim, const Reserve& reserve);
// Empty pages where there are none any more, in the kernel's list and in the table.
void refill(Claims& claims, Range hole, const Reserve& reserve);

}  // namespace memmap::reserves
