#include "sync/waiter_thread.h"

#include <errno.h>

#include <algorithm>

#include "addon/background.h"
#include "sys/sync.h"

namespace memmap::waiters {

namespace {

constexpr size_t kMostSleepers = sys::kMostWaitWords - 1;
constexpr size_t kMostHot = 16;
constexpr uint64_t kSlice = 100'000'000;
constexpr uint64_t kPause = 10'000'000;

using Lock = std::unique_lock<std::mutex>;

const uint32_t* bell_of(const Lodging& lodging) {
  return reinterpret_cast<const uint32_t*>(&lodging.bell);
}

bool kernel_takes_many() {
  static const bool takes = [] {
    const uint32_t word = 0;
    const sys::WaitWord other{&word, 1};
    return sys::futex_wait_any(&other, 1).error == EAGAIN;
  }();
  return takes;
}

// False: it has been cancelled meanwhile.
bool check_out(Lodging& lodging, const Sleeper& sleeper) {
  const auto found = std::find_if(lodging.sleepers.begin(), lodging.sleepers.end(),
                                  [&](const Sleeper& each) { return each.is(sleeper); });
  if (found == lodging.sleepers.end()) return false;
  lodging.sleepers.erase(found);
  house().sleepers.fetch_sub(1);
  return true;
}

// The first of those that satisfy the condition gets a wake-up. False: there is none.
template <typename Condition>
bool wake_first(Condition condition) {
  for (Lodging* lodging : house().lodgings) {
    const auto found = std::find_if(lodging->sleepers.begin(), lodging->sleepers.end(), condition);
    if (found == lodging->sleepers.end()) continue;
    const Sleeper heir = *found;
    check_out(*lodging, heir);
    ring(*lodging);
    post(heir, Ending::kWoken);
    return true;
  }
  return false;
}

// Those of a word in front of all others: one that is woken often has nobody before it whom that
// would wake for nothing. Gives the place behind them.
auto put_first(std::vector<Sleeper>& sleepers, const uint32_t* word) {
  return std::stable_partition(sleepers.begin(), sleepers.end(),
                               [&](const Sleeper& each) { return each.word == word; });
}

void warm(Lodging& lodging, const uint32_t* word) {
  auto& hot = lodging.hot;
  if (!hot.empty() && hot.front() == word) return;
  std::erase(hot, word);
  hot.insert(hot.begin(), word);
  if (hot.size() > kMostHot) hot.pop_back();
  put_first(lodging.sleepers, word);
}

void lie_down(Lodging& lodging, const Sleeper& sleeper) {
  auto& sleepers = lodging.sleepers;
  const auto& hot = lodging.hot;
  const bool is_hot = std::find(hot.begin(), hot.end(), sleeper.word) != hot.end();
  sleepers.insert(is_hot ? put_first(sleepers, sleeper.word) : sleepers.end(), sleeper);
}

// Each of these takes the lock.

void tell(Lodging& lodging, const Sleeper& sleeper, Ending ending) {
  const Lock lock(house().mutex);
  if (check_out(lodging, sleeper)) post(sleeper, ending);
}

// Of the list that it slept on, the kernel names the last that was woken. Who is behind that one
// was not; in front of it those of the same word were, and those of others may have been: nothing
// tells any more. So all in front are woken, or else some that notify has counted would not be.
void wake_up(Lodging& lodging, const std::vector<Sleeper>& asleep, size_t last) {
  const Lock lock(house().mutex);
  std::vector<const uint32_t*> left;
  for (size_t i = 0; i <= last; ++i) {
    if (check_out(lodging, asleep[i])) {
      post(asleep[i], Ending::kWoken);
    } else {
      left.push_back(asleep[i].word);
    }
  }
  for (const uint32_t* word : left) pass_on(word);
  warm(lodging, asleep[last].word);
}

// A word has another value, or cannot be read: asks each.
void ask_each(Lodging& lodging, const std::vector<Sleeper>& asleep, int error) {
  // A word may be back at its value by now.
  bool any = error == EAGAIN;
  for (const Sleeper& sleeper : asleep) {
    const sys::Status now = sys::futex_check(sleeper.word, sleeper.value);
    if (now.ok()) continue;
    any = true;
    tell(lodging, sleeper, now.error == EAGAIN ? Ending::kWoken : Ending::kBad);
  }
  // Out of memory, or a kernel that says nothing we know: not as fast as we can.
  if (!any) static_cast<void>(sys::futex_wait(bell_of(lodging), lodging.bell.load(), kPause).ok());
}

// Lists the sleepers. False: there are none, and the thread is not needed any more.
bool list_sleepers(Lodging& lodging, std::vector<Sleeper>* asleep, uint32_t* bell) {
  House& all = house();
  const Lock lock(all.mutex);
  lodging.listed = ++all.lists;
  all.looked.notify_all();
  // The first thread stays, where one is enough for many.
  const bool stays = kernel_takes_many() && all.lodgings.front() == &lodging;
  if (lodging.sleepers.empty() && !stays) {
    std::erase(all.lodgings, &lodging);
    return false;
  }
  *asleep = lodging.sleepers;
  *bell = lodging.bell.load();
  return true;
}

void sleep_for_many(Lodging& lodging, const std::vector<Sleeper>& asleep, uint32_t bell) {
  thread_local std::vector<sys::WaitWord> words;
  words.assign(1, {bell_of(lodging), bell});
  for (const Sleeper& sleeper : asleep) words.push_back({sleeper.word, sleeper.value});
  const auto woken = sys::futex_wait_any(words.data(), words.size());
  if (woken.ok()) {
    if (woken.value > 0) wake_up(lodging, asleep, woken.value - 1);
  } else if (lodging.bell.load() == bell) {
    ask_each(lodging, asleep, woken.error);
  }
}

void sleep_for_one(Lodging& lodging, const std::vector<Sleeper>& asleep) {
  const Sleeper& sleeper = asleep.front();
  const sys::Status slept = sys::futex_wait(sleeper.word, sleeper.value, kSlice);
  if (slept.ok()) {
    wake_up(lodging, asleep, 0);
  } else if (slept.error != ETIMEDOUT) {
    tell(lodging, sleeper, slept.error == EAGAIN ? Ending::kWoken : Ending::kBad);
  }
}

void* live(void* data) {
  auto* lodging = static_cast<Lodging*>(data);
  std::vector<Sleeper> asleep;
  uint32_t bell = 0;
  while (list_sleepers(*lodging, &asleep, &bell)) {
    if (kernel_takes_many()) {
      sleep_for_many(*lodging, asleep, bell);
    } else {
      sleep_for_one(*lodging, asleep);
    }
  }
  delete lodging;
  return nullptr;
}

}  // namespace

House& house() {
  static House* const built = new House();
  return *built;
}

void ring(Lodging& lodging) {
  lodging.bell.fetch_add(1);
  static_cast<void>(sys::futex_wake(bell_of(lodging), 1).ok());
}

void post(const Sleeper& sleeper, Ending ending) {
  Mailbox& mailbox = *sleeper.mailbox;
  if (mailbox.deliver != nullptr) {
    // A full queue is as good: a call is on its way.
    if (napi_call_threadsafe_function(mailbox.deliver, nullptr, napi_tsfn_nonblocking) !=
        napi_closing) {
      mailbox.letters.push_back({sleeper.id, ending, sleeper.word});
      return;
    }
    mailbox.deliver = nullptr;
  }
  if (ending == Ending::kWoken) pass_on(sleeper.word);
}

void pass_on(const uint32_t* word) {
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

bool lodge(const Sleeper& sleeper) {
  House& all = house();
  const size_t most = kernel_takes_many() ? kMostSleepers : 1;
  const auto found =
      std::find_if(all.lodgings.begin(), all.lodgings.end(),
                   [&](const Lodging* each) { return each->sleepers.size() < most; });
  // A thread for one may be about to leave its word; it is not given another.
  if (most > 1 && found != all.lodgings.end()) {
    lie_down(**found, sleeper);
    ring(**found);
  } else {
    auto* lodging = new Lodging();
    lie_down(*lodging, sleeper);
    if (!start_background(live, lodging)) {
      delete lodging;
      return false;
    }
    all.lodgings.push_back(lodging);
  }
  all.sleepers.fetch_add(1);
  return true;
}

void await_look(Lock& lock, const std::vector<Lodging*>& rung) {
  // A thread for one sleeps on without hearing the bell.
  if (rung.empty() || !kernel_takes_many()) return;
  House& all = house();
  const uint64_t now = all.lists;
  all.looked.wait(lock, [&] {
    return std::all_of(rung.begin(), rung.end(), [&](const Lodging* each) {
      const auto end = all.lodgings.end();
      return std::find(all.lodgings.begin(), end, each) == end || each->listed > now;
    });
  });
}

}  // namespace memmap::waiters
