// A failure as data: the errno and call of the kernel, or a refusal of our own. Must not know
// Node-API: addon/js_result.h hands it to JavaScript.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace memmap {

// Why memmap itself said no, before any system call.
enum class Refusal {
  kNone,
  kForeign,     // a page of the range is not this environment's
  kRetired,     // a page is retired: unmapped, still waiting for the last view to go
  kUnnamed,     // a page belongs to an owner that the caller did not name
  kArgument,    // a value of the wrong kind: a bug in the layer above, or an attack on the binding
  kNoShared,    // this Node has no SharedArrayBuffers over outside memory
  kNoExternal,  // this runtime does not allow ArrayBuffers over outside memory
  kBusy,        // an ArrayBuffer over it was transferred: it must stay readable
  kLimit,       // too near the kernel's limit of mappings
  kUnreadable,  // a page cannot be read: protection, or guard pages by advice
  kFault,       // a page holds what the fault guard put there, not what was mapped
  kPlaced,      // a page lies in a reserve, and must not leave it
  kNoWayBack,   // such a page, and nothing is left that could show what was mapped
  kPrivate,     // a word in memory that no other process can have
};

struct [[nodiscard]] Outcome {
  Refusal refusal = Refusal::kNone;
  sys::Status status{};
  uintptr_t at = 0;        // the page that the refusal is about
  bool destroyed = false;  // the target of a fixed call is gone although the call failed

  Outcome() = default;
  Outcome(sys::Status failed) : status(failed) {}  // NOLINT: a Status is an Outcome
  Outcome(Refusal why, uintptr_t where, const char* syscall = "")
      : refusal(why), status{0, syscall}, at(where) {}
  [[nodiscard]] bool ok() const { return refusal == Refusal::kNone && status.ok(); }
};

}  // namespace memmap
