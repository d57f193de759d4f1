// Gives pages that the fault guard put in back to what is mapped there. Knows the guarded ranges
// and the system; must not know Node-API.
#pragma once

#include "base/outcome.h"
#include "claims/claims.h"

namespace memmap::repair {

// Stray writes are thrown away: the pages show what was mapped there again. Needs the lock of
// OwnedRanges, and is quick.
Outcome discard_strays(OwnedRange& owned_range);

// Everything in the range. What only the private pages hold is written to the file first; where
// that cannot be, the outcome says at which page and the rest stays as it is. Takes the lock of
// OwnedRanges for a piece at a time, and blocks.
Outcome restore(const void* environment, Range pages);

// Nothing is damaged, and JavaScript has seen every entry: lets go of what the handler made.
void tidy(GuardedRange& guard);

}  // namespace memmap::repair
