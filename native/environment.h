// What belongs to one JavaScript registry: a thread, or one more context in a thread.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <vector>

namespace memmap {

struct Environment {
  napi_env env;
  std::vector<napi_ref> weak;  // weak.h; a handle is an index
  std::vector<size_t> free_weak;
  napi_ref kept = nullptr;  // strong
};

}  // namespace memmap
