// One handler for SIGBUS and SIGSEGV. What happens in a guarded range is fixed up and told; every
// other signal goes on to whoever had it before.
//
//   fault -> guarded ranges::find -> not ours: the old handler
//                          -> ours:     fix up, write an entry, ring the doorbell (notifier.h)
#pragma once

#include <cstdint>

namespace memmap::signal_handler {

// Makes ours the handler that the kernel calls, if it is not. Needs the lock of OwnedRanges.
void install();

struct Installed {
  bool ever;
  bool bus;  // the kernel calls ours
  bool segmentation;
};
Installed installed();

}  // namespace memmap::signal_handler
