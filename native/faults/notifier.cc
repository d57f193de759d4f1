#include "faults/notifier.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "addon/background.h"
#include "sys/signal_safe.h"

namespace memmap {

struct Notifier {
  std::atomic<bool> pending{
      false};  // until its notifications are taken; nobody rings twice for them
  napi_threadsafe_function deliver = nullptr;  // guarded by the lock of the post
};

namespace notifier {

namespace {

// Never destroyed: the notifier thread outlives everything.
struct NotifierList {
  std::mutex mutex;
  std::vector<Notifier*> open;
  bool running = false;
};
NotifierList& notifiers() {
  static NotifierList* const post = new NotifierList();
  return *post;
}

void* listen(void*) {
  NotifierList& post = notifiers();
  for (;;) {
    sys::signal_safe::wait_for_doorbell();
    const std::lock_guard lock(post.mutex);
    for (Notifier* notifier : post.open) {
      if (notifier->deliver == nullptr || !notifier->pending.load()) continue;
      // A full queue is as good: a call is on its way.
      const napi_status brought =
          napi_call_threadsafe_function(notifier->deliver, nullptr, napi_tsfn_nonblocking);
      if (brought == napi_closing) notifier->deliver = nullptr;
    }
  }
}

// The function is about to be freed: by us, or because its environment ends.
void forget(napi_env, void* data, void*) {
  NotifierList& post = notifiers();
  const std::lock_guard lock(post.mutex);
  auto* notifier = static_cast<Notifier*>(data);
  notifier->deliver = nullptr;
  std::erase(post.open, notifier);
}

}  // namespace

Notifier* make(napi_env env, napi_value deliver) {
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, "memmap faults", NAPI_AUTO_LENGTH, &name) != napi_ok) {
    return nullptr;
  }
  Notifier* notifier = new Notifier();
  napi_threadsafe_function function = nullptr;
  if (napi_create_threadsafe_function(env, deliver, nullptr, name, 1, 1, notifier, forget, nullptr,
                                      nullptr, &function) != napi_ok) {
    delete notifier;
    return nullptr;
  }
  napi_unref_threadsafe_function(env, function);
  NotifierList& post = notifiers();
  const std::lock_guard lock(post.mutex);
  if (!post.running) post.running = start_background(listen, nullptr);
  notifier->deliver = function;
  post.open.push_back(notifier);
  return notifier;
}

void close(Notifier* notifier) {
  if (notifier == nullptr) return;
  NotifierList& post = notifiers();
  napi_threadsafe_function function = nullptr;
  {
    const std::lock_guard lock(post.mutex);
    function = notifier->deliver;
    notifier->deliver = nullptr;
    std::erase(post.open, notifier);
  }
  if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
}

std::atomic<uint32_t>& posted() {
  static std::atomic<uint32_t> count{0};
  return count;
}

bool take(Notifier& notifier) { return notifier.pending.exchange(false); }

void post(Notifier& notifier) {
  // In this order: whoever is rung up finds the count grown.
  const bool was_pending = notifier.pending.exchange(true);
  posted().fetch_add(1);
  if (!was_pending) sys::signal_safe::ring_doorbell();
}

}  // namespace notifier
}  // namespace memmap
