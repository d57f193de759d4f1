// Those who live in a page and would be hurt if it went: cells that this thread holds, and whoever
// sleeps on a word. Stands before the verbs of space.h; must not touch memory itself.
#pragma once

#include "addon/environment.h"
#include "addon/js_result.h"
#include "space/space.h"
#include "sync/robust_lock.h"
#include "sync/waiters.h"

namespace memmap::tenants {

// Makes a call that takes `pages` from where they are. Busy while a cell in them is held. Who
// sleeps there is woken first, and told once they have gone: a wake-up that has come can be passed
// on only while the word is there.
template <typename Call>
auto evict(Range pages, Call call) -> decltype(call()) {
  if (cells::any_in(pages)) return {Outcome(Refusal::kBusy, pages.begin)};
  waiters::evict(pages);
  return call();
}

// space::drop: nobody can be asked, so cells are left as if this thread had died.
Outcome drop(Environment& environment, Range pages);
// space::protect: busy where a held cell could not be let go any more.
Outcome protect(Environment& environment, Range pages, int protection);
// The environment ends.
void leave(Environment& environment);

// ok when the 32-bit word, or cell, is shared memory of this environment that can be read, or
// changed. `safe`: whether touching it is no signal, whatever becomes of its file.
enum class Use { kRead, kChange };
Outcome check(Environment& environment, Range bytes, Use use, bool* safe);

}  // namespace memmap::tenants
