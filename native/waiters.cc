#include "waiters.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "sys/sync.h"

namespace memmap {

struct Mailbox {
  std::vector<waiters::Letter> letters;
  napi_threadsafe_function deliver = nullptr;
};

namespace waiters {

namespace {

struct Sleeper {
  Mailbox* mailbox;
  double id;
  const uint32_t* word;
  uint32_t value;
  [[nodiscard]] bool is(const Sleeper& other) const {
    return mailbox == other.mailbox && id == other.id;
  }
};

// A thread and those it sleeps for. The bell is a word that it sleeps on as well, and grows when
// the list has changed.
struct Lodging {
  std::atomic<uint32_t> bell{0};
  std::vector<Sleeper> sleepers;
};

constexpr size_t kMostSleepers = sys::kMostWaitWords - 1;
constexpr uint64_t kSlice = 100'000'000;
constexpr uint64_t kPause = 10'000'000;

// Never destroyed: the threads outlive everything. The mutex guards all of this and all mailboxes.
struct House {
  std::mutex mutex;
  std::vector<Lodging*> lodgings;
  std::atomic<size_t> sleepers{0};
};
House& house() {
  static House* const built = new House();
  return *built;
}

const uint32_t* bell_of(const Lodging& lodging) {
  return reinterpret_cast<const uint32_t*>(&lodging.bell);
}

void ring(Lodging& lodging) {
  lodging.bell.fetch_add(1);
  static_cast<void>(sys::futex_wake(bell_of(lodging), 1).ok());
}

// These need the lock.

void post(const Sleeper& sleeper, Ending ending) {
  Mailbox& mailbox = *sleeper.mailbox;
  if (mailbox.deliver == nullptr) return;
  mailbox.letters.push_back({sleeper.id, ending});
  // A full queue is as good: a call is on its way.
  const napi_status brought =
      napi_call_threadsafe_function(mailbox.deliver, nullptr, napi_tsfn_nonblocking);
  if (brought == napi_closing) mailbox.deliver = nullptr;
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

template <typename Condition, typename Visit>
void remove_where(Condition condition, Visit visit) {
  if (house().sleepers.load() == 0) return;
  for (Lodging* lodging : house().lodgings) {
    const size_t erased = std::erase_if(lodging->sleepers, [&](const Sleeper& sleeper) {
      if (!condition(sleeper)) return false;
      visit(sleeper);
      return true;
    });
    if (erased == 0) continue;
    house().sleepers.fetch_sub(erased);
    ring(*lodging);
  }
}

// The end of these.

// Tells who was woken, and passes on what woke somebody who has left.
void end(Lodging& lodging, const Sleeper& sleeper, Ending ending) {
  const std::lock_guard lock(house().mutex);
  if (check_out(lodging, sleeper)) return post(sleeper, ending);
  if (ending != Ending::kWoken) return;
  // Those in here are not asleep at this moment.
  const auto next = std::find_if(lodging.sleepers.begin(), lodging.sleepers.end(),
                                 [&](const Sleeper& each) { return each.word == sleeper.word; });
  if (next == lodging.sleepers.end()) {
    static_cast<void>(sys::futex_wake(sleeper.word, 1).ok());
    return;
  }
  const Sleeper heir = *next;
  if (check_out(lodging, heir)) post(heir, ending);
}

// A word has another value, or cannot be read: asks each.
void ask_each(Lodging& lodging, const std::vector<Sleeper>& asleep, int error) {
  // A word may be back at its value by now.
  bool any = error == EAGAIN;
  for (const Sleeper& sleeper : asleep) {
    const sys::Status now = sys::futex_wait(sleeper.word, sleeper.value, 0);
    if (now.error == ETIMEDOUT) continue;
    any = true;
    const bool woken = now.ok() || now.error == EAGAIN;
    end(lodging, sleeper, woken ? Ending::kWoken : Ending::kBad);
  }
  // Out of memory, or a kernel that says nothing we know: not as fast as we can.
  if (!any) static_cast<void>(sys::futex_wait(bell_of(lodging), lodging.bell.load(), kPause).ok());
}

// The kernel names the last of those that were woken, and wakes the sleepers of one word in the
// order in which they are listed. Those of other words are asked by the next call.
void wake_up(Lodging& lodging, const std::vector<Sleeper>& asleep, size_t last) {
  for (size_t i = 0; i <= last; ++i) {
    if (asleep[i].word == asleep[last].word) end(lodging, asleep[i], Ending::kWoken);
  }
}

// Lists the sleepers. False: there are none, and the thread is not needed any more.
bool list_sleepers(Lodging& lodging, std::vector<Sleeper>* asleep, uint32_t* bell) {
  House& all = house();
  const std::lock_guard lock(all.mutex);
  // The first thread stays.
  if (lodging.sleepers.empty() && all.lodgings.front() != &lodging) {
    std::erase(all.lodgings, &lodging);
    return false;
  }
  *asleep = lodging.sleepers;
  *bell = lodging.bell.load();
  return true;
}

void* sleep_for_many(void* data) {
  auto* lodging = static_cast<Lodging*>(data);
  std::vector<Sleeper> asleep;
  std::vector<sys::WaitWord> words;
  uint32_t bell = 0;
  while (list_sleepers(*lodging, &asleep, &bell)) {
    words.assign(1, {bell_of(*lodging), bell});
    for (const Sleeper& sleeper : asleep) words.push_back({sleeper.word, sleeper.value});
    const auto woken = sys::futex_wait_any(words.data(), words.size());
    if (woken.ok()) {
      if (woken.value > 0) wake_up(*lodging, asleep, woken.value - 1);
    } else if (lodging->bell.load() == bell) {
      ask_each(*lodging, asleep, woken.error);
    }
  }
  delete lodging;
  return nullptr;
}

void* sleep_for_one(void* data) {
  auto* lodging = static_cast<Lodging*>(data);
  House& all = house();
  for (;;) {
    Sleeper sleeper{};
    {
      const std::lock_guard lock(all.mutex);
      if (lodging->sleepers.empty()) {
        std::erase(all.lodgings, lodging);
        break;
      }
      sleeper = lodging->sleepers.front();
    }
    const sys::Status slept = sys::futex_wait(sleeper.word, sleeper.value, kSlice);
    if (slept.error == ETIMEDOUT) continue;
    const bool woken = slept.ok() || slept.error == EAGAIN;
    end(*lodging, sleeper, woken ? Ending::kWoken : Ending::kBad);
  }
  delete lodging;
  return nullptr;
}

bool kernel_takes_many() {
  static const bool takes = [] {
    const uint32_t word = 0;
    const sys::WaitWord other{&word, 1};
    return sys::futex_wait_any(&other, 1).error == EAGAIN;
  }();
  return takes;
}

bool start(Lodging* lodging) {
  sigset_t all;
  sigset_t own;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  constexpr size_t kStack = size_t{256} << 10;
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_sigmask(SIG_SETMASK, &all, &own);
  pthread_t thread;
  const auto run = kernel_takes_many() ? sleep_for_many : sleep_for_one;
  const bool started = pthread_create(&thread, &attributes, run, lodging) == 0;
  pthread_sigmask(SIG_SETMASK, &own, nullptr);
  pthread_attr_destroy(&attributes);
  return started;
}

void forget(napi_env, void* data, void*) {
  const std::lock_guard lock(house().mutex);
  static_cast<Mailbox*>(data)->deliver = nullptr;
}

}  // namespace

Mailbox* make(napi_env env, napi_value deliver) {
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, "memmap waits", NAPI_AUTO_LENGTH, &name) != napi_ok) {
    return nullptr;
  }
  auto* mailbox = new Mailbox();
  napi_threadsafe_function function = nullptr;
  if (napi_create_threadsafe_function(env, deliver, nullptr, name, 1, 1, mailbox, forget, nullptr,
                                      nullptr, &function) != napi_ok) {
    delete mailbox;
    return nullptr;
  }
  napi_unref_threadsafe_function(env, function);
  const std::lock_guard lock(house().mutex);
  mailbox->deliver = function;
  return mailbox;
}

void keep_loop(Mailbox& mailbox, napi_env env, bool alive) {
  const std::lock_guard lock(house().mutex);
  if (mailbox.deliver == nullptr) return;
  if (alive) {
    napi_ref_threadsafe_function(env, mailbox.deliver);
  } else {
    napi_unref_threadsafe_function(env, mailbox.deliver);
  }
}

std::vector<Letter> take(Mailbox& mailbox) {
  const std::lock_guard lock(house().mutex);
  return std::exchange(mailbox.letters, {});
}

Outcome add(Mailbox& mailbox, double id, const uint32_t* word, uint32_t value) {
  const size_t most = kernel_takes_many() ? kMostSleepers : 1;
  House& all = house();
  const std::lock_guard lock(all.mutex);
  const Sleeper sleeper{&mailbox, id, word, value};
  const auto found =
      std::find_if(all.lodgings.begin(), all.lodgings.end(),
                   [&](const Lodging* each) { return each->sleepers.size() < most; });
  // A thread for one may be about to leave its word; it is not given another.
  if (most > 1 && found != all.lodgings.end()) {
    (*found)->sleepers.push_back(sleeper);
    all.sleepers.fetch_add(1);
    ring(**found);
    return {};
  }
  auto* lodging = new Lodging();
  lodging->sleepers.push_back(sleeper);
  if (!start(lodging)) {
    delete lodging;
    return sys::Status{EAGAIN, "pthread_create"};
  }
  all.lodgings.push_back(lodging);
  all.sleepers.fetch_add(1);
  return {};
}

void cancel(Mailbox& mailbox, double id) {
  const std::lock_guard lock(house().mutex);
  const Sleeper wanted{&mailbox, id, nullptr, 0};
  remove_where([&](const Sleeper& sleeper) { return sleeper.is(wanted); }, [](const Sleeper&) {});
}

void evict(Range pages) {
  if (house().sleepers.load() == 0) return;
  const std::lock_guard lock(house().mutex);
  remove_where(
      [&](const Sleeper& sleeper) {
        return pages.contains(reinterpret_cast<uintptr_t>(sleeper.word));
      },
      [](const Sleeper& sleeper) { post(sleeper, Ending::kGone); });
}

void leave(Environment& environment) {
  for (Mailbox* mailbox : environment.mailboxes) {
    napi_threadsafe_function function = nullptr;
    {
      const std::lock_guard lock(house().mutex);
      function = std::exchange(mailbox->deliver, nullptr);
      remove_where([&](const Sleeper& sleeper) { return sleeper.mailbox == mailbox; },
                   [](const Sleeper&) {});
    }
    if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
  }
}

}  // namespace waiters
}  // namespace memmap
