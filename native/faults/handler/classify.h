// Why a page could not be had: looked at, not guessed. Runs in a signal handler, as fixup.cc does.
#pragma once

#include "faults/handler/guarded_range.h"
#include "sys/signal_safe.h"

namespace memmap::classify {

// Believes the name that was found, if a file has it.
sys::signal_safe::FileId learn_file_name(FaultState& fault_state);

// Of a page, in the file; 0 for anonymous memory.
uint64_t offset_of(const FaultState& fault_state, uintptr_t page);

// The size of the file that `page`, a page of it, shows. False: nobody can say, its name is gone.
bool size_now(FaultState& fault_state, uintptr_t page, uint64_t* size);

bool readable(Range pages);

// kNone: by now the page is there, or the instruction is to try again.
FaultKind cause_of(const GuardedRange& guard, FaultState& fault_state, Range pages,
                   const sys::signal_safe::FaultAccess& access);

}  // namespace memmap::classify
