// Thread-pool work that carries a Result, not a string. The promise is always fulfilled: with the
// value, or with a failure as data that lib/binding.ts turns into an Error.
#pragma once

#include <napi.h>

#include <utility>

#include "addon/js_result.h"

namespace memmap {

struct Done {
  Outcome outcome;
  double value = 0;
  bool has_value = false;
};

// Runs `job()` (a callable that answers Done) on the thread pool. `keep` is a JavaScript value that
// must live until then, such as the buffer that is written into.
template <typename Job>
class Work {
 public:
  static napi_value queue(Napi::Env env, Napi::Value keep, Job job) {
    napi_deferred deferred = nullptr;
    napi_value promise = nullptr;
    // Refused while the environment is being stopped: then nobody waits for it either.
    if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
    Work* work = new Work(deferred, keep, std::move(job));
    const napi_value name = Napi::String::New(env, "memmap");
    const napi_status made =
        napi_create_async_work(env, nullptr, name, execute, complete, work, &work->handle_);
    if (made != napi_ok || napi_queue_async_work(env, work->handle_) != napi_ok) {
      work->resolve(env, to_failure(env, Outcome(sys::Status{EAGAIN, "uv_queue_work"})));
      delete work;
    }
    return promise;
  }

 private:
  Work(napi_deferred deferred, Napi::Value keep, Job job)
      : deferred_(deferred), job_(std::move(job)) {
    if (!keep.IsEmpty()) keep_ = Napi::Persistent(keep.As<Napi::Object>());
  }

  static void execute(napi_env, void* data) {
    Work* work = static_cast<Work*>(data);
    work->done_ = work->job_();
  }

  static void complete(napi_env env, napi_status status, void* data) {
    Work* work = static_cast<Work*>(data);
    const Napi::HandleScope scope(env);
    if (status == napi_ok) {
      const Done& done = work->done_;
      if (!done.outcome.ok()) {
        work->resolve(env, to_failure(env, done.outcome));
      } else {
        work->resolve(env,
                      done.has_value ? napi_value(Napi::Number::New(env, done.value)) : nullptr);
      }
    }
    napi_delete_async_work(env, work->handle_);
    delete work;
  }

  // Fails only while the environment is being stopped.
  void resolve(napi_env env, napi_value value) {
    if (value == nullptr) napi_get_undefined(env, &value);
    napi_resolve_deferred(env, deferred_, value);
  }

  napi_deferred deferred_;
  Job job_;
  Napi::ObjectReference keep_;
  napi_async_work handle_ = nullptr;
  Done done_;
};

template <typename Job>
napi_value queue_work(Napi::Env env, Napi::Value keep, Job job) {
  return Work<Job>::queue(env, keep, std::move(job));
}

}  // namespace memmap
