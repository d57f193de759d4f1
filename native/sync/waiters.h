// Sleeping on words without a thread of the caller's: one thread of ours sleeps on up to 127 of
// them (futex_waitv), and the event loop of whoever asked hears of it.
//
//   add() -> a lodging -> its thread sleeps -> a mailbox -> napi_threadsafe_function -> JavaScript
//
// Where the kernel cannot (before Linux 5.16) each sleeper has a thread of its own.
//
// What is exact: whoever is woken was asleep, and gets one letter. Each wake-up that the kernel has
// counted ends one sleep at least; where its sleeper has left meanwhile (cancelled, its memory or
// its environment gone) it is passed on to the next one on the word, in any process.
//
// What is not: the kernel names the last of those that were woken, so those in front of it in the
// thread's list are woken too, and perhaps for nothing (words that are woken often come first, so
// those are few). A sleeper whose word has changed when the
// thread goes back to sleep is woken, though nobody has called it: the call may have come while
// the thread was on its way, when the kernel knew of no sleeper. So one change and one wake-up may
// end all of a thread's sleeps on the word. And who wakes a word without changing it may come at
// such an instant, be told that nobody sleeps, and be right: as with any futex.
#pragma once

#include <node_api.h>

#include <vector>

#include "addon/environment.h"
#include "addon/js_result.h"

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
  const uint32_t* word;
};

// A mailbox whose letters call `deliver` on this thread's loop, which they do not keep alive. Null
// when it cannot be made. Never freed: our threads may hold it.
Mailbox* make(napi_env env, napi_value deliver);
// Whether the loop stays alive for it.
void keep_loop(Mailbox& mailbox, napi_env env, bool alive);
std::vector<Letter> take(Mailbox& mailbox);

// Waits until the word is woken, or holds another value: then a letter with `id` comes.
Outcome add(Mailbox& mailbox, double id, const uint32_t* word, uint32_t value);
// No letter comes any more. True: one had come, and the sleeper was woken; with `passes_on` the
// next one on the word gets that wake-up.
bool cancel(Mailbox& mailbox, double id, bool passes_on);
// The words in `pages` are about to go, and must still be there: wake-ups of theirs are passed on.
void evict(Range pages);
// The environment ends.
void leave(Environment& environment);

}  // namespace waiters
}  // namespace memmap
