// What the fault guard may call in its handler, on macOS. Written from the XNU sources and Apple's
// headers; compiled and run on no Mac yet (docs/platforms.md says so).
//
// XNU has no mremap: mach_vm_remap copies or shares pages of this task, and is a bare trap. It
// raises SIGBUS for a page that its file cannot give and for one that does not allow the access, so
// which of the two it was is decided by what the pages allow.
#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/mach_vm.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/ucontext.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "sys/signal_safe.h"

namespace memmap::sys::signal_safe {

namespace {

// Both ends of the doorbell. A pipe: write(2) is async-signal-safe, and semaphores of POSIX are not
// there.
std::atomic<int> bell_read{-1};
std::atomic<int> bell_write{-1};

uintptr_t map_raw(uintptr_t at, size_t length, int protection, int flags) {
  void* mapped = mmap(reinterpret_cast<void*>(at), length, protection,
                      flags | MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  return mapped == MAP_FAILED ? 0 : reinterpret_cast<uintptr_t>(mapped);
}

uintptr_t remap_raw(uintptr_t from, size_t length, int flags, uintptr_t to) {
  mach_vm_address_t target = to;
  vm_prot_t current = VM_PROT_NONE;
  vm_prot_t most = VM_PROT_NONE;
  const kern_return_t done =
      mach_vm_remap(mach_task_self(), &target, length, 0, flags, mach_task_self(), from, FALSE,
                    &current, &most, VM_INHERIT_NONE);
  return done == KERN_SUCCESS ? static_cast<uintptr_t>(target) : 0;
}

}  // namespace

void prepare() {
  if (bell_read.load() >= 0) return;
  int ends[2];
  if (pipe(ends) != 0) return;
  for (const int end : ends) fcntl(end, F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  bell_read = ends[0];
  bell_write = ends[1];
}

void forget_parent() {}

FaultAccess access_of(const siginfo_t* info, const void* context) {
  const auto* machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
#if defined(__x86_64__)
  constexpr uint32_t kWrite = 2;
  return {address, static_cast<uintptr_t>(machine->__ss.__rip), true,
          (machine->__es.__err & kWrite) != 0};
#else
  constexpr uint32_t kWriteNotRead = uint32_t{1} << 6;
  return {address, static_cast<uintptr_t>(arm_thread_state64_get_pc(machine->__ss)), true,
          (machine->__es.__esr & kWriteNotRead) != 0};
#endif
}

int thread_id() { return static_cast<int>(pthread_mach_thread_np(pthread_self())); }

uint64_t unix_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void yield() { sched_yield(); }

uintptr_t map_pages(size_t length) { return map_raw(0, length, PROT_READ | PROT_WRITE, 0); }
uintptr_t reserve(size_t length) { return map_raw(0, length, PROT_NONE, 0); }

bool map_zeros(Range pages, int protection) {
  return map_raw(pages.begin, pages.size(), protection, MAP_FIXED) != 0;
}

bool protect(Range pages, int protection) {
  return mprotect(pages.data(), pages.size(), protection) == 0;
}

bool remove_guard_pages(Range) { return false; }

bool unmap(Range pages) { return munmap(pages.data(), pages.size()) == 0; }

bool move(Range from, uintptr_t to) {
  if (remap_raw(from.begin, from.size(), VM_FLAGS_FIXED | VM_FLAGS_OVERWRITE, to) == 0) {
    return false;
  }
  return unmap(from);
}

uintptr_t duplicate(uintptr_t page, size_t length) {
  return remap_raw(page, length, VM_FLAGS_ANYWHERE, 0);
}

void unlock(Range pages) { munlock(pages.data(), pages.size()); }

bool move_keep(Range pages, uintptr_t to) {
  return remap_raw(pages.begin, pages.size(), VM_FLAGS_FIXED | VM_FLAGS_OVERWRITE, to) != 0;
}

bool copy(void* to, const void* from, size_t length) {
  mach_vm_size_t done = 0;
  const kern_return_t result =
      mach_vm_read_overwrite(mach_task_self(), reinterpret_cast<mach_vm_address_t>(from), length,
                             reinterpret_cast<mach_vm_address_t>(to), &done);
  return result == KERN_SUCCESS && done == length;
}

int populate(Range, bool) { return ENOSYS; }

bool query_region(uintptr_t address, RegionInfo* found, char* path, size_t path_size) {
  if (path != nullptr) path[0] = '\0';
  mach_vm_address_t begin = address;
  mach_vm_size_t size = 0;
  vm_region_basic_info_data_64_t info{};
  mach_msg_type_number_t count = VM_REGION_BASIC_INFO_COUNT_64;
  mach_port_t object = MACH_PORT_NULL;
  const kern_return_t result =
      mach_vm_region(mach_task_self(), &begin, &size, VM_REGION_BASIC_INFO_64,
                     reinterpret_cast<vm_region_info_t>(&info), &count, &object);
  if (result != KERN_SUCCESS || begin > address) return false;
  int protection = 0;
  if ((info.protection & VM_PROT_READ) != 0) protection |= PROT_READ;
  if ((info.protection & VM_PROT_WRITE) != 0) protection |= PROT_WRITE;
  if ((info.protection & VM_PROT_EXECUTE) != 0) protection |= PROT_EXEC;
  proc_regionwithpathinfo region_info{};
  const int told =
      proc_pidinfo(getpid(), PROC_PIDREGIONPATHINFO, address, &region_info, sizeof region_info);
  const bool file = told == static_cast<int>(sizeof region_info);
  const char* name = file ? region_info.prp_vip.vip_path : "";
  if (path != nullptr && strnlen(name, path_size) < path_size) strlcpy(path, name, path_size);
  *found = {{{static_cast<uintptr_t>(begin), static_cast<uintptr_t>(begin + size)},
             protection,
             info.shared != 0,
             info.offset,
             file ? region_info.prp_vip.vip_vi.vi_stat.vst_ino : 0},
            0};
  return true;
}

FileId identify_file(const char* path) {
  struct stat status {};
  if (path[0] != '/' || stat(path, &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return {true, static_cast<uint64_t>(status.st_dev), status.st_ino,
          static_cast<uint64_t>(status.st_size)};
}

Reading read_at(const char* path, const FileId& file, uint64_t offset) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Reading::kUnknown;
  struct stat status {};
  const bool same = fstat(fd, &status) == 0 &&
                    static_cast<uint64_t>(status.st_dev) == file.device &&
                    status.st_ino == file.inode;
  char byte = 0;
  const ssize_t got = same ? pread(fd, &byte, 1, static_cast<off_t>(offset)) : 0;
  close(fd);
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
  const char one = 1;
  static_cast<void>(write(bell_write.load(), &one, 1));
}

void wait_for_doorbell() {
  char taken[64];
  while (read(bell_read.load(), taken, sizeof taken) < 0 && errno == EINTR) {
  }
}

}  // namespace memmap::sys::signal_safe
