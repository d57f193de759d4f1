// Mappings of huge pages (files of hugetlbfs, MAP_HUGETLB): the kernel rounds their length up to
// one, and MAP_FIXED replaces all of that.
#pragma once

#include <sys/vfs.h>

#include <atomic>

#include "interpose/syscall.h"

namespace memmap::interpose::huge_pages {

// What MAP_HUGETLB is without a size, as the kernel tells it; 0: it has none.
inline size_t default_page() {
  static std::atomic<size_t> known{0};
  if (const size_t size = known.load(std::memory_order_relaxed)) return size;
  char text[8192];
  const long fd = syscalls::open("/proc/meminfo", O_RDONLY);
  if (syscalls::failed(fd)) return 0;
  const long length = syscalls::read(fd, text, sizeof text);
  syscalls::close(fd);
  constexpr char kName[] = "\nHugepagesize:";
  constexpr long kLength = sizeof kName - 1;
  for (long at = 0; at + kLength < length; ++at) {
    if (__builtin_memcmp(text + at, kName, kLength) != 0) continue;
    size_t kib = 0;
    for (at += kLength; at < length && text[at] == ' '; ++at) {
    }
    for (; at < length && text[at] >= '0' && text[at] <= '9'; ++at) {
      kib = kib * 10 + static_cast<size_t>(text[at] - '0');
    }
    known = kib << 10;
    return kib << 10;
  }
  return 0;
}

// The huge page that a mapping would be made of; 0: ordinary ones.
inline size_t page_of(int flags, int fd) {
  if ((flags & MAP_ANONYMOUS) != 0) {
    if ((flags & MAP_HUGETLB) == 0) return 0;
    const int exponent = flags >> 26 & 63;  // MAP_HUGE_SHIFT, MAP_HUGE_MASK
    return exponent == 0 ? default_page() : size_t{1} << exponent;
  }
  constexpr long kHugetlbfs = 0x958458f6;  // HUGETLBFS_MAGIC
  struct statfs found {};
  const bool is_one =
      fd >= 0 && !syscalls::failed(syscalls::call(SYS_fstatfs, fd, syscalls::number(&found))) &&
      static_cast<long>(found.f_type) == kHugetlbfs;
  return is_one ? static_cast<size_t>(found.f_bsize) : 0;
}

}  // namespace memmap::interpose::huge_pages
