// Why a page could not be had: looked at, not guessed. Runs in a signal handler, as mend.cc does.
#pragma once

#include "faults/handler/guarded_range.h"
#include "sys/signal_safe.h"

namespace memmap::fault_kind {

// Believes the name that was found, if a file has it.
sys::in_signal::Named learn_name(Damage& damage);

// Of a page, in the file; 0 for anonymous memory.
uint64_t offset_of(const Damage& damage, uintptr_t page);

// The size of the file that `page`, a page of it, shows. False: nobody can say, its name is gone.
bool size_now(Damage& damage, uintptr_t page, uint64_t* size);

bool readable(Range pages);

// kNone: by now the page is there, or the instruction is to try again.
FaultKind of(const Watch& watch, Damage& damage, Range pages,
             const sys::in_signal::Attempt& attempt);

}  // namespace memmap::fault_kind
