// THE CONTRACT, second part: what a signal handler may call. Every function here is a bare system
// call or a few: no lock, no allocation, no lazy thread-local storage, nothing that an interposed
// libc could redirect. Implemented by linux_signal.cc and darwin_signal.cc.
#pragma once

#include <signal.h>

#include "sys/sys.h"

namespace memmap::sys::signal_safe {

// Outside of a handler, once, before the first of the rest: opens and asks what they need.
void prepare();
// In a forked child: what was opened speaks of the parent.
void forget_parent();

// What the processor was doing when it faulted.
struct FaultAccess {
  uintptr_t address;
  uintptr_t instruction;
  bool known;  // whether the next is
  bool write;
};
FaultAccess access_of(const siginfo_t* info, const void* context);

[[nodiscard]] int thread_id();
[[nodiscard]] uint64_t unix_ms();
// Lets whoever is in the way go on.
void yield();

// Fresh pages anywhere, private and writable, or PROT_NONE and nothing but a reservation. 0: none.
uintptr_t map_pages(size_t length);
uintptr_t reserve(size_t length);
// Private zero pages over owned ones, atomically.
bool map_zeros(Range pages, int protection);
bool protect(Range pages, int protection);
bool unmap(Range pages);
// Makes guard pages (MADV_GUARD_INSTALL) ordinary pages again.
bool remove_guard_pages(Range pages);
// Moves a whole mapping over owned pages of the same size, atomically.
bool move(Range from, uintptr_t to);
// Another mapping of what `page` shows, `length` bytes from there on. Shared mappings only. 0: no.
uintptr_t duplicate(uintptr_t page, size_t length);
// What is duplicated of locked pages is locked as well, and counts against the limit: not any more.
void unlock(Range pages);
// Moves the file's own pages to `to`; what stays behind is the same, and empty (MREMAP_DONTUNMAP).
bool move_keep(Range pages, uintptr_t to);
// Copies out of pages that may be bad. False: not all of it.
bool copy(void* to, const void* from, size_t length);
// Faults pages in. 0, or errno; ENOSYS where the kernel cannot be asked.
int populate(Range pages, bool write);

// What the kernel's list says of the region that holds an address, and of the file behind it.
struct RegionInfo {
  Region region;
  size_t page;  // 0: not known
};
// `path`: of the file as it is called now, or ""; null where it is not wanted. False: nothing is
// mapped there. Needs little stack: threads of others have a few KiB for their signals.
bool query_region(uintptr_t address, RegionInfo* found, char* path, size_t path_size);

// The file that has this name at this moment. Names that end in " (deleted)" are no names.
struct FileId {
  bool found;
  uint64_t device;
  uint64_t inode;
  uint64_t size;
};
FileId identify_file(const char* path);
// Whether a byte of that file can be read by read(2), which needs no page of memory for a hole.
enum class Reading { kUnknown, kGood, kBad };
Reading read_at(const char* path, const FileId& file, uint64_t offset);
// True when the file system that holds `path` has room for a few more pages.
bool has_space(const char* path);

// A doorbell that a handler may ring. Nobody misses a ring: wait() answers at once when there was
// one.
void ring_doorbell();
void wait_for_doorbell();

}  // namespace memmap::sys::signal_safe
