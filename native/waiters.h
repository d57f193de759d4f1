// Sleeping on words without a thread of the caller's: one thread of ours sleeps on up to 127 of
// them (futex_waitv), and the event loop of whoever asked hears of it.
//
//   add() -> a lodging -> its thread sleeps -> a mailbox -> napi_threadsafe_function -> JavaScript
//
// Where the kernel cannot (before Linux 5.16) each sleeper has a thread of its own.
#pragma once

#include <node_api.h>

#include <vector>

#include "environment.h"
#include "failure.h"

namespace memmap {

struct Mailbox;

namespace waiters {

enum class Ending {
  kWoken,
  kGone,  // the memory was unmapped, or moved
  kBad,   // the memory cannot be read
};

struct Letter {
  double id;
  Ending ending;
};

// A mailbox whose letters call `deliver` on this thread's loop, which they do not keep alive. Null
// when it cannot be made. Never freed: our threads may hold it.
Mailbox* make(napi_env env, napi_value deliver);
// Whether the loop stays alive for it.
void keep_loop(Mailbox& mailbox, napi_env env, bool alive);
std::vector<Letter> take(Mailbox& mailbox);

// Waits until the word is woken, or holds another value: then a letter with `id` comes.
Outcome add(Mailbox& mailbox, double id, const uint32_t* word, uint32_t value);
// No letter will come that has not been put in already.
void cancel(Mailbox& mailbox, double id);
// The words in `pages` have gone.
void evict(Range pages);
// The environment ends.
void leave(Environment& environment);

}  // namespace waiters
}  // namespace memmap
