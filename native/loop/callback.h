// A function of JavaScript that any thread may have called on its event loop: the one place that
// has napi_threadsafe_function. Must not know what is told.
#pragma once

#include "base/environment.h"

typedef struct napi_threadsafe_function__* napi_threadsafe_function;  // NOLINT: the same typedef

namespace memmap::loop {

using Callback = napi_threadsafe_function;

// Does not keep the loop alive. `gone(owner)` runs before it is freed, by release() or because its
// environment ends. Null when it cannot be made.
struct Making {
  const char* name;
  void* owner;
  void (*gone)(void* owner);
};
Callback make(napi_env env, napi_value function, const Making& making);

// From any thread; calls are merged. False: it is about to be freed, and must not be called again.
bool call(Callback callback);

// On its own thread: whether the loop stays alive for it.
void keep_loop(Callback callback, napi_env env, bool alive);

// Null is taken.
void release(Callback callback);

}  // namespace memmap::loop
