#include "faults/notifier.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "addon/background.h"
#include "sys/signal_safe.h"

namespace memmap {

struct Inbox {
  std::atomic<bool> full{false};  // until its letters are taken; nobody rings twice for them
  napi_threadsafe_function deliver = nullptr;  // guarded by the lock of the post
};

namespace inbox {

namespace {

// Never destroyed: the bell thread outlives everything.
struct Post {
  std::mutex mutex;
  std::vector<Inbox*> open;
  bool running = false;
};
Post& post_office() {
  static Post* const post = new Post();
  return *post;
}

void* listen(void*) {
  Post& post = post_office();
  for (;;) {
    sys::in_signal::wait_for_ring();
    const std::lock_guard lock(post.mutex);
    for (Inbox* inbox : post.open) {
      if (inbox->deliver == nullptr || !inbox->full.load()) continue;
      // A full queue is as good: a call is on its way.
      const napi_status brought =
          napi_call_threadsafe_function(inbox->deliver, nullptr, napi_tsfn_nonblocking);
      if (brought == napi_closing) inbox->deliver = nullptr;
    }
  }
}

// The function is about to be freed: by us, or because its environment ends.
void forget(napi_env, void* data, void*) {
  Post& post = post_office();
  const std::lock_guard lock(post.mutex);
  auto* inbox = static_cast<Inbox*>(data);
  inbox->deliver = nullptr;
  std::erase(post.open, inbox);
}

}  // namespace

Inbox* make(napi_env env, napi_value deliver) {
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, "memmap faults", NAPI_AUTO_LENGTH, &name) != napi_ok) {
    return nullptr;
  }
  Inbox* inbox = new Inbox();
  napi_threadsafe_function function = nullptr;
  if (napi_create_threadsafe_function(env, deliver, nullptr, name, 1, 1, inbox, forget, nullptr,
                                      nullptr, &function) != napi_ok) {
    delete inbox;
    return nullptr;
  }
  napi_unref_threadsafe_function(env, function);
  Post& post = post_office();
  const std::lock_guard lock(post.mutex);
  if (!post.running) post.running = start_background(listen, nullptr);
  inbox->deliver = function;
  post.open.push_back(inbox);
  return inbox;
}

void close(Inbox* inbox) {
  if (inbox == nullptr) return;
  Post& post = post_office();
  napi_threadsafe_function function = nullptr;
  {
    const std::lock_guard lock(post.mutex);
    function = inbox->deliver;
    inbox->deliver = nullptr;
    std::erase(post.open, inbox);
  }
  if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
}

std::atomic<uint32_t>& posted() {
  static std::atomic<uint32_t> count{0};
  return count;
}

bool take(Inbox& inbox) { return inbox.full.exchange(false); }

void post(Inbox& inbox) {
  // In this order: whoever is rung up finds the count grown.
  const bool was_full = inbox.full.exchange(true);
  posted().fetch_add(1);
  if (!was_full) sys::in_signal::ring();
}

}  // namespace inbox
}  // namespace memmap
