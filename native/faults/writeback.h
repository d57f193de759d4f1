// Writes to the file what only private pages hold, and nothing else: bytes that were not written
// keep what is there. The caller holds the lock of the guarded range.
#pragma once

#include "base/outcome.h"
#include "base/range.h"
#include "faults/handler/guarded_range.h"

namespace memmap::writeback {

struct Lost {
  Range pages;      // the private pages, which nobody can write to now
  PageState state;  // of all of them
  Range staged;     // the same pages of the file, writable, and for a shared mapping one more
};

// kFault at the first page whose bytes cannot reach the file.
Outcome write(FaultState& fault_state, const Lost& lost);

}  // namespace memmap::writeback
