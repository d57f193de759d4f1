// Weak references that can be asked in the middle of synchronous JavaScript: a WeakRef keeps its
// target alive until the turn ends, so it cannot tell a loop what the collector already took.
// Knows Node-API only.
#pragma once

#include "addon/args.h"

namespace memmap::weak {

napi_value weaken(Args& args);      // (object) -> handle
napi_value strengthen(Args& args);  // (handle) -> object or undefined
napi_value forget(Args& args);      // (handle)
// (object) holds one object for the environment, in place of the last; (undefined) lets it go.
napi_value keep(Args& args);

}  // namespace memmap::weak
