// This process as the helper sees it: whether it is recorded, into which table, and whose turn it
// is to touch what must be locked. Must not know what is recorded.
#pragma once

#include "interpose/lock.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose::process {

// The table, or null: not started by memmap run, or a child that is not recorded. The first call
// opens it, as early as anybody's first mmap.
Header* table();

[[nodiscard]] uint32_t thread_id();

// Runs `work` alone. False: it could not be, and was not run.
Lock* lock();
template <typename Work>
bool with_lock(Work work) {
  Lock* own = lock();
  if (own == nullptr || !own->take(thread_id())) return false;
  work();
  own->give();
  return true;
}

// Room for `length` bytes of the helper's own, zeroed, never in the list of others. Null: none.
void* own_memory(size_t length);

}  // namespace memmap::interpose::process
