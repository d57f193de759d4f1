#include "sync/waiters.h"

#include <errno.h>

#include <algorithm>
#include <utility>

#include "sync/waiter_thread.h"
#include "sys/sync.h"

namespace memmap::waiters {

namespace {

using Lock = std::unique_lock<std::mutex>;

void on_gone(void* data) {
  const Lock lock(waiter_table().mutex);
  static_cast<CompletionQueue*>(data)->deliver = nullptr;
}

}  // namespace

CompletionQueue* make(napi_env env, napi_value deliver) {
  auto* queue = new CompletionQueue();
  const loop::Callback callback = loop::make(env, deliver, {"memmap waits", queue, on_gone});
  if (callback == nullptr) {
    delete queue;
    return nullptr;
  }
  const Lock lock(waiter_table().mutex);
  queue->deliver = callback;
  return queue;
}

void keep_loop(CompletionQueue& queue, napi_env env, bool alive) {
  const Lock lock(waiter_table().mutex);
  if (queue.deliver != nullptr) loop::keep_loop(queue.deliver, env, alive);
}

std::vector<Completion> take(CompletionQueue& queue) {
  const Lock lock(waiter_table().mutex);
  return std::exchange(queue.completions, {});
}

Outcome add(CompletionQueue& queue, double id, const uint32_t* word, uint32_t value) {
  const Lock lock(waiter_table().mutex);
  if (enqueue({&queue, id, word, value})) return {};
  return sys::Status{EAGAIN, "pthread_create"};
}

bool cancel(CompletionQueue& queue, double id, bool forward) {
  const Lock lock(waiter_table().mutex);
  auto& completions = queue.completions;
  const auto found =
      std::find_if(completions.begin(), completions.end(),
                   [&](const Completion& completion) { return completion.id == id; });
  if (found == completions.end()) {
    const Sleeper wanted{&queue, id, nullptr, 0};
    remove_where([&](const Sleeper& sleeper) { return sleeper.is(wanted); }, [](const Sleeper&) {});
    return false;
  }
  const Completion completion = *found;
  completions.erase(found);
  if (completion.ending != Ending::kWoken) return false;
  if (forward) forward_wakeup(completion.word);
  return true;
}

void invalidate_range(Range pages) {
  if (waiter_table().sleepers.load() == 0) return;
  Lock lock(waiter_table().mutex);
  const auto notified = remove_where(
      [&](const Sleeper& sleeper) {
        return pages.contains(reinterpret_cast<uintptr_t>(sleeper.word));
      },
      [](const Sleeper& sleeper) { post(sleeper, Ending::kGone); });
  await_relist(lock, notified);
}

void clean_up(Environment& environment) {
  for (CompletionQueue* queue : environment.completion_queues) {
    loop::Callback callback = nullptr;
    {
      Lock lock(waiter_table().mutex);
      callback = std::exchange(queue->deliver, nullptr);
      const auto notified = remove_where(
          [&](const Sleeper& sleeper) { return sleeper.queue == queue; }, [](const Sleeper&) {});
      await_relist(lock, notified);
      for (const Completion& completion : std::exchange(queue->completions, {})) {
        if (completion.ending == Ending::kWoken) forward_wakeup(completion.word);
      }
    }
    loop::release(callback);
  }
}

}  // namespace memmap::waiters
