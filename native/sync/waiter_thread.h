// The threads that sleep for others, and those they sleep for. Private to lodging.cc and
// waiters.cc: what one may count on is in waiters.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "sync/waiters.h"

namespace memmap {

struct Mailbox {
  std::vector<waiters::Letter> letters;
  napi_threadsafe_function deliver = nullptr;
};

namespace waiters {

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
  std::vector<const uint32_t*> hot;  // words that were woken, the last one first
  uint64_t listed = 0;               // when its thread last looked at the list
};

// Never destroyed: the threads outlive everything. The mutex guards all of this and all mailboxes.
struct House {
  std::mutex mutex;
  std::vector<Lodging*> lodgings;
  std::atomic<size_t> sleepers{0};
  uint64_t lists = 0;
  std::condition_variable looked;  // a thread has looked at its list, or has ended
};
House& house();

// All of these need the lock.

// False: the thread cannot be made.
bool lodge(const Sleeper& sleeper);
void post(const Sleeper& sleeper, Ending ending);
// A wake-up has come to somebody who does not wait any more: the next one gets it.
void pass_on(const uint32_t* word);
// The thread is to look at its list.
void ring(Lodging& lodging);
// Until the threads of these have looked since now, and have told or passed on all that came
// before.
void await_look(std::unique_lock<std::mutex>& lock, const std::vector<Lodging*>& rung);

// Takes out those that satisfy the condition, and gives the lodgings that they were in.
template <typename Condition, typename Visit>
std::vector<Lodging*> remove_where(Condition condition, Visit visit) {
  std::vector<Lodging*> rung;
  if (house().sleepers.load() == 0) return rung;
  for (Lodging* lodging : house().lodgings) {
    const size_t erased = std::erase_if(lodging->sleepers, [&](const Sleeper& sleeper) {
      if (!condition(sleeper)) return false;
      visit(sleeper);
      return true;
    });
    if (erased == 0) continue;
    house().sleepers.fetch_sub(erased);
    ring(*lodging);
    rung.push_back(lodging);
  }
  return rung;
}

}  // namespace waiters
}  // namespace memmap
