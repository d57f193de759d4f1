// Weak references that can be asked in the middle of synchronous JavaScript: a WeakRef keeps its
// target alive until the turn ends, so it cannot tell a loop what the collector already took.
// Knows Node-API only.
#pragma once

#include <napi.h>

namespace memmap::weak {

Napi::Value weaken(const Napi::CallbackInfo& info);      // (object) -> handle
Napi::Value strengthen(const Napi::CallbackInfo& info);  // (handle) -> object or undefined
Napi::Value forget(const Napi::CallbackInfo& info);      // (handle)

}  // namespace memmap::weak
