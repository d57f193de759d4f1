// One handler for SIGBUS and SIGSEGV. What happens in a guarded range is mended and told; every
// other signal goes on to whoever had it before.
//
//   fault -> watches::find -> not ours: the old handler
//                          -> ours:     mend, write an entry, ring the bell (inbox.h)
#pragma once

#include <cstdint>

namespace memmap::fault_guard {

// Makes ours the handler that the kernel calls, if it is not. Needs the lock of Claims.
void install();

struct Installed {
  bool ever;
  bool bus;  // the kernel calls ours
  bool segmentation;
};
Installed installed();

}  // namespace memmap::fault_guard
