#include "faults/notifier.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "loop/callback.h"
#include "sys/background.h"
#include "sys/signal_safe.h"

namespace memmap::notifier {

namespace {

struct LoopNotifier : Notifier {
  loop::Callback deliver = nullptr;  // guarded by the mutex of the list
};

// Never destroyed: the notifier thread outlives everything.
struct NotifierList {
  std::mutex mutex;
  std::vector<LoopNotifier*> open;
  bool running = false;
};
NotifierList& notifiers() {
  static NotifierList* const list = new NotifierList();
  return *list;
}

void* listen(void*) {
  NotifierList& list = notifiers();
  for (;;) {
    sys::signal_safe::wait_for_doorbell();
    const std::lock_guard lock(list.mutex);
    for (LoopNotifier* notifier : list.open) {
      if (notifier->deliver == nullptr || !notifier->pending.load()) continue;
      if (!loop::call(notifier->deliver)) notifier->deliver = nullptr;
    }
  }
}

// Its callback, to be released outside of the lock; null when it has none any more.
loop::Callback remove(LoopNotifier* notifier) {
  NotifierList& list = notifiers();
  const std::lock_guard lock(list.mutex);
  std::erase(list.open, notifier);
  return std::exchange(notifier->deliver, nullptr);
}

void on_gone(void* data) { remove(static_cast<LoopNotifier*>(data)); }

}  // namespace

Notifier* make(napi_env env, napi_value deliver) {
  auto* notifier = new LoopNotifier();
  const loop::Callback callback = loop::make(env, deliver, {"memmap faults", notifier, on_gone});
  if (callback == nullptr) {
    delete notifier;
    return nullptr;
  }
  NotifierList& list = notifiers();
  const std::lock_guard lock(list.mutex);
  if (!list.running) list.running = start_background(listen, nullptr);
  notifier->deliver = callback;
  list.open.push_back(notifier);
  return notifier;
}

void close(Notifier* notifier) {
  if (notifier != nullptr) loop::release(remove(static_cast<LoopNotifier*>(notifier)));
}

}  // namespace memmap::notifier
