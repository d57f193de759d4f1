// THE CONTRACT: every operating-system call memmap makes, one function each.
// Must not know Node-API, owned ranges or policy. Nothing here allocates, throws or keeps errno.
//
// Shared preconditions: a Range is page-aligned unless said otherwise; the caller owns it.
// Shared postcondition: a Result with error 0 means the kernel did all of it; otherwise error is
// the errno and syscall the name of the call that said so. Implemented by posix.cc (shared Unix)
// and one of linux.cc, darwin.cc.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "base/range.h"
#include "base/result.h"

namespace memmap::sys {

// What this kernel can do, asked once per process.
struct Capabilities {
  bool exclusive_atomic;  // MAP_FIXED_NOREPLACE (Linux 4.17), VM_FLAGS_FIXED without OVERWRITE
  bool populate;          // MADV_POPULATE_READ and _WRITE (Linux 5.14)
  bool region_query;      // PROCMAP_QUERY (Linux 6.11), mach_vm_region
  bool process_copy;      // process_vm_readv on oneself (some seccomp profiles refuse it)
};
const Capabilities& capabilities();

[[nodiscard]] size_t page_size();

// mmap(2). `flags` must not hold MAP_FIXED: a fixed map goes through an overlay or move().
// Post: the kernel chose the place (or honoured the hint); nothing that existed has changed.
Result<uintptr_t> map(uintptr_t hint, size_t length, int protection, int flags, int fd,
                      uint64_t offset);

// True when a mapping with these flags is of MAP_HUGETLB.
[[nodiscard]] bool uses_huge_pages(int flags);

// mmap(2) at exactly `at`, never over anything. Post: EEXIST when any page of it was in use.
Result<uintptr_t> map_exclusive(uintptr_t at, size_t length, int protection, int flags, int fd,
                                uint64_t offset);

// Puts private, writable, zero pages that reserve no memory over an owned range, atomically.
// Where strict overcommit refuses writable pages they are read-only.
Status overlay_zero(Range pages);

// Puts fresh anonymous pages over an owned range, atomically. `flags` as map()'s.
Status overlay_anonymous(Range pages, int protection, int flags);

// Moves a whole mapping of `from` (one that map() returned) over the owned range at `to`, same
// size, atomically: a reader of `to` sees the old bytes or the new, never a hole.
// Post on error: `from` is intact; `to` may have become a hole. Ask regions().
Status move(Range from, uintptr_t to);

Status unmap(Range pages);                       // munmap(2)
Status protect(Range pages, int protection);     // mprotect(2)
Status sync(Range pages, int flags);             // msync(2); blocks
Status advise(Range pages, int advice);          // madvise(2)
Status lock(Range pages);                        // mlock(2); blocks while it faults pages in
Status unlock(Range pages);                      // munlock(2)
Status residency(Range pages, uint8_t* states);  // mincore(2); one byte a page, bit 0 is resident

// mremap(2), as the caller says it. ENOTSUP where there is none. MREMAP_FIXED only over owned
// pages.
Result<uintptr_t> remap(uintptr_t from, size_t old_length, size_t new_length, int flags,
                        uintptr_t to);

// Keeps the range out of a forked child, where the OS can say so (madvise, minherit).
Status keep_from_children(Range pages);

// Faults every page in, for reading or for writing. A page that cannot be had is an error
// (EFAULT past the end of the file and on a full disk), never a signal.
Status populate(Range pages, bool write);

// Copies between two ranges of this process through the kernel. Any alignment. A bad page is
// EFAULT or, when bytes before it were copied, a short count: never a signal.
Result<size_t> copy(void* to, const void* from, size_t length, bool from_is_mapped);
// At most a page, for less, where the side that is not mapped is ordinary memory that cannot fault.
// False: it was not, or not wholly, copied, and copy() can tell why.
bool copy_page(void* to, const void* from, size_t length, bool from_is_mapped);
// The same through a pipe, wherever copy() has nothing better. Slower, and just as safe.
Result<size_t> copy_through_pipe(void* to, const void* from, size_t length);

// One line of the kernel's own list.
struct Region {
  Range range;
  int protection;
  bool shared;
  uint64_t offset;
  uint64_t inode;
};
// Calls visit(context, region) for every region that touches `range`, ascending, until it answers
// false. The list is stale on arrival. Not async-signal-safe.
using RegionVisitor = bool (*)(void* context, const Region& region);
Status regions(Range range, RegionVisitor visit, void* context);

// How many regions the process has, and how many the kernel allows (0: no limit known).
Result<size_t> count_regions();
[[nodiscard]] size_t region_limit();
// RLIMIT_AS in bytes; 0: none.
[[nodiscard]] size_t address_space_limit();

struct FileStatus {
  uint64_t size;
  uint64_t device;
  uint64_t inode;
  bool regular;
  bool sealed;        // a memfd that can never become shorter (F_SEAL_SHRINK)
  bool stable_inode;  // the kernel's list shows this very inode number (no overlayfs, no btrfs)
};
Result<FileStatus> file_status(int fd);
Status resize_file(int fd, uint64_t size);  // ftruncate(2)
// Grows the file to `size` with blocks really allocated: a full disk is ENOSPC now.
Status allocate_file(int fd, uint64_t size);
// pread(2) until length bytes or the end of the file. Blocks.
Result<size_t> read_file(int fd, uint64_t offset, void* target, size_t length);

// Maps a part of the file of that name, shared and for reading, if it still is that very file
// (ESTALE: it is another one). Writable later where the file may be opened for writing.
struct NamedFile {
  const char* path;
  uint64_t device;
  uint64_t inode;
};
Result<uintptr_t> map_named(const NamedFile& file, uint64_t offset, size_t length);

// A function of this process by its name, or null: dlsym(3).
[[nodiscard]] void* find_symbol(const char* name);

[[nodiscard]] uint64_t monotonic_ms();

}  // namespace memmap::sys
