// What tells a process from all others since the system started, together with its number.
#pragma once

#include "interpose/syscall.h"

namespace memmap::interpose {

// Zeros where there is no /proc.
struct Identity {
  uint64_t born = 0;  // field 22 of /proc/self/stat: ticks; the same after an execve
  uint64_t pid_namespace = 0;
};

inline uint64_t number_at(const char* text, const char* end) {
  uint64_t number = 0;
  for (; text < end && *text >= '0' && *text <= '9'; ++text) {
    number = number * 10 + static_cast<uint64_t>(*text - '0');
  }
  return number;
}

inline Identity identity() {
  Identity found;
  char text[1024];
  const long fd = syscalls::open("/proc/self/stat", O_RDONLY);
  if (syscalls::failed(fd)) return found;
  const long length = syscalls::read(fd, text, sizeof text);
  syscalls::close(fd);
  // The name in parentheses may hold anything: the fields are counted behind the last one.
  const char* const end = text + (length < 0 ? 0 : length);
  const char* at = end;
  while (at > text && *at != ')') --at;
  constexpr int kBlanks = 20;  // from the name, which is field 2, to field 22
  for (int blanks = 0; at < end && blanks < kBlanks; ++at) blanks += *at == ' ' ? 1 : 0;
  found.born = number_at(at, end);
  // "pid:[4026531836]"
  const long linked =
      syscalls::call(SYS_readlinkat, AT_FDCWD, syscalls::number("/proc/self/ns/pid"),
                     syscalls::number(text), sizeof text);
  constexpr long kPrefix = 5;
  if (linked > kPrefix) found.pid_namespace = number_at(text + kPrefix, text + linked);
  return found;
}

}  // namespace memmap::interpose
