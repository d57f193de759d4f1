// Whether this process is recorded, and into which table: opens it, and starts what records and
// what places. Above all of them.
#pragma once

#include "interpose/trace_buffer.h"

namespace memmap::interpose::recording {

// The table, or null: not started by memmap run, or a child that is not recorded. The first call
// opens it, as early as anybody's first mmap.
Header* table();

}  // namespace memmap::interpose::recording
