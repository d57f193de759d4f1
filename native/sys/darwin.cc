// What only macOS has, on top of posix.cc. Written from the XNU sources and Apple's headers;
// compiled and run on no Mac yet (docs/platforms.md says so).
#include <errno.h>
#include <fcntl.h>
#include <mach/mach.h>
#include <mach/mach_vm.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

namespace memmap::sys {

namespace {

int errno_of(kern_return_t result) {
  switch (result) {
    case KERN_SUCCESS:
      return 0;
    case KERN_NO_SPACE:
      return EEXIST;
    case KERN_INVALID_ADDRESS:
      return EFAULT;
    case KERN_PROTECTION_FAILURE:
      return EACCES;
    case KERN_RESOURCE_SHORTAGE:
      return ENOMEM;
    default:
      return EINVAL;
  }
}

}  // namespace

const Capabilities& capabilities() {
  static const Capabilities found{true, false, true, true};
  return found;
}

Result<uintptr_t> map_exclusive(uintptr_t at, size_t length, int protection, int flags, int fd,
                                uint64_t offset) {
  // Reserve without overwriting, then map over our own reservation: no race in between.
  mach_vm_address_t address = at;
  const kern_return_t reserved =
      mach_vm_allocate(mach_task_self(), &address, length, VM_FLAGS_FIXED);
  if (reserved != KERN_SUCCESS) return {0, errno_of(reserved), "mach_vm_allocate"};
  void* mapped = mmap(reinterpret_cast<void*>(at), length, protection, flags | MAP_FIXED, fd,
                      static_cast<off_t>(offset));
  if (mapped != MAP_FAILED) return {at};
  const int error = errno;
  mach_vm_deallocate(mach_task_self(), address, length);
  return {0, error, "mmap"};
}

bool uses_huge_pages(int) { return false; }

Status move(Range from, uintptr_t to) {
  mach_vm_address_t target = to;
  vm_prot_t current = VM_PROT_NONE;
  vm_prot_t maximum = VM_PROT_NONE;
  const kern_return_t moved =
      mach_vm_remap(mach_task_self(), &target, from.size(), 0, VM_FLAGS_FIXED | VM_FLAGS_OVERWRITE,
                    mach_task_self(), from.begin, FALSE, &current, &maximum, VM_INHERIT_NONE);
  if (moved != KERN_SUCCESS) return {errno_of(moved), "mach_vm_remap"};
  return unmap(from);
}

Result<uintptr_t> remap(uintptr_t, size_t, size_t, int, uintptr_t) {
  return {0, ENOTSUP, "mremap"};
}

Status residency(Range pages, uint8_t* states) {
  const int result = mincore(pages.data(), pages.size(), reinterpret_cast<char*>(states));
  return result == 0 ? Status{} : Status{errno, "mincore"};
}

Status keep_from_children(Range pages) {
  return minherit(pages.data(), pages.size(), VM_INHERIT_NONE) == 0 ? Status{}
                                                                    : Status{errno, "minherit"};
}

Status populate(Range pages, bool write) {
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

Result<size_t> copy(void* to, const void* from, size_t length, bool) {
  mach_vm_size_t copied = 0;
  const kern_return_t result =
      mach_vm_read_overwrite(mach_task_self(), reinterpret_cast<mach_vm_address_t>(from), length,
                             reinterpret_cast<mach_vm_address_t>(to), &copied);
  if (result != KERN_SUCCESS) return {0, EFAULT, "mach_vm_read_overwrite"};
  return {static_cast<size_t>(copied)};
}

bool copy_page(void*, const void*, size_t, bool) { return false; }

Status regions(Range range, RegionVisitor visit, void* context) {
  mach_vm_address_t at = range.begin;
  while (at < range.end) {
    mach_vm_size_t size = 0;
    natural_t depth = 64;
    vm_region_submap_info_data_64_t info{};
    mach_msg_type_number_t count = VM_REGION_SUBMAP_INFO_COUNT_64;
    const kern_return_t result =
        mach_vm_region_recurse(mach_task_self(), &at, &size, &depth,
                               reinterpret_cast<vm_region_recurse_info_t>(&info), &count);
    if (result == KERN_INVALID_ADDRESS) return {};
    if (result != KERN_SUCCESS) return {errno_of(result), "mach_vm_region_recurse"};
    if (at >= range.end) return {};
    int protection = 0;
    if (info.protection & VM_PROT_READ) protection |= PROT_READ;
    if (info.protection & VM_PROT_WRITE) protection |= PROT_WRITE;
    if (info.protection & VM_PROT_EXECUTE) protection |= PROT_EXEC;
    const bool shared = info.share_mode == SM_SHARED || info.share_mode == SM_TRUESHARED;
    const Region region{{static_cast<uintptr_t>(at), static_cast<uintptr_t>(at + size)},
                        protection,
                        shared,
                        info.offset,
                        0};
    if (!visit(context, region)) return {};
    at += size;
  }
  return {};
}

Result<size_t> count_regions() {
  size_t count = 0;
  const auto visit = [](void* context, const Region&) {
    ++*static_cast<size_t*>(context);
    return true;
  };
  const Status listed = regions({0, UINTPTR_MAX}, visit, &count);
  return {count, listed.error, listed.syscall};
}

size_t region_limit() { return 0; }

Result<FileStatus> file_status(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {{}, errno, "fstat"};
  return {{static_cast<uint64_t>(found.st_size), static_cast<uint64_t>(found.st_dev), found.st_ino,
           S_ISREG(found.st_mode), false, false}};
}

Status allocate_file(int fd, uint64_t size) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {errno, "fstat"};
  const off_t wanted = static_cast<off_t>(size) - found.st_size;
  if (wanted > 0) {
    fstore_t store{F_ALLOCATEALL, F_PEOFPOSMODE, 0, wanted, 0};
    if (fcntl(fd, F_PREALLOCATE, &store) != 0) return {errno, "fcntl"};
    return resize_file(fd, size);
  }
  return {};
}

}  // namespace memmap::sys
