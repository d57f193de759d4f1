// What only Linux has, on top of posix.cc. Constants newer than the build machine's headers are
// spelled out with their kernel version.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <initializer_list>

#include "sys/denied.h"
#include "sys/procmap.h"
#include "sys/sys.h"

namespace memmap::sys {

namespace {

constexpr int kMapFixedNoReplace = 0x100000;  // 4.17
constexpr int kPopulateRead = 22;             // 5.14
constexpr int kPopulateWrite = 23;

struct Descriptor {
  int fd;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

int open_maps() { return open("/proc/self/maps", O_RDONLY | O_CLOEXEC); }

// Kept open for the life of the process: a query is then one system call.
int maps_descriptor() {
  static const int fd = open_maps();
  return fd;
}

// ENOTTY or EINVAL: this kernel has no PROCMAP_QUERY. ENOENT: nothing at or above the address.
int query_region(uintptr_t address, Region* region) {
  ProcmapQuery query{};
  query.size = sizeof query;
  query.query_flags = kCoveringOrNext;
  query.query_addr = address;
  if (ioctl(maps_descriptor(), kProcmapQuery, &query) != 0) return errno;
  *region = to_region(query);
  return 0;
}

// Before 6.11: the text list, a line at a time, with no more memory than this buffer.
Status regions_from_text(Range range, RegionVisitor visit, void* context) {
  const Descriptor maps(open_maps());
  if (maps.fd < 0) return {errno, "open"};
  char buffer[16384];
  size_t held = 0;
  for (;;) {
    const ssize_t got = read(maps.fd, buffer + held, sizeof buffer - 1 - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {errno, "read"};
    if (got == 0) return {};
    held += static_cast<size_t>(got);
    buffer[held] = '\0';
    char* line = buffer;
    while (char* newline = strchr(line, '\n')) {
      *newline = '\0';
      MapsLine parsed{};
      if (parse_maps_line(line, &parsed)) {
        const Region& region = parsed.region;
        if (region.range.begin >= range.end) return {};
        if (region.range.overlaps(range) && !visit(context, region)) return {};
      }
      line = newline + 1;
    }
    held = static_cast<size_t>(buffer + held - line);
    memmove(buffer, line, held);
    // Only a path can be that long, and it comes last: the head of the line is all that is parsed.
    constexpr size_t kHead = 128;
    if (held > sizeof buffer / 2) held = kHead;
  }
}

bool advice_known(int advice) {
  // A zero-length madvise checks the advice and nothing else.
  return madvise(nullptr, 0, advice) == 0;
}

}  // namespace

const Capabilities& capabilities() {
  static const Capabilities found = [] {
    Region region{};
    char byte = 0;
    const iovec self{&byte, 1};
    return Capabilities{
        !denied("noreplace"),
        !denied("populate") && advice_known(kPopulateRead),
        !denied("procmap_query") && query_region(0, &region) == 0,
        !denied("process_vm") && process_vm_readv(getpid(), &self, 1, &self, 1, 0) == 1,
    };
  }();
  return found;
}

Result<uintptr_t> map_exclusive(uintptr_t at, size_t length, int protection, int flags, int fd,
                                uint64_t offset) {
  const int exclusive = capabilities().exclusive_atomic ? kMapFixedNoReplace : 0;
  const auto mapped = map(at, length, protection, flags | exclusive, fd, offset);
  if (!mapped.ok() || mapped.value == at) return mapped;
  // Before 4.17 the flag is only a hint: landing elsewhere means that something was in the way.
  munmap(reinterpret_cast<void*>(mapped.value), length);
  return {0, EEXIST, "mmap"};
}

bool uses_huge_pages(int flags) { return (flags & MAP_HUGETLB) != 0; }

Status move(Range from, uintptr_t to) {
  void* moved = mremap(from.data(), from.size(), from.size(), MREMAP_MAYMOVE | MREMAP_FIXED,
                       reinterpret_cast<void*>(to));
  return moved == MAP_FAILED ? Status{errno, "mremap"} : Status{};
}

Result<uintptr_t> remap(uintptr_t from, size_t old_length, size_t new_length, int flags,
                        uintptr_t to) {
  void* moved = mremap(reinterpret_cast<void*>(from), old_length, new_length, flags,
                       reinterpret_cast<void*>(to));
  if (moved == MAP_FAILED) return {0, errno, "mremap"};
  return {reinterpret_cast<uintptr_t>(moved)};
}

Status residency(Range pages, uint8_t* states) {
  return mincore(pages.data(), pages.size(), states) == 0 ? Status{} : Status{errno, "mincore"};
}

Status keep_from_children(Range pages) { return advise(pages, MADV_DONTFORK); }

namespace {
// Before 5.14: one byte of every page through the kernel, which faults it in without a signal.
Status populate_by_copying(Range pages, bool write) {
  char byte = 0;
  for (uintptr_t at = pages.begin; at < pages.end; at += page_size()) {
    char* mapped = reinterpret_cast<char*>(at);
    const auto got = copy(&byte, mapped, 1, true);
    if (!got.ok()) return got.status();
    if (!write) continue;
    const auto put = copy(mapped, &byte, 1, false);
    if (!put.ok()) return put.status();
  }
  return {};
}
}  // namespace

Status populate(Range pages, bool write) {
  if (capabilities().populate) return advise(pages, write ? kPopulateWrite : kPopulateRead);
  return populate_by_copying(pages, write);
}

namespace {

// A page that only this thread uses, seen both as memory and as a file: pwrite(2) from mapped
// memory into it, or pread(2) out of it, copies without a signal, for two thirds of what
// process_vm_readv(2) costs, which has to find and pin a process first. The bare calls: glibc's are
// cancellation points, which costs as much again as the rest of the way.
class Landing {
 public:
  Landing() {
    // A file larger than RLIMIT_FSIZE would be SIGXFSZ.
    rlimit most{};
    if (getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur < page_size()) return;
    const Descriptor low(memfd_create("memmap", MFD_CLOEXEC));
    if (low.fd < 0 || ftruncate(low.fd, static_cast<off_t>(page_size())) != 0) return;
    // Out of the way of those who close a number twice: the next open() would get a low one, and
    // then we would write into that file.
    if (getrlimit(RLIMIT_NOFILE, &most) != 0 || most.rlim_cur < 2) return;
    const rlim_t high = most.rlim_cur - 1 < kOutOfTheWay ? most.rlim_cur - 1 : kOutOfTheWay;
    fd_ = fcntl(low.fd, F_DUPFD_CLOEXEC, static_cast<int>(high));
    if (fd_ < 0) return;
    void* mapped = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (mapped != MAP_FAILED) page_ = mapped;
  }
  Landing(const Landing&) = delete;
  Landing& operator=(const Landing&) = delete;
  ~Landing() {
    if (page_ != nullptr) munmap(page_, page_size());
    if (fd_ >= 0) close(fd_);
  }

