// This process as the helper sees it: its threads, what must be locked, memory of its own, and
// whether it is a forked child. Must not know what is recorded.
#pragma once

#include "interpose/lock.h"

namespace memmap::interpose::process {

// Once: makes the page that the kernel clears in forked children. False: no memory for it.
bool prepare(size_t page);
// False in a forked child of the process that prepare() was called in, whose id is `pid`.
[[nodiscard]] bool is_original(uint32_t pid);
[[nodiscard]] const void* fork_page();

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
