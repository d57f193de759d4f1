// MEMMAP_DENY=noreplace,populate,procmap_query,process_vm,tmpfile makes this process behave as on a
// kernel (or in a container) without them: how the fallbacks are tested, and a way round a bad
// sandbox.
#pragma once

#include <stdlib.h>
#include <string.h>

namespace memmap::sys {

inline bool denied(const char* facility) {
  const char* list = getenv("MEMMAP_DENY");
  return list != nullptr && strstr(list, facility) != nullptr;
}

}  // namespace memmap::sys
