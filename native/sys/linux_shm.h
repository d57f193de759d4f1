// What the files about shared memory on Linux have in common: paths, and the mark of lifetime
// 'processes'.
#pragma once

#include <limits.h>
#include <stdio.h>

#include "sys/shm.h"

namespace memmap::sys {

inline constexpr char kFolder[] = "/dev/shm/";

struct Path {
  char text[sizeof kFolder + NAME_MAX + 1];
  explicit Path(const char* name) { snprintf(text, sizeof text, "%s%s", kFolder, name); }
};

// What /proc calls a descriptor.
struct Link {
  char text[64];
  explicit Link(int fd) { snprintf(text, sizeof text, "/proc/self/fd/%d", fd); }
  Link(pid_t pid, int fd) { snprintf(text, sizeof text, "/proc/%d/fd/%d", pid, fd); }
};

// An extended attribute: tmpfs has them since Linux 6.6.
inline constexpr char kMark[] = "user.memmap.lifetime";
inline constexpr char kProcesses[] = "processes";

}  // namespace memmap::sys
