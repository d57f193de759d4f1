// What memmap mapped, and what becomes of calls of others that would destroy it. Must not know how
// the calls are made.
#pragma once

#include "base/range.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose::protection {

void prepare(const Header& header);
// The memory of the helper's own in which the set is kept.
[[nodiscard]] Range node_memory();

// memmap mapped it; memmap is about to unmap it.
void add(Range range);
void remove(Range range);
// Somebody else was given it by the kernel: then memmap no longer had it.
void forget(Range range);

// What is to be done with a call that would change the range: kDone, kReported or kRefused. The
// first of each kind is told on stderr.
struct CheckedCall {
  Call call;
  Range range;
  const void* caller;
};
[[nodiscard]] Verdict check_policy(Header* header, const CheckedCall& checked);

}  // namespace memmap::interpose::protection
