// Those who live in a page and would be hurt if it went: cells that this thread holds, and whoever
// sleeps on a word. Stands before the verbs of space.h; must not touch memory itself.
#pragma once

#include "cells.h"
#include "environment.h"
#include "failure.h"
#include "space.h"
#include "waiters.h"

namespace memmap::tenants {

inline const Outcome& outcome_of(const Outcome& outcome) { return outcome; }
template <typename T>
const Outcome& outcome_of(const space::Answer<T>& answer) {
  return answer.outcome;
}

// Makes a call that takes `pages` from where they are. Busy while a cell in them is held; who
// slept there is told when they have gone.
template <typename Call>
auto evict(Range pages, Call call) -> decltype(call()) {
  if (cells::any_in(pages)) return {Outcome(Refusal::kBusy, pages.begin)};
  auto answer = call();
  if (outcome_of(answer).ok() || outcome_of(answer).destroyed) waiters::evict(pages);
  return answer;
}

// space::drop: nobody can be asked, so cells are left as if this thread had died.
Outcome drop(Environment& environment, Range pages);
// space::protect: busy where a held cell could not be let go any more.
Outcome protect(Environment& environment, Range pages, int protection);
// The environment ends.
void leave(Environment& environment);

// ok when the 32-bit word, or cell, is shared memory of this environment that can be read, or
// changed.
enum class Use { kRead, kChange };
Outcome check(Environment& environment, Range bytes, Use use);

}  // namespace memmap::tenants
