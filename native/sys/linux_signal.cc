// What the fault guard may call in its handler, on Linux.
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#include "sys/procmap.h"
#include "sys/signal_safe.h"

namespace memmap::sys::signal_safe {

namespace {

constexpr int kPopulateRead = 22;  // 5.14
constexpr int kPopulateWrite = 23;
constexpr int kDontUnmap = 4;  // 5.7; for pages of files 5.13

// What prepare() found. A handler never sees them change, but for a forked child.
std::atomic<int> maps_fd{-1};
std::atomic<int> memory_fd{-1};
std::atomic<bool> can_copy{false};
std::atomic<bool> can_populate{false};
std::atomic<bool> can_query{false};

std::atomic<uint32_t> rings{0};

uintptr_t map_raw(uintptr_t at, size_t length, int protection, int flags) {
  const long mapped = syscall(SYS_mmap, at, length, protection,
                              flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
  return mapped == -1 ? 0 : static_cast<uintptr_t>(mapped);
}

uintptr_t remap_raw(uintptr_t from, size_t old_length, size_t new_length, int flags, uintptr_t to) {
  const long moved = syscall(SYS_mremap, from, old_length, new_length, flags, to);
  return moved == -1 ? 0 : static_cast<uintptr_t>(moved);
}

bool copy_path(const char* from, char* path, size_t path_size) {
  const size_t length = strnlen(from, path_size);
  if (length >= path_size || from[0] != '/') return false;
  memcpy(path, from, length + 1);
  return true;
}

bool query(uintptr_t address, RegionInfo* found, char* path, size_t path_size) {
  ProcmapQuery asked{};
  asked.size = sizeof asked;
  asked.query_addr = address;
  asked.vma_name_addr = reinterpret_cast<uint64_t>(path);
  asked.vma_name_size = static_cast<uint32_t>(path_size);
  if (path != nullptr) path[0] = '\0';
  if (syscall(SYS_ioctl, maps_fd.load(), kProcmapQuery, &asked) != 0) {
    if (errno != ENAMETOOLONG) return false;
    asked.vma_name_addr = 0;
    asked.vma_name_size = 0;
    if (syscall(SYS_ioctl, maps_fd.load(), kProcmapQuery, &asked) != 0) return false;
  }
  if (path != nullptr && path[0] != '/') path[0] = '\0';
  *found = {to_region(asked), static_cast<size_t>(asked.vma_page_size)};
  return true;
}

// The text list, with no more memory than this: a path that does not fit is not known.
bool look_through_text(uintptr_t address, RegionInfo* found, char* path, size_t path_size) {
  // Of its own, if one can be had: somebody may have closed ours.
  const long own = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
  const int fd = own >= 0 ? static_cast<int>(own) : maps_fd.load();
  char line[320];
  char block[256];
  size_t held = 0;
  bool over = false;
  bool hit = false;
  uint64_t position = 0;
  for (bool reading = true; reading;) {
    const long got = syscall(SYS_pread64, fd, block, sizeof block, position);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    position += static_cast<uint64_t>(got);
    for (long i = 0; i < got && reading; ++i) {
      if (block[i] != '\n') {
        if (held < sizeof line - 1) {
          line[held++] = block[i];
        } else {
          over = true;
        }
        continue;
      }
      line[held] = '\0';
      MapsLine parsed{};
      if (parse_maps_line(line, &parsed) && parsed.region.range.end > address) {
        reading = false;
        hit = parsed.region.range.begin <= address;
        *found = {parsed.region, 0};
        const bool copied = !over && path != nullptr && copy_path(parsed.path, path, path_size);
        if (!copied && path != nullptr) path[0] = '\0';
      }
      held = 0;
      over = false;
    }
  }
  if (own >= 0) syscall(SYS_close, own);
  return hit;
}

// The same answer for bad pages: EIO, and no signal.
bool copy_by_file(char* to, const char* from, size_t length) {
  for (size_t done = 0; done < length;) {
    const long got = syscall(SYS_pread64, memory_fd.load(), to + done, length - done, from + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

bool copy_by_pipe(char* to, const char* from, size_t length) {
  int ends[2];
  if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return false;
  constexpr size_t kChunk = PIPE_BUF;  // fits an empty pipe
  bool good = true;
  for (size_t done = 0; done < length && good;) {
    const size_t want = length - done < kChunk ? length - done : kChunk;
    const long put = syscall(SYS_write, ends[1], from + done, want);
    good = put > 0 && syscall(SYS_read, ends[0], to + done, put) == put;
    done += good ? static_cast<size_t>(put) : 0;
  }
  syscall(SYS_close, ends[0]);
  syscall(SYS_close, ends[1]);
  return good;
}

}  // namespace

void prepare() {
  const Capabilities& able = capabilities();
  if (maps_fd.load() < 0) maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (!able.process_copy && memory_fd.load() < 0) {
    memory_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  }
  can_copy = able.process_copy;
  can_populate = able.populate;
  can_query = able.region_query;
}

// The child opens its own: open(2) may be called between fork and exec.
void forget_parent() {
  const auto again = [](std::atomic<int>& fd, const char* path) {
    if (fd.load() >= 0) fd = open(path, O_RDONLY | O_CLOEXEC);
  };
  again(maps_fd, "/proc/self/maps");
  again(memory_fd, "/proc/self/mem");
}

#if defined(__x86_64__)
FaultAccess access_of(const siginfo_t* info, const void* context) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr greg_t kWrite = 2;  // bit 1 of the page fault's error code
  return {reinterpret_cast<uintptr_t>(info->si_addr), static_cast<uintptr_t>(registers[REG_RIP]),
          true, (registers[REG_ERR] & kWrite) != 0};
}
#elif defined(__aarch64__)
FaultAccess access_of(const siginfo_t* info, const void* context) {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  FaultAccess found{reinterpret_cast<uintptr_t>(info->si_addr), machine.pc, false, false};
  // The kernel's list of records that follow the registers; esr_context holds the syndrome.
  constexpr uint32_t kEsr = 0x45535201;
  constexpr uint64_t kWriteNotRead = uint64_t{1} << 6;
  struct Head {
    uint32_t magic;
    uint32_t size;
  };
  const auto* at = reinterpret_cast<const unsigned char*>(&machine.__reserved);
  const auto* end = at + sizeof machine.__reserved;
  while (at + sizeof(Head) + sizeof(uint64_t) <= end) {
    Head head;
    memcpy(&head, at, sizeof head);
    if (head.magic == 0 || head.size < sizeof head) break;
    if (head.magic == kEsr) {
      uint64_t syndrome = 0;
      memcpy(&syndrome, at + sizeof head, sizeof syndrome);
      found.known = true;
      found.write = (syndrome & kWriteNotRead) != 0;
      break;
    }
    at += head.size;
  }
  return found;
}
#else
FaultAccess access_of(const siginfo_t* info, const void*) {
  return {reinterpret_cast<uintptr_t>(info->si_addr), 0, false, false};
}
#endif

int thread_id() { return static_cast<int>(syscall(SYS_gettid)); }

uint64_t unix_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void yield() { syscall(SYS_sched_yield); }

// RLIMIT_DATA counts private writable memory only: where that is refused, shared memory will do.
uintptr_t map_writable(uintptr_t at, size_t length, int protection, int flags) {
  const uintptr_t own = map_raw(at, length, protection, flags);
  if (own != 0 || errno != ENOMEM || (protection & PROT_WRITE) == 0) return own;
  const long shared = syscall(SYS_mmap, at, length, protection,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return shared == -1 ? 0 : static_cast<uintptr_t>(shared);
}

uintptr_t map_pages(size_t length) { return map_writable(0, length, PROT_READ | PROT_WRITE, 0); }
uintptr_t reserve(size_t length) { return map_raw(0, length, PROT_NONE, 0); }

bool map_zeros(Range pages, int protection) {
  return map_writable(pages.begin, pages.size(), protection, MAP_FIXED) != 0;
}

bool protect(Range pages, int protection) {
  return syscall(SYS_mprotect, pages.begin, pages.size(), protection) == 0;
}

bool remove_guard_pages(Range pages) {
  constexpr int kGuardRemove = 103;  // Linux 6.13
  return syscall(SYS_madvise, pages.begin, pages.size(), kGuardRemove) == 0;
}

bool unmap(Range pages) { return syscall(SYS_munmap, pages.begin, pages.size()) == 0; }

bool move(Range from, uintptr_t to) {
  return remap_raw(from.begin, from.size(), from.size(), MREMAP_MAYMOVE | MREMAP_FIXED, to) != 0;
}

uintptr_t duplicate(uintptr_t page, size_t length) {
  return remap_raw(page, 0, length, MREMAP_MAYMOVE, 0);
}

void unlock(Range pages) { syscall(SYS_munlock, pages.begin, pages.size()); }

bool move_keep(Range pages, uintptr_t to) {
  return remap_raw(pages.begin, pages.size(), pages.size(),
                   MREMAP_MAYMOVE | MREMAP_FIXED | kDontUnmap, to) != 0;
}

bool copy(void* to, const void* from, size_t length) {
  if (!can_copy.load()) {
    const auto copy_somehow = memory_fd.load() >= 0 ? copy_by_file : copy_by_pipe;
    return copy_somehow(static_cast<char*>(to), static_cast<const char*>(from), length);
  }
  const long self = syscall(SYS_getpid);
  const iovec local{to, length};
  const iovec remote{const_cast<void*>(from), length};
  return syscall(SYS_process_vm_readv, self, &local, 1L, &remote, 1L, 0L) ==
         static_cast<long>(length);
}

int populate(Range pages, bool write) {
  if (!can_populate.load()) return ENOSYS;
  const int advice = write ? kPopulateWrite : kPopulateRead;
  return syscall(SYS_madvise, pages.begin, pages.size(), advice) == 0 ? 0 : errno;
}

bool query_region(uintptr_t address, RegionInfo* found, char* path, size_t path_size) {
  if (can_query.load() && query(address, found, path, path_size)) return true;
  return look_through_text(address, found, path, path_size);
}

FileId identify_file(const char* path) {
  constexpr char kDeleted[] = " (deleted)";
  constexpr size_t kSuffix = sizeof kDeleted - 1;
  const size_t length = strlen(path);
  if (path[0] != '/') return {};
  if (length > kSuffix && memcmp(path + length - kSuffix, kDeleted, kSuffix) == 0) return {};
  struct stat status {};
  if (fstatat(AT_FDCWD, path, &status, 0) != 0 || !S_ISREG(status.st_mode)) return {};
  return {true, status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size)};
}

Reading read_at(const char* path, const FileId& file, uint64_t offset) {
  const int fd =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd < 0) return Reading::kUnknown;
  struct stat status {};
  const bool same = fstat(fd, &status) == 0 &&
                    static_cast<uint64_t>(status.st_dev) == file.device &&
                    status.st_ino == file.inode;
  char byte = 0;
  const ssize_t got = same ? syscall(SYS_pread64, fd, &byte, size_t{1}, offset) : 0;
  syscall(SYS_close, fd);
  if (!same || got == 0) return Reading::kUnknown;
  return got == 1 ? Reading::kGood : Reading::kBad;
}

bool has_space(const char* path) {
  struct statfs status {};
  if (path[0] != '/' || statfs(path, &status) != 0) return false;
  constexpr uint64_t kFew = uint64_t{1} << 20;
  return status.f_bavail * static_cast<uint64_t>(status.f_bsize) > kFew;
}

void ring_doorbell() {
  rings.fetch_add(1);
  syscall(SYS_futex, &rings, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void wait_for_doorbell() {
  static uint32_t heard = 0;  // one thread waits
  while (rings.load() == heard) {
    syscall(SYS_futex, &rings, FUTEX_WAIT_PRIVATE, heard, nullptr, nullptr, 0);
  }
  heard = rings.load();
}

}  // namespace memmap::sys::signal_safe
