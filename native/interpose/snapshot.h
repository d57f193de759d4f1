// Copies the kernel's list of this process beside the table.
#pragma once

namespace memmap::interpose::snapshot {

void take(const char* table, const char* suffix);

}  // namespace memmap::interpose::snapshot
