// Waiting on words without a thread of the caller's: one thread of ours sleeps on up to 127 of
// them (futex_waitv), and the event loop of whoever asked hears of it.
//
//   add() -> a waiter thread -> its thread sleeps -> a completion queue -> napi_threadsafe_function
//   -> JavaScript
//
// Where the kernel cannot (before Linux 5.16) each sleeper has a thread of its own.
//
// What is exact: whoever is woken was asleep, and gets one completion. Each wake-up that the kernel
// has counted ends one sleep at least; where its sleeper has left meanwhile (cancelled, its memory
// or its environment gone) it is passed on to the next one on the word, in any process.
//
// What is not: the kernel names the last of those that were woken, so those in front of it in the
// thread's list are woken too, and perhaps for nothing (words that are woken often come first, so
// those are few). A sleeper whose word has changed when the thread goes back to sleep is woken,
// though nobody has called it: the call may have come while the thread was on its way, when the
// kernel knew of no sleeper. So one change and one wake-up may end all of a thread's sleeps on the
// word. And who wakes a word without changing it may come at such an instant, be told that nobody
// sleeps, and be right: as with any futex.
#pragma once

#include <vector>

#include "base/environment.h"
#include "base/outcome.h"
#include "base/range.h"
#include "sync/completion_queue.h"

namespace memmap {

namespace waiters {

// A completion queue whose completions call `deliver` on this thread's loop, which they do not keep
// alive. Null when it cannot be made. Never freed: our threads may hold it.
CompletionQueue* make(napi_env env, napi_value deliver);
// Whether the loop stays alive for it.
void keep_loop(CompletionQueue& queue, napi_env env, bool alive);
std::vector<Completion> take(CompletionQueue& queue);

// Waits until the word is woken, or holds another value: then a completion with `id` comes.
Outcome add(CompletionQueue& queue, double id, const uint32_t* word, uint32_t value);
// No completion comes any more. True: one had come, and the sleeper was woken; with `forward` the
// next one on the word gets that wake-up.
bool cancel(CompletionQueue& queue, double id, bool forward);
// The words in `pages` are about to go, and must still be there: wake-ups of theirs are passed on.
void invalidate_range(Range pages);
// The environment ends.
void clean_up(Environment& environment);

}  // namespace waiters
}  // namespace memmap
