// How near the process is to the kernel's limit of regions. Calls that can make its list longer ask
// here first: V8 aborts when it is itself refused a mapping, so some of the room is not for us.
#pragma once

#include <cstddef>

namespace memmap::map_count_budget {

// True when `regions` more fit. `owned_ranges` is how many there are. Needs the lock of
// OwnedRanges.
[[nodiscard]] bool allows(size_t owned_ranges, size_t regions);
// Much has been given back: look again at the next call.
void recount();

}  // namespace memmap::map_count_budget
