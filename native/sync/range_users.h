// Users to notify before a range is unmapped or moved: locks that this thread holds, and whoever
// sleeps on a word. Stands before the verbs of space.h; must not touch memory itself.
#pragma once

#include "base/environment.h"
#include "base/outcome.h"
#include "base/range.h"
#include "space/space.h"
#include "sync/robust_lock.h"
#include "sync/waiters.h"

namespace memmap::range_users {

// Makes a call that takes `pages` from where they are. Busy while a lock in them is held. Who
// sleeps there is woken first, and told once they have gone: a wake-up that has come can be passed
// on only while the word is there.
template <typename Call>
auto invalidate_range(Range pages, Call call) -> decltype(call()) {
  if (robust_lock::any_in(pages)) return {Outcome(Refusal::kBusy, pages.begin)};
  waiters::invalidate_range(pages);
  return call();
}

// space::drop: nobody can be asked, so locks are left as if this thread had died.
Outcome drop(Environment& environment, Range pages);
// space::protect: busy where a held lock could not be let go any more.
Outcome protect(Environment& environment, Range pages, int protection);
// The environment ends.
void clean_up(Environment& environment);

// ok when the 32-bit word, or lock, is shared memory of this environment that can be read, or
// changed. `cannot_fault`: whether touching it is no signal, whatever becomes of its file.
enum class Use { kRead, kChange };
Outcome check(Environment& environment, Range bytes, Use use, bool* cannot_fault);

}  // namespace memmap::range_users