  [[nodiscard]] bool takes(size_t length) const {
    return page_ != nullptr && length <= page_size();
  }

  ssize_t out(void* to, const void* mapped, size_t length) {
    const ssize_t moved = syscall(SYS_pwrite64, fd_, mapped, length, 0);
    if (moved > 0) memcpy(to, page_, static_cast<size_t>(moved));
    return moved;
  }

  ssize_t in(void* mapped, const void* from, size_t length) {
    memcpy(page_, from, length);
    return syscall(SYS_pread64, fd_, mapped, length, 0);
  }

 private:
  static constexpr rlim_t kOutOfTheWay = 8000;
  int fd_ = -1;
  void* page_ = nullptr;
};

}  // namespace

bool copy_page(void* to, const void* from, size_t length, bool from_is_mapped) {
  thread_local Landing landing;
  if (!capabilities().process_copy || !landing.takes(length)) return false;
  const ssize_t moved =
      from_is_mapped ? landing.out(to, from, length) : landing.in(to, from, length);
  return moved == static_cast<ssize_t>(length);
}

Result<size_t> copy(void* to, const void* from, size_t length, bool from_is_mapped) {
  if (!capabilities().process_copy) return copy_through_pipe(to, from, length);
  // The far side of the call is the mapped one; both sides answer EFAULT for a bad page.
  static const pid_t self = getpid();
  size_t done = 0;
  while (done < length) {
    void* mapped = from_is_mapped ? const_cast<char*>(static_cast<const char*>(from)) + done
                                  : static_cast<char*>(to) + done;
    void* plain = from_is_mapped ? static_cast<char*>(to) + done
                                 : const_cast<char*>(static_cast<const char*>(from)) + done;
    const iovec local{plain, length - done};
    const iovec remote{mapped, length - done};
    const ssize_t moved = from_is_mapped ? process_vm_readv(self, &local, 1, &remote, 1, 0)
                                         : process_vm_writev(self, &local, 1, &remote, 1, 0);
    const char* name = from_is_mapped ? "process_vm_readv" : "process_vm_writev";
    if (moved < 0) return {done, errno, name};
    if (moved == 0) return {done, EFAULT, name};
    done += static_cast<size_t>(moved);
  }
  return {done};
}

Status regions(Range range, RegionVisitor visit, void* context) {
  if (!capabilities().region_query) return regions_from_text(range, visit, context);
  for (uintptr_t at = range.begin; at < range.end;) {
    Region region{};
    const int error = query_region(at, &region);
    if (error == ENOENT) return {};
    if (error != 0) return {error, "ioctl"};
    if (region.range.begin >= range.end) return {};
    if (!visit(context, region)) return {};
    at = region.range.end;
  }
  return {};
}

Result<size_t> count_regions() {
  const Descriptor maps(open_maps());
  if (maps.fd < 0) return {0, errno, "open"};
  char buffer[32768];
  size_t lines = 0;
  for (;;) {
    const ssize_t got = read(maps.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {0, errno, "read"};
    if (got == 0) return {lines};
    for (ssize_t i = 0; i < got; ++i) lines += buffer[i] == '\n' ? 1 : 0;
  }
}

size_t region_limit() {
  const Descriptor file(open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC));
  char text[32] = "";
  if (file.fd < 0 || read(file.fd, text, sizeof text - 1) <= 0) return 0;
  return strtoul(text, nullptr, 10);
}

Result<FileStatus> file_status(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {{}, errno, "fstat"};
  const bool regular = S_ISREG(found.st_mode);
  const bool on_disk = major(found.st_dev) != 0;
  const int seals = on_disk || !regular ? -1 : fcntl(fd, F_GET_SEALS);
  const bool sealed = seals > 0 && (seals & F_SEAL_SHRINK) != 0;
  return {
      {static_cast<uint64_t>(found.st_size), found.st_dev, found.st_ino, regular, sealed, on_disk}};
}

Status allocate_file(int fd, uint64_t size) {
  // First the blocks and then the length, so that a full disk leaves the file as long as it was,
  // and nothing that another process appends meanwhile is ever cut off.
  for (const int mode : {FALLOC_FL_KEEP_SIZE, 0}) {
    int result = 0;
    do {
      result = fallocate(fd, mode, 0, static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result == 0) continue;
    if (errno != EOPNOTSUPP) return {errno, "fallocate"};
    // Right but slow: glibc writes into every block where the file system cannot allocate.
    const int error = posix_fallocate(fd, 0, static_cast<off_t>(size));
    return error == 0 ? Status{} : Status{error, "posix_fallocate"};
  }
  return {};
}

}  // namespace memmap::sys
