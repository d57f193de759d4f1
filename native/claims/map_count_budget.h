// How near the process is to the kernel's limit of regions. Calls that can make its list longer ask
// here first: V8 aborts when it is itself refused a mapping, so some of the room is not for us.
#pragma once

#include <cstddef>

namespace memmap::room {

// True when `regions` more fit. `claims` is how many there are. Needs the lock of Claims.
[[nodiscard]] bool for_more(size_t claims, size_t regions);
// Much has been given back: look again at the next call.
void look_again();

}  // namespace memmap::room
