// Threads of the addon's own, which are never joined.
#pragma once

namespace memmap {

// Starts one that takes no signals and keeps nothing alive. False: the system has none left.
bool start_background(void* (*life)(void*), void* data);

}  // namespace memmap
