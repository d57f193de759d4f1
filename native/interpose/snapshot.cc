#include "interpose/snapshot.h"

#include <initializer_list>

#include "interpose/syscall.h"

namespace memmap::interpose::snapshot {

void take(const char* table, const char* suffix) {
  // More than any list is long.
  constexpr uint64_t kEnough = uint64_t{64} << 20;
  if (syscalls::file_limit() < kEnough) return;
  char path[600];
  size_t length = 0;
  for (const char* part : {table, suffix}) {
    for (; *part != '\0' && length + 1 < sizeof path; ++part) path[length++] = *part;
  }
  path[length] = '\0';
  const long from = syscalls::open("/proc/self/maps", O_RDONLY);
  const long to = syscalls::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  // Several lines at once: the kernel gives whole ones, and a list that changes less in between.
  char block[8192];
  for (long got = 0; !syscalls::failed(from) && !syscalls::failed(to);) {
    got = syscalls::read(from, block, sizeof block);
    if (got <= 0) break;
    for (long done = 0; done < got;) {
      const long put = syscalls::write(to, block + done, static_cast<size_t>(got - done));
      if (put <= 0) break;
      done += put;
    }
  }
  if (!syscalls::failed(from)) syscalls::close(from);
  if (!syscalls::failed(to)) syscalls::close(to);
}

}  // namespace memmap::interpose::snapshot
