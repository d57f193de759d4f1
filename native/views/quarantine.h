// What no claim holds any more: views whose ArrayBuffer is detached or gone, and retired pages that
// wait for their time. Private to buffers.cc and retire.cc; guarded by the lock of Claims.
#pragma once

#include <cstdint>
#include <deque>

#include "views/view_index.h"

namespace memmap::buffers {

struct Quarantined {
  Range pages;
  uint64_t since;
  uint64_t turn;  // of the claims that are it
};

// Never destroyed, like Claims.
struct Limbo {
  ViewList held;
  ViewList lingering;
  // Views of a reserve, over any number of claims: in no claim's list.
  ViewList spans;
  std::deque<Quarantined> quarantine;
  size_t quarantined_bytes = 0;
  // Grows where the kernel has no room to let ranges go, so that not every retirement tries again.
  size_t most_ranges = 16'384;
};
Limbo& limbo();

// Nobody can be reading the claim any more, but for native code that is late: it waits for its
// time.
void quarantine(Claim& claim);

}  // namespace memmap::buffers
