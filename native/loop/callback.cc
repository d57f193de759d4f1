#include "loop/callback.h"

#include <node_api.h>

namespace memmap::loop {

namespace {

void finalize(napi_env, void* owner, void* gone) { reinterpret_cast<void (*)(void*)>(gone)(owner); }

}  // namespace

Callback make(napi_env env, napi_value function, const Making& making) {
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, making.name, NAPI_AUTO_LENGTH, &name) != napi_ok) {
    return nullptr;
  }
  Callback callback = nullptr;
  void* const gone = reinterpret_cast<void*>(making.gone);
  if (napi_create_threadsafe_function(env, function, nullptr, name, 1, 1, making.owner, finalize,
                                      gone, nullptr, &callback) != napi_ok) {
    return nullptr;
  }
  napi_unref_threadsafe_function(env, callback);
  return callback;
}

bool call(Callback callback) {
  // A full queue is as good: a call is on its way.
  return napi_call_threadsafe_function(callback, nullptr, napi_tsfn_nonblocking) != napi_closing;
}

void keep_loop(Callback callback, napi_env env, bool alive) {
  if (alive) {
    napi_ref_threadsafe_function(env, callback);
  } else {
    napi_unref_threadsafe_function(env, callback);
  }
}

void release(Callback callback) {
  if (callback != nullptr) napi_release_threadsafe_function(callback, napi_tsfn_abort);
}

}  // namespace memmap::loop
