#include "sync/waiter_thread.h"

#include <errno.h>

#include <algorithm>

#include "sys/background.h"
#include "sys/sync.h"

namespace memmap::waiters {

namespace {

constexpr size_t kMostSleepers = sys::kMostWaitWords - 1;
constexpr size_t kMostRecentlyWoken = 16;
constexpr uint64_t kSlice = 100'000'000;
constexpr uint64_t kPause = 10'000'000;

using Lock = std::unique_lock<std::mutex>;

const uint32_t* wake_word_of(const WaiterThread& waiter_thread) {
  return reinterpret_cast<const uint32_t*>(&waiter_thread.wake_word);
}

bool has_futex_waitv() {
  static const bool takes = [] {
    const uint32_t word = 0;
    const sys::WaitWord other{&word, 1};
    return sys::futex_wait_any(&other, 1).error == EAGAIN;
  }();
  return takes;
}

// False: it has been cancelled meanwhile.
bool dequeue(WaiterThread& waiter_thread, const Sleeper& sleeper) {
  const auto found = std::find_if(waiter_thread.sleepers.begin(), waiter_thread.sleepers.end(),
                                  [&](const Sleeper& each) { return each.is(sleeper); });
  if (found == waiter_thread.sleepers.end()) return false;
  waiter_thread.sleepers.erase(found);
  waiter_table().sleepers.fetch_sub(1);
  return true;
}

// The first of those that satisfy the condition gets a wake-up. False: there is none.
template <typename Condition>
bool wake_first(Condition condition) {
  for (WaiterThread* waiter_thread : waiter_table().waiter_threads) {
    const auto found =
        std::find_if(waiter_thread->sleepers.begin(), waiter_thread->sleepers.end(), condition);
    if (found == waiter_thread->sleepers.end()) continue;
    const Sleeper next = *found;
    dequeue(*waiter_thread, next);
    notify(*waiter_thread);
    post(next, Ending::kWoken);
    return true;
  }
  return false;
}

// Those of a word in front of all others: one that is woken often has nobody before it whom that
// would wake for nothing. Gives the place behind them.
auto move_to_front(std::vector<Sleeper>& sleepers, const uint32_t* word) {
  return std::stable_partition(sleepers.begin(), sleepers.end(),
                               [&](const Sleeper& each) { return each.word == word; });
}

void note_woken(WaiterThread& waiter_thread, const uint32_t* word) {
  auto& recently_woken = waiter_thread.recently_woken;
  if (!recently_woken.empty() && recently_woken.front() == word) return;
  std::erase(recently_woken, word);
  recently_woken.insert(recently_woken.begin(), word);
  if (recently_woken.size() > kMostRecentlyWoken) recently_woken.pop_back();
  move_to_front(waiter_thread.sleepers, word);
}

void insert_sleeper(WaiterThread& waiter_thread, const Sleeper& sleeper) {
  auto& sleepers = waiter_thread.sleepers;
  const auto& recently_woken = waiter_thread.recently_woken;
  const bool is_recent =
      std::find(recently_woken.begin(), recently_woken.end(), sleeper.word) != recently_woken.end();
  sleepers.insert(is_recent ? move_to_front(sleepers, sleeper.word) : sleepers.end(), sleeper);
}

// Each of these takes the lock.

void complete(WaiterThread& waiter_thread, const Sleeper& sleeper, Ending ending) {
  const Lock lock(waiter_table().mutex);
  if (dequeue(waiter_thread, sleeper)) post(sleeper, ending);
}

// Of the list that it slept on, the kernel names the last that was woken. Who is behind that one
// was not; in front of it those of the same word were, and those of others may have been: nothing
// tells any more. So all in front are woken, or else some that notify has counted would not be.
void wake_up(WaiterThread& waiter_thread, const std::vector<Sleeper>& asleep, size_t last) {
  const Lock lock(waiter_table().mutex);
  std::vector<const uint32_t*> left;
  for (size_t i = 0; i <= last; ++i) {
    if (dequeue(waiter_thread, asleep[i])) {
      post(asleep[i], Ending::kWoken);
    } else {
      left.push_back(asleep[i].word);
    }
  }
  for (const uint32_t* word : left) forward_wakeup(word);
  note_woken(waiter_thread, asleep[last].word);
}

// A word has another value, or cannot be read: asks each.
void ask_each(WaiterThread& waiter_thread, const std::vector<Sleeper>& asleep, int error) {
  // A word may be back at its value by now.
  bool any = error == EAGAIN;
  for (const Sleeper& sleeper : asleep) {
    const sys::Status now = sys::futex_check(sleeper.word, sleeper.value);
    if (now.ok()) continue;
    any = true;
    complete(waiter_thread, sleeper, now.error == EAGAIN ? Ending::kWoken : Ending::kBad);
  }
  // Out of memory, or a kernel that says nothing we know: not as fast as we can.
  if (!any)
    static_cast<void>(
        sys::futex_wait(wake_word_of(waiter_thread), waiter_thread.wake_word.load(), kPause).ok());
}

// Lists the sleepers. False: there are none, and the thread is not needed any more.
bool list_sleepers(WaiterThread& waiter_thread, std::vector<Sleeper>* asleep, uint32_t* wake_word) {
  WaiterTable& all = waiter_table();
  const Lock lock(all.mutex);
  waiter_thread.listed = ++all.lists;
  all.relisted.notify_all();
  // The first thread stays, where one is enough for many.
  const bool stays = has_futex_waitv() && all.waiter_threads.front() == &waiter_thread;
  if (waiter_thread.sleepers.empty() && !stays) {
    std::erase(all.waiter_threads, &waiter_thread);
    return false;
  }
  *asleep = waiter_thread.sleepers;
  *wake_word = waiter_thread.wake_word.load();
  return true;
}

void sleep_for_many(WaiterThread& waiter_thread, const std::vector<Sleeper>& asleep,
                    uint32_t wake_word) {
  thread_local std::vector<sys::WaitWord> words;
  words.assign(1, {wake_word_of(waiter_thread), wake_word});
  for (const Sleeper& sleeper : asleep) words.push_back({sleeper.word, sleeper.value});
  const auto woken = sys::futex_wait_any(words.data(), words.size());
  if (woken.ok()) {
    if (woken.value > 0) wake_up(waiter_thread, asleep, woken.value - 1);
  } else if (waiter_thread.wake_word.load() == wake_word) {
    ask_each(waiter_thread, asleep, woken.error);
  }
}

void sleep_for_one(WaiterThread& waiter_thread, const std::vector<Sleeper>& asleep) {
  const Sleeper& sleeper = asleep.front();
  const sys::Status slept = sys::futex_wait(sleeper.word, sleeper.value, kSlice);
  if (slept.ok()) {
    wake_up(waiter_thread, asleep, 0);
  } else if (slept.error != ETIMEDOUT) {
    complete(waiter_thread, sleeper, slept.error == EAGAIN ? Ending::kWoken : Ending::kBad);
  }
}

void* run(void* data) {
  auto* waiter_thread = static_cast<WaiterThread*>(data);
  std::vector<Sleeper> asleep;
  uint32_t wake_word = 0;
  while (list_sleepers(*waiter_thread, &asleep, &wake_word)) {
    if (has_futex_waitv()) {
      sleep_for_many(*waiter_thread, asleep, wake_word);
    } else {
      sleep_for_one(*waiter_thread, asleep);
    }
  }
  delete waiter_thread;
  return nullptr;
}

}  // namespace

WaiterTable& waiter_table() {
  static WaiterTable* const built = new WaiterTable();
  return *built;
}

void notify(WaiterThread& waiter_thread) {
  waiter_thread.wake_word.fetch_add(1);
  static_cast<void>(sys::futex_wake(wake_word_of(waiter_thread), 1).ok());
}

void post(const Sleeper& sleeper, Ending ending) {
  CompletionQueue& queue = *sleeper.queue;
  if (queue.deliver != nullptr) {
    if (loop::call(queue.deliver)) {
      queue.completions.push_back({sleeper.id, ending, sleeper.word});
      return;
    }
    queue.deliver = nullptr;
  }
  if (ending == Ending::kWoken) forward_wakeup(sleeper.word);
}

void forward_wakeup(const uint32_t* word) {
  const auto woken = sys::futex_wake(word, 1);
  if (woken.value > 0) return;
  // Nobody is asleep, in any process. One of ours may be between two calls: of this word, or of
  // one that may be the same memory at another address.
  if (wake_first([&](const Sleeper& each) { return each.word == word; })) return;
  const uintptr_t mask = sys::page_size() - 1;
  const auto place = reinterpret_cast<uintptr_t>(word) & mask;
  while (wake_first([&](const Sleeper& each) {
    return (reinterpret_cast<uintptr_t>(each.word) & mask) == place;
  })) {
  }
}

bool enqueue(const Sleeper& sleeper) {
  WaiterTable& all = waiter_table();
  const size_t most = has_futex_waitv() ? kMostSleepers : 1;
  const auto found =
      std::find_if(all.waiter_threads.begin(), all.waiter_threads.end(),
                   [&](const WaiterThread* each) { return each->sleepers.size() < most; });
  // A thread for one may be about to leave its word; it is not given another.
  if (most > 1 && found != all.waiter_threads.end()) {
    insert_sleeper(**found, sleeper);
    notify(**found);
  } else {
    auto* waiter_thread = new WaiterThread();
    insert_sleeper(*waiter_thread, sleeper);
    if (!start_background(run, waiter_thread)) {
      delete waiter_thread;
      return false;
    }
    all.waiter_threads.push_back(waiter_thread);
  }
  all.sleepers.fetch_add(1);
  return true;
}

void await_relist(Lock& lock, const std::vector<WaiterThread*>& notified) {
  // A thread for one sleeps on without hearing the wake word.
  if (notified.empty() || !has_futex_waitv()) return;
  WaiterTable& all = waiter_table();
  const uint64_t now = all.lists;
  all.relisted.wait(lock, [&] {
    return std::all_of(notified.begin(), notified.end(), [&](const WaiterThread* each) {
      const auto end = all.waiter_threads.end();
      return std::find(all.waiter_threads.begin(), end, each) == end || each->listed > now;
    });
  });
}

}  // namespace memmap::waiters
