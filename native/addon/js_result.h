// A failure as JavaScript sees it: { errno, syscall, refusal?, at?, destroyed? }. TypeScript makes
// the Error of it; nothing here must throw into JavaScript.
#pragma once

#include <napi.h>

#include "base/outcome.h"

namespace memmap {

// Null, which JavaScript sees as undefined, when the outcome is good.
napi_value to_failure(napi_env env, const Outcome& outcome);

}  // namespace memmap
