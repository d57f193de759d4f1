// How Linux tells of its regions: PROCMAP_QUERY, and one line of /proc/self/maps. Private to
// native/sys. Nothing here allocates, locks or reads a locale.
#pragma once

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "sys/sys.h"

namespace memmap::sys {

// struct procmap_query of linux/fs.h, 6.11.
struct ProcmapQuery {
  uint64_t size;
  uint64_t query_flags;
  uint64_t query_addr;
  uint64_t vma_start;
  uint64_t vma_end;
  uint64_t vma_flags;
  uint64_t vma_page_size;
  uint64_t vma_offset;
  uint64_t inode;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint32_t vma_name_size;
  uint32_t build_id_size;
  uint64_t vma_name_addr;
  uint64_t build_id_addr;
};
static_assert(sizeof(ProcmapQuery) == 104);
constexpr unsigned long kProcmapQuery = _IOWR('f', 17, ProcmapQuery);
constexpr uint64_t kCoveringOrNext = 0x10;

inline Region to_region(const ProcmapQuery& query) {
  int protection = 0;
  if (query.vma_flags & 1) protection |= PROT_READ;
  if (query.vma_flags & 2) protection |= PROT_WRITE;
  if (query.vma_flags & 4) protection |= PROT_EXEC;
  return {{static_cast<uintptr_t>(query.vma_start), static_cast<uintptr_t>(query.vma_end)},
          protection,
          (query.vma_flags & 8) != 0,
          query.vma_offset,
          query.inode};
}

// One line of the list: a region, its device, and what is left of the line, its path.
struct MapsLine {
  Region region;
  uint32_t major;
  uint32_t minor;
  const char* path;
};

// Reads a number in `base`, moves *text behind it and one more character; false at no digit.
inline bool take_number(const char** text, unsigned base, uint64_t* value) {
  const char* at = *text;
  *value = 0;
  for (;; ++at) {
    const char c = *at;
    unsigned digit = base;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
    if (digit >= base) break;
    *value = *value * base + digit;
  }
  if (at == *text) return false;
  *text = *at == '\0' ? at : at + 1;
  return true;
}

// begin-end rwxs offset major:minor inode          path
inline bool parse_maps_line(const char* line, MapsLine* found) {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t inode = 0;
  const char* at = line;
  if (!take_number(&at, 16, &begin) || !take_number(&at, 16, &end)) return false;
  const char* mode = at;
  if (strnlen(mode, 5) < 5) return false;
  at += 5;
  if (!take_number(&at, 16, &offset) || !take_number(&at, 16, &major) ||
      !take_number(&at, 16, &minor) || !take_number(&at, 10, &inode)) {
    return false;
  }
  while (*at == ' ') ++at;
  int protection = 0;
  if (mode[0] == 'r') protection |= PROT_READ;
  if (mode[1] == 'w') protection |= PROT_WRITE;
  if (mode[2] == 'x') protection |= PROT_EXEC;
  found->region = {{static_cast<uintptr_t>(begin), static_cast<uintptr_t>(end)},
                   protection,
                   mode[3] == 's',
                   offset,
                   inode};
  found->major = static_cast<uint32_t>(major);
  found->minor = static_cast<uint32_t>(minor);
  found->path = at;
  return true;
}

}  // namespace memmap::sys
