// THE CONTRACT, third part: looking at a process, this one or another. Everything here only reads,
// and is stale on arrival. Nothing allocates, throws or keeps errno. Implemented by linux_survey.cc
// and darwin_survey.cc.
//
// Shared: a process is named by its pid, 0 is this one. ESRCH: there is none (any more). EACCES or
// EPERM: it is not ours to look at. A process without memory of its own has no regions.
#pragma once

#include <sys/types.h>

#include "sys/sys.h"

namespace memmap::sys {

// A region, and what the kernel calls it. `name` is not terminated, and empty for plain memory.
struct NamedRegion {
  Region region;
  uint32_t major;
  uint32_t minor;
  const char* name;
  size_t name_length;
};
// Answers false to stop. `name` is gone when it returns.
using NamedVisitor = bool (*)(void* context, const NamedRegion& region);

// Calls visit(context, region) for every region, ascending. Where another thread maps meanwhile,
// one may begin before the end of the last: it has grown since.
Status survey(pid_t pid, NamedVisitor visit, void* context);
// The same for the one region of this process that holds `address`, if there is one.
Status survey_at(uintptr_t address, NamedVisitor visit, void* context);

// What of a region is in memory, in bytes.
struct Usage {
  Range range;
  uint64_t resident;
  uint64_t dirty;
  uint64_t swapped;
  uint64_t huge;
};
using UsageVisitor = void (*)(void* context, const Usage& usage);
// For every region, ascending. Slow: the kernel looks at every page.
Status usage(pid_t pid, UsageVisitor visit, void* context);
// Adds up what of some pages each is known: not what is dirty, and `huge` is kUnknown where the
// kernel does not tell. ENOTSUP where only whole regions are known.
constexpr uint64_t kUnknown = UINT64_MAX;
Status usage_of_pages(pid_t pid, Usage* list, size_t count);

// Where the stacks of threads are: an address in one. 0: it ran, so that nobody could tell.
struct ThreadStack {
  int thread;
  uintptr_t pointer;
};
using ThreadVisitor = void (*)(void* context, const ThreadStack& stack);
Status thread_stacks(pid_t pid, ThreadVisitor visit, void* context);

// The path of the program that a process runs, with no terminating zero; its length.
Result<size_t> program_path(pid_t pid, char* path, size_t size);

// The first address that a process may map.
[[nodiscard]] uintptr_t lowest_address();

}  // namespace memmap::sys
