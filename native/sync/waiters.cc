#include "sync/waiters.h"

#include <errno.h>

#include <algorithm>
#include <utility>

#include "sync/waiter_thread.h"
#include "sys/sync.h"

namespace memmap::waiters {

namespace {

using Lock = std::unique_lock<std::mutex>;

void forget(napi_env, void* data, void*) {
  const Lock lock(house().mutex);
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
  const Lock lock(house().mutex);
  mailbox->deliver = function;
  return mailbox;
}

void keep_loop(Mailbox& mailbox, napi_env env, bool alive) {
  const Lock lock(house().mutex);
  if (mailbox.deliver == nullptr) return;
  if (alive) {
    napi_ref_threadsafe_function(env, mailbox.deliver);
  } else {
    napi_unref_threadsafe_function(env, mailbox.deliver);
  }
}

std::vector<Letter> take(Mailbox& mailbox) {
  const Lock lock(house().mutex);
  return std::exchange(mailbox.letters, {});
}

Outcome add(Mailbox& mailbox, double id, const uint32_t* word, uint32_t value) {
  const Lock lock(house().mutex);
  if (lodge({&mailbox, id, word, value})) return {};
  return sys::Status{EAGAIN, "pthread_create"};
}

bool cancel(Mailbox& mailbox, double id, bool passes_on) {
  const Lock lock(house().mutex);
  auto& letters = mailbox.letters;
  const auto found = std::find_if(letters.begin(), letters.end(),
                                  [&](const Letter& letter) { return letter.id == id; });
  if (found == letters.end()) {
    const Sleeper wanted{&mailbox, id, nullptr, 0};
    remove_where([&](const Sleeper& sleeper) { return sleeper.is(wanted); }, [](const Sleeper&) {});
    return false;
  }
  const Letter letter = *found;
  letters.erase(found);
  if (letter.ending != Ending::kWoken) return false;
  if (passes_on) pass_on(letter.word);
  return true;
}

void evict(Range pages) {
  if (house().sleepers.load() == 0) return;
  Lock lock(house().mutex);
  const auto rung = remove_where(
      [&](const Sleeper& sleeper) {
        return pages.contains(reinterpret_cast<uintptr_t>(sleeper.word));
      },
      [](const Sleeper& sleeper) { post(sleeper, Ending::kGone); });
  await_look(lock, rung);
}

void leave(Environment& environment) {
  for (Mailbox* mailbox : environment.mailboxes) {
    napi_threadsafe_function function = nullptr;
    {
      Lock lock(house().mutex);
      function = std::exchange(mailbox->deliver, nullptr);
      const auto rung =
          remove_where([&](const Sleeper& sleeper) { return sleeper.mailbox == mailbox; },
                       [](const Sleeper&) {});
      await_look(lock, rung);
      for (const Letter& letter : std::exchange(mailbox->letters, {})) {
        if (letter.ending == Ending::kWoken) pass_on(letter.word);
      }
    }
    if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
  }
}

}  // namespace memmap::waiters
