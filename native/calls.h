// One short function per export: decode the arguments, call space or sys, hand the result back.
// Must not decide anything.
#pragma once

#include <napi.h>

#include "space.h"

namespace memmap::calls {

// Adds every export. `environment` outlives them.
void add_to(Napi::Env env, Napi::Object exports, space::Environment* environment);

}  // namespace memmap::calls
