// The LD_PRELOAD helper of `memmap run`, if this process has it: native/interpose. Holds no policy.
#pragma once

#include <napi.h>

#include "base/environment.h"

namespace memmap::interpose_link {

// Tells it that this library is memmap.
void announce();
void add_to(Napi::Object exports, Environment* own);

}  // namespace memmap::interpose_link
