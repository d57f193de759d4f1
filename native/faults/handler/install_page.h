// Puts pages into the place of others, atomically: nobody ever sees the place empty. Runs in a
// signal handler, with the guarded range locked.
#pragma once

#include "faults/handler/guarded_range.h"

namespace memmap::install_page {

// Fresh pages of ours, to be filled and moved into place. Empty: no room.
Range fresh(size_t length);
bool all_zero(Range pages);

// A private copy of `source` in the place of the pages.
bool copy(Range pages, Range source, int protection);

// Many pages for the sake of one: those that are well are made private with it, and repair() tells
// what was written to them from what they held. Nobody may write to them while they are copied:
// writers fault, and wait for the unlock.
bool copy_block(FaultState& fault_state, Range pages, int protection);

// What the pages show, in their place of the shadow. Empty: it cannot be had.
Range copy_aside(FaultState& fault_state, Range pages);
// Private pages of a file have no other way back: they themselves are kept there.
void move_original_aside(FaultState& fault_state, Range pages);

}  // namespace memmap::install_page
