// How macOS tells about a process: proc_pidinfo for its regions, Mach for the threads of this one.
// Written from the XNU sources and Apple's headers; compiled and run on no Mac yet
// (docs/platforms.md says so).
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/mach_vm.h>
#include <mach/vm_statistics.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/proc_info.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/survey.h"

namespace memmap::sys {

namespace {

// What Linux would call memory without a file; lib/looking/owner-names.ts knows no other words.
const char* name_of_tag(uint32_t tag) {
  if (tag == VM_MEMORY_STACK) return "[stack]";
  if (tag >= VM_MEMORY_MALLOC && tag <= VM_MEMORY_REALLOC) return "[heap]";
  if (tag >= VM_MEMORY_MALLOC_TINY && tag <= VM_MEMORY_MALLOC_NANO) return "[heap]";
  // VM_MAKE_TAG(255) is what V8 puts on all that it maps.
  if (tag == VM_MEMORY_APPLICATION_SPECIFIC_16) return "[anon:v8]";
  return "";
}

// The region at or above `address`. EINVAL: there is none any more.
Status find_region(pid_t pid, uint64_t address, proc_regionwithpathinfo* found) {
  errno = 0;
  const int got = proc_pidinfo(pid, PROC_PIDREGIONPATHINFO, address, found, sizeof *found);
  if (got == static_cast<int>(sizeof *found)) return {};
  return {errno == 0 ? EINVAL : errno, "proc_pidinfo"};
}

template <typename Visit>
Status each_region(pid_t pid, uint64_t from, Visit visit) {
  const pid_t asked = pid == 0 ? getpid() : pid;
  proc_regionwithpathinfo found{};
  for (uint64_t at = from;;) {
    const Status status = find_region(asked, at, &found);
    if (status.error == EINVAL) return {};
    if (status.error == ESRCH || status.error == EPERM) return {status.error, "open"};
    if (!status.ok()) return status;
    const proc_regioninfo& info = found.prp_prinfo;
    if (info.pri_size == 0 || !visit(found)) return {};
    at = info.pri_address + info.pri_size;
  }
}

NamedRegion to_named(const proc_regionwithpathinfo& found) {
  const proc_regioninfo& info = found.prp_prinfo;
  int protection = 0;
  if (info.pri_protection & VM_PROT_READ) protection |= PROT_READ;
  if (info.pri_protection & VM_PROT_WRITE) protection |= PROT_WRITE;
  if (info.pri_protection & VM_PROT_EXECUTE) protection |= PROT_EXEC;
  const bool shared = info.pri_share_mode == SM_SHARED || info.pri_share_mode == SM_TRUESHARED;
  const vinfo_stat& file = found.prp_vip.vip_vi.vi_stat;
  const char* path = found.prp_vip.vip_path;
  const char* name = *path == '\0' ? name_of_tag(info.pri_user_tag) : path;
  const Range range{static_cast<uintptr_t>(info.pri_address),
                    static_cast<uintptr_t>(info.pri_address + info.pri_size)};
  const auto device = static_cast<dev_t>(file.vst_dev);
  return {{range, protection, shared, info.pri_offset, file.vst_ino},
          static_cast<uint32_t>(major(device)),
          static_cast<uint32_t>(minor(device)),
          name,
          strnlen(name, MAXPATHLEN)};
}

}  // namespace

Status survey(pid_t pid, NamedVisitor visit, void* context) {
  return each_region(pid, 0, [&](const proc_regionwithpathinfo& found) {
    return visit(context, to_named(found));
  });
}

Status survey_at(uintptr_t address, NamedVisitor visit, void* context) {
  return each_region(0, address, [&](const proc_regionwithpathinfo& found) {
    if (found.prp_prinfo.pri_address <= address) visit(context, to_named(found));
    return false;
  });
}

Status usage(pid_t pid, UsageVisitor visit, void* context) {
  return each_region(pid, 0, [&](const proc_regionwithpathinfo& found) {
    const proc_regioninfo& info = found.prp_prinfo;
    const auto bytes = [](uint32_t pages) { return uint64_t{pages} * page_size(); };
    const Range range{static_cast<uintptr_t>(info.pri_address),
                      static_cast<uintptr_t>(info.pri_address + info.pri_size)};
    visit(context, {range, bytes(info.pri_pages_resident), bytes(info.pri_pages_dirtied),
                    bytes(info.pri_pages_swapped_out), kUnknown});
    return true;
  });
}

Status usage_of_pages(pid_t, Usage*, size_t) { return {ENOTSUP, "mincore"}; }

namespace {

uintptr_t stack_pointer_of(thread_act_t thread) {
#if defined(__arm64__)
  arm_thread_state64_t state{};
  mach_msg_type_number_t count = ARM_THREAD_STATE64_COUNT;
  const auto flavor = ARM_THREAD_STATE64;
#else
  x86_thread_state64_t state{};
  mach_msg_type_number_t count = x86_THREAD_STATE64_COUNT;
  const auto flavor = x86_THREAD_STATE64;
#endif
  const kern_return_t got =
      thread_get_state(thread, flavor, reinterpret_cast<thread_state_t>(&state), &count);
  if (got != KERN_SUCCESS) return 0;
#if defined(__arm64__)
  return static_cast<uintptr_t>(arm_thread_state64_get_sp(state));
#else
  return static_cast<uintptr_t>(state.__rsp);
#endif
}

int number_of(thread_act_t thread) {
  thread_identifier_info_data_t info{};
  mach_msg_type_number_t count = THREAD_IDENTIFIER_INFO_COUNT;
  const kern_return_t got =
      thread_info(thread, THREAD_IDENTIFIER_INFO, reinterpret_cast<thread_info_t>(&info), &count);
  return got == KERN_SUCCESS ? static_cast<int>(info.thread_id) : 0;
}

}  // namespace

Status thread_stacks(pid_t pid, ThreadVisitor visit, void* context) {
  if (pid != 0) return {ENOTSUP, "task_threads"};
  thread_act_array_t threads = nullptr;
  mach_msg_type_number_t count = 0;
  if (task_threads(mach_task_self(), &threads, &count) != KERN_SUCCESS) {
    return {EPERM, "task_threads"};
  }
  for (mach_msg_type_number_t i = 0; i < count; ++i) {
    visit(context, {number_of(threads[i]), stack_pointer_of(threads[i])});
    mach_port_deallocate(mach_task_self(), threads[i]);
  }
  mach_vm_deallocate(mach_task_self(), reinterpret_cast<mach_vm_address_t>(threads),
                     count * sizeof *threads);
  return {};
}

Result<size_t> program_path(pid_t pid, char* path, size_t size) {
  const int got = proc_pidpath(pid == 0 ? getpid() : pid, path, static_cast<uint32_t>(size));
  if (got <= 0) return {0, errno, "proc_pidpath"};
  return {static_cast<size_t>(got)};
}

// The first 4 GiB of a 64-bit program are its __PAGEZERO.
uintptr_t lowest_address() { return uintptr_t{1} << 32; }

}  // namespace memmap::sys
