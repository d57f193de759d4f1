// The waiter threads and their wait lists. Private to waiter_thread.cc and
// waiters.cc: what one may count on is in waiters.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "sync/completion_queue.h"

namespace memmap {

namespace waiters {

struct Sleeper {
  CompletionQueue* queue;
  double id;
  const uint32_t* word;
  uint32_t value;
  [[nodiscard]] bool is(const Sleeper& other) const {
    return queue == other.queue && id == other.id;
  }
};

// A thread and those it sleeps for. The wake word is a word that it sleeps on as well, and grows
// when the list has changed.
struct WaiterThread {
  std::atomic<uint32_t> wake_word{0};
  std::vector<Sleeper> sleepers;
  std::vector<const uint32_t*> recently_woken;  // words that were woken, the last one first
  uint64_t listed = 0;                          // when its thread last looked at the list
};

// Never destroyed: the threads outlive everything. The mutex guards all of this and all completion
// queues.
struct WaiterTable {
  std::mutex mutex;
  std::vector<WaiterThread*> waiter_threads;
  std::atomic<size_t> sleepers{0};
  uint64_t lists = 0;
  std::condition_variable relisted;  // a thread has looked at its list, or has ended
};
WaiterTable& waiter_table();

// All of these need the lock.

// False: the thread cannot be made.
bool enqueue(const Sleeper& sleeper);
void post(const Sleeper& sleeper, Ending ending);
// A wake-up has come to somebody who does not wait any more: the next one gets it.
void forward_wakeup(const uint32_t* word);
// The thread is to look at its list.
void notify(WaiterThread& waiter_thread);
// Until the threads of these have looked since now, and have told or passed on all that came
// before.
void await_relist(std::unique_lock<std::mutex>& lock, const std::vector<WaiterThread*>& notified);

// Takes out those that satisfy the condition, and gives the waiter threads that they were in.
template <typename Condition, typename Visit>
std::vector<WaiterThread*> remove_where(Condition condition, Visit visit) {
  std::vector<WaiterThread*> notified;
  if (waiter_table().sleepers.load() == 0) return notified;
  for (WaiterThread* waiter_thread : waiter_table().waiter_threads) {
    const size_t erased = std::erase_if(waiter_thread->sleepers, [&](const Sleeper& sleeper) {
      if (!condition(sleeper)) return false;
      visit(sleeper);
      return true;
    });
    if (erased == 0) continue;
    waiter_table().sleepers.fetch_sub(erased);
    notify(*waiter_thread);
    notified.push_back(waiter_thread);
  }
  return notified;
}

}  // namespace waiters
}  // namespace memmap
