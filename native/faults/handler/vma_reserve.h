// Regions that can be given back in an instant: a fixup needs up to four, and a process that maps
// much may be at its limit. The handler takes them, nobody else.
#pragma once

#include <errno.h>

namespace memmap::vma_reserve {

// Outside of a handler: a full set, where much of the last one is used up.
void prepare();

// True when the kernel got some regions back.
bool free_some();
bool run_low();
// Gives back more than is needed here: V8 and malloc end the process when they get no region.
void free_for_others();

// Makes a call that answers false, with errno, when it fails; again while it is for want of room.
template <typename Call>
bool with(Call call) {
  do {
    if (call()) return true;
  } while (errno == ENOMEM && free_some());
  return false;
}

}  // namespace memmap::vma_reserve
