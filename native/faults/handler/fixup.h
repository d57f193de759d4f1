// Puts a page where an access has just failed. Runs in a signal handler, with the guarded range
// locked: everything here is system calls and arithmetic. Must not know Node-API or the lock of
// OwnedRanges.
#pragma once

#include "faults/handler/guarded_range.h"
#include "sys/signal_safe.h"

namespace memmap::fixup {

// What is to be done with the signal.
enum class Verdict {
  kFixed,    // a page was put in and an entry written: tell somebody
  kAgain,    // nothing to do: the instruction will succeed now
  kForeign,  // not ours after all
};

// SIGBUS: the kernel could not get the page from its file.
Verdict lost_page(GuardedRange& guard, const sys::signal_safe::FaultAccess& access);
// SIGSEGV: the page does not allow it.
Verdict stray_write(GuardedRange& guard, const sys::signal_safe::FaultAccess& access);
// SIGSEGV: a guard page that madvise installed.
Verdict guard_page(GuardedRange& guard, const sys::signal_safe::FaultAccess& access);

}  // namespace memmap::fixup
