// Puts pages into the place of others, atomically: nobody ever sees the place empty. Runs in a
// signal handler, in the turn of the watch.
#pragma once

#include "faults/handler/guarded_range.h"

namespace memmap::put {

// Fresh pages of ours, to be filled and moved into place. Empty: no room.
Range fresh(size_t length);
bool all_zero(Range pages);

// A private copy of `source` in the place of the pages.
bool copy(Range pages, Range source, int protection);

// Many pages for the sake of one: those that are well are made private with it, and repair() tells
// what was written to them from what they held. Nobody may write to them while they are copied:
// writers fault, and wait for the end of this turn.
bool block(Damage& damage, Range pages, int protection);

// What the pages show, in their place of the shadow. Empty: it cannot be had.
Range keep_copy(Damage& damage, Range pages);
// Private pages of a file have no other way back: they themselves are kept there.
void keep_original(Damage& damage, Range pages);

}  // namespace memmap::put
