// What is interposed. Each: check the policy, do, note the owner, record. Never malloc, never a
// call of libc that may lock; errno is changed by what fails, and by nothing else.
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>

#include "interpose/call_site.h"
#include "interpose/huge_pages.h"
#include "interpose/placement.h"
#include "interpose/protection.h"
#include "interpose/recording.h"
#include "interpose/syscall.h"
#include "interpose/trace.h"

#define EXPORTED extern "C" [[gnu::visibility("default")]]

namespace memmap::interpose {

namespace {

constexpr int kNoReplace = 0x100000;  // MAP_FIXED_NOREPLACE, 4.17

// The answer of the C library: errno, and -1.
long answer(long result) {
  if (!syscalls::failed(result)) return result;
  errno = static_cast<int>(-result);
  return -1;
}

// The pages of that size that hold a byte of it; empty where there are none.
Range pages_of(size_t page, uintptr_t address, size_t length) {
  Range bytes;
  Range pages;
  if (length == 0 || !make_range(address, length, &bytes) || !outward(bytes, page, &pages)) {
    return {};
  }
  return pages;
}

Range pages_of(const Header* header, uintptr_t address, size_t length) {
  return pages_of(header->page_size, address, length);
}

Verdict check_policy(Header* header, const protection::CheckedCall& checked) {
  if (checked.range.empty() || call_site::is_memmap(checked.caller)) return Verdict::kDone;
  return protection::check_policy(header, checked);
}

// What the kernel gave, to memmap or to somebody else.
void book(Range range, const void* caller, Verdict verdict) {
  if (call_site::is_memmap(caller)) {
    protection::add(range);
  } else if (verdict != Verdict::kReported) {
    protection::forget(range);
  }
}

long map(Header* header, placement::Request request, const void* caller) {
  const bool replaces = (request.flags & MAP_FIXED) != 0 && (request.flags & kNoReplace) == 0;
  const size_t huge = huge_pages::page_of(request.flags, request.fd);
  request.page = huge == 0 ? header->page_size : huge;
  const Range asked = replaces ? pages_of(request.page, request.address, request.length) : Range{};
  Verdict verdict = check_policy(header, {Call::kMmap, asked, caller});
  long result = -EPERM;
  if (verdict != Verdict::kRefused) {
    bool placed = false;
    result = placement::map(header, request, &placed);
    if (placed) verdict = Verdict::kPlaced;
    if (!syscalls::failed(result)) {
      const auto at = static_cast<uintptr_t>(result);
      book(pages_of(request.page, at, request.length), caller, verdict);
    }
  }
  trace::Entry entry{Call::kMmap, verdict, request.address, request.length, result};
  entry.more = request.offset;
  entry.protection = request.protection;
  entry.fd = request.fd;
  entry.flags = request.flags;
  trace::append(header, entry, caller, 0);
  return result;
}

long unmap(Header* header, uintptr_t address, size_t length, const void* caller) {
  const uint64_t before = syscalls::now();
  const Range range = pages_of(header, address, length);
  Verdict verdict = check_policy(header, {Call::kMunmap, range, caller});
  long result = -EPERM;
  if (verdict != Verdict::kRefused) {
    // First the set: once it is unmapped anybody may be given it.
    const bool own = call_site::is_memmap(caller);
    if (own) protection::remove(range);
    bool placed = false;
    result = placement::unmap(address, length, &placed);
    if (placed) verdict = Verdict::kPlaced;
    if (own && syscalls::failed(result)) protection::add(range);
  }
  trace::append(header, {Call::kMunmap, verdict, address, length, result}, caller, before);
  return result;
}

long remap(Header* header, const placement::Move& move, const void* caller) {
  const bool fixed = (move.flags & MREMAP_FIXED) != 0;
  constexpr int kDontUnmap = 4;  // MREMAP_DONTUNMAP, 5.7
  const Range from = pages_of(header, move.address, move.old_length);
  Verdict verdict = check_policy(header, {Call::kMremap, from, caller});
  if (verdict == Verdict::kDone && fixed) {
    verdict =
        check_policy(header, {Call::kMremap, pages_of(header, move.to, move.new_length), caller});
  }
  long result = -EPERM;
  if (verdict != Verdict::kRefused) {
    const bool leaves = call_site::is_memmap(caller) && (move.flags & kDontUnmap) == 0;
    if (leaves) protection::remove(from);
    bool placed = false;
    result = placement::remap(header, move, &placed);
    if (placed && verdict == Verdict::kDone) verdict = Verdict::kPlaced;
    if (!syscalls::failed(result)) {
      book(pages_of(header, static_cast<uintptr_t>(result), move.new_length), caller, verdict);
    } else if (leaves) {
      protection::add(from);
    }
  }
  trace::Entry entry{Call::kMremap, verdict, move.address, move.old_length, result};
  entry.more = move.new_length;
  entry.new_address = fixed ? move.to : 0;
  entry.flags = move.flags;
  trace::append(header, entry, caller, 0);
  return result;
}

long protect(Header* header, uintptr_t address, size_t length, int protection, const void* caller) {
  const Range range = pages_of(header, address, length);
  const Verdict verdict = check_policy(header, {Call::kMprotect, range, caller});
  long result = -EPERM;
  if (verdict != Verdict::kRefused) {
    const bool free = placement::is_free(header, address, length);
    result = free ? -ENOMEM : syscalls::mprotect(address, length, protection);
  }
  trace::Entry entry{Call::kMprotect, verdict, address, length, result};
  entry.protection = protection;
  trace::append(header, entry, caller, 0);
  return result;
}

// Whether the advice destroys contents, or access to them.
bool destroys(int advice) {
  constexpr int kDontNeedLocked = 24;  // 5.18
  constexpr int kGuardInstall = 102;   // 6.13
  return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
         advice == MADV_HWPOISON || advice == kDontNeedLocked || advice == kGuardInstall;
}

long advise(Header* header, uintptr_t address, size_t length, int advice, const void* caller) {
  const Range range = destroys(advice) ? pages_of(header, address, length) : Range{};
  const Verdict verdict = check_policy(header, {Call::kMadvise, range, caller});
  long result = verdict == Verdict::kRefused ? -EPERM : syscalls::madvise(address, length, advice);
  // As the kernel does with holes: what is mapped is advised, and then it says so.
  if (!syscalls::failed(result) && placement::is_free(header, address, length)) result = -ENOMEM;
  trace::Entry entry{Call::kMadvise, verdict, address, length, result};
  entry.protection = advice;
  trace::append(header, entry, caller, 0);
  return result;
}

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

}  // namespace

}  // namespace memmap::interpose

