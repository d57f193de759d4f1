// Weak references that can be asked in the middle of synchronous JavaScript: a WeakRef keeps its
// target alive until the turn ends, so it cannot tell a loop what the collector already took.
// Knows Node-API only.
#pragma once

#include "addon/args.h"

namespace memmap::weak_refs {

napi_value create(Args& args);  // (object) -> handle
napi_value deref(Args& args);   // (handle) -> object or undefined
napi_value remove(Args& args);  // (handle)
// (object) holds one object for the environment, in place of the last; (undefined) lets it go.
napi_value set_strong(Args& args);

}  // namespace memmap::weak_refs
