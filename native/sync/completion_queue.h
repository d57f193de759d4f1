// What has ended for the sleepers of one registry, until JavaScript takes it.
#pragma once

#include <cstdint>
#include <vector>

#include "loop/callback.h"

namespace memmap {

namespace waiters {

enum class Ending {
  kWoken,
  kGone,  // the memory was unmapped, or moved
  kBad,   // the memory cannot be read
};

struct Completion {
  double id;
  Ending ending;
  const uint32_t* word;
};

}  // namespace waiters

// Guarded by the lock of the waiter threads.
struct CompletionQueue {
  std::vector<waiters::Completion> completions;
  loop::Callback deliver = nullptr;
};

}  // namespace memmap
