// Whose call it is, by the address it returns to. Uses the kernel's list and not the loader, whose
// lock the caller may hold. Must not know what is called.
#pragma once

#include "base/range.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose::call_site {

// The number of the library, from 1 on; 0 where that cannot be known.
uint16_t library_of(Header* header, const void* address);

// memmap's own addon says so itself, by an address in it. Asks the loader: not in a handler.
void register_addon(const void* address);
[[nodiscard]] bool is_memmap(const void* address);

// A library was closed: another may come to lie where it was.
void forget();

}  // namespace memmap::interpose::call_site
