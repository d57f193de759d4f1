// Puts a page where an access has just failed. Runs in a signal handler, in the turn of the watch:
// everything here is system calls and arithmetic. Must not know Node-API or the lock of Claims.
#pragma once

#include "faults/handler/guarded_range.h"
#include "sys/signal_safe.h"

namespace memmap::mend {

// What is to be done with the signal.
enum class Verdict {
  kMended,   // a page was put in and an entry written: tell somebody
  kAgain,    // nothing to do: the instruction will succeed now
  kForeign,  // not ours after all
};

// SIGBUS: the kernel could not get the page from its file.
Verdict lost_page(Watch& watch, const sys::in_signal::Attempt& attempt);
// SIGSEGV: the page does not allow it.
Verdict stray_write(Watch& watch, const sys::in_signal::Attempt& attempt);
// SIGSEGV: a guard page that madvise installed.
Verdict guard_page(Watch& watch, const sys::in_signal::Attempt& attempt);

}  // namespace memmap::mend
