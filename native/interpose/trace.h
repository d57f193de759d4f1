// Appends records to the table, without a lock. Must not know what the calls do.
#pragma once

#include "interpose/trace_buffer.h"

namespace memmap::interpose::trace {

// Sees to it that the first records can be written, the file being open. False: they cannot.
bool prepare(Header* header, long fd);

// A record but for its time, thread and library, which are filled in.
struct Entry {
  Call call;
  Verdict verdict;
  uint64_t address;
  uint64_t length;
  int64_t result;
  uint64_t more = 0;
  uint64_t new_address = 0;
  int32_t protection = 0;
  int32_t fd = -1;
  int32_t flags = 0;
};
// `time`: 0 is now.
void append(Header* header, const Entry& entry, const void* caller, uint64_t time);

// What the helper itself has mapped: the table, the arena, its sets.
void append_own(Header* header, const void* here);

}  // namespace memmap::interpose::trace