using namespace memmap::interpose;  // NOLINT: the names below must be those of C

EXPORTED void* mmap(void* address, size_t length, int protection, int flags, int fd,
                    off_t offset) noexcept {
  const placement::Request request{number(address), length, protection,
                                   flags,           fd,     static_cast<uint64_t>(offset)};
  Header* const header = recording::table();
  const long result = header == nullptr ? syscalls::mmap(request.address, length, protection, flags,
                                                         fd, request.offset)
                                        : map(header, request, __builtin_return_address(0));
  return reinterpret_cast<void*>(answer(result));
}

// The same: off_t has 64 bits. Not an alias, and musl has it as a macro.
#undef mmap64
EXPORTED void* mmap64(void* address, size_t length, int protection, int flags, int fd,
                      off_t offset) noexcept {
  static_assert(sizeof(off_t) == sizeof(uint64_t));
  const placement::Request request{number(address), length, protection,
                                   flags,           fd,     static_cast<uint64_t>(offset)};
  Header* const header = recording::table();
  const long result = header == nullptr ? syscalls::mmap(request.address, length, protection, flags,
                                                         fd, request.offset)
                                        : map(header, request, __builtin_return_address(0));
  return reinterpret_cast<void*>(answer(result));
}

EXPORTED int munmap(void* address, size_t length) noexcept {
  Header* const header = recording::table();
  const long result = header == nullptr
                          ? syscalls::munmap(number(address), length)
                          : unmap(header, number(address), length, __builtin_return_address(0));
  return static_cast<int>(answer(result));
}

EXPORTED void* mremap(void* address, size_t old_length, size_t new_length, int flags,
                      ...) noexcept {
  // Only where it is there for sure: with MREMAP_DONTUNMAP alone it would be a hint.
  uintptr_t to = 0;
  if ((flags & MREMAP_FIXED) != 0) {
    va_list rest;
    va_start(rest, flags);
    to = number(va_arg(rest, void*));
    va_end(rest);
  }
  const placement::Move move{number(address), old_length, new_length, flags, to};
  Header* const header = recording::table();
  const long result = header == nullptr
                          ? syscalls::mremap(move.address, old_length, new_length, flags, to)
                          : remap(header, move, __builtin_return_address(0));
  return reinterpret_cast<void*>(answer(result));
}

EXPORTED int mprotect(void* address, size_t length, int protection) noexcept {
  Header* const header = recording::table();
  const long result = header == nullptr ? syscalls::mprotect(number(address), length, protection)
                                        : protect(header, number(address), length, protection,
                                                  __builtin_return_address(0));
  return static_cast<int>(answer(result));
}

EXPORTED int madvise(void* address, size_t length, int advice) noexcept {
  Header* const header = recording::table();
  const long result = header == nullptr ? syscalls::madvise(number(address), length, advice)
                                        : advise(header, number(address), length, advice,
                                                 __builtin_return_address(0));
  return static_cast<int>(answer(result));
}

// Another library may come to lie where the closed one was: what was learned of it is forgotten.
EXPORTED int dlclose(void* handle) noexcept {
  using Function = int (*)(void*);
  static std::atomic<Function> next{nullptr};
  Function real = next.load();
  if (real == nullptr) {
    real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "dlclose"));
    next = real;
  }
  const int result = real == nullptr ? -1 : real(handle);
  call_site::forget();
  return result;
}

// For memmap's own addon. The table, where this process is recorded; null where it is not.
EXPORTED const void* memmap_interpose_table() { return recording::table(); }

// From here on, what the library that holds `code` maps is memmap's.
EXPORTED void memmap_interpose_enroll(const void* code) {
  if (recording::table() != nullptr) call_site::register_addon(code);
}
