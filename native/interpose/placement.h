// The arena: one reserved range inside which requests without an address are placed. What is free
// in it stays PROT_NONE, so that nobody else slips in. Must not know who asks.
#pragma once

#include "base/range.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose::placement {

void prepare(Header& header);
[[nodiscard]] Range node_memory();

// The part of the range that lies in the arena.
[[nodiscard]] Range inside(Range range);

// As the calls of syscall.h, for requests that touch the arena or may be placed in it. *placed: the
// address, or what becomes of it, is the arena's doing.
struct Request {
  uintptr_t address;
  size_t length;
  int protection;
  int flags;
  int fd;
  uint64_t offset;
  size_t page = 0;  // what the kernel rounds the length up to: a huge page, or an ordinary one
};
long map(Header* header, const Request& request, bool* placed);
long unmap(uintptr_t address, size_t length, bool* placed);
// Whether a part of it is free in the arena: to the program nothing is mapped there.
[[nodiscard]] bool is_free(Header* header, uintptr_t address, size_t length);
struct Move {
  uintptr_t address;
  size_t old_length;
  size_t new_length;
  int flags;
  uintptr_t to;
};
long remap(Header* header, const Move& move, bool* placed);

}  // namespace memmap::interpose::placement
