#include "interpose/process.h"

namespace memmap::interpose::process {

namespace {

constexpr int kWipeOnFork = 18;  // MADV_WIPEONFORK, 4.14

// Zeroed by the kernel in every forked child, however it was forked: what was held in the parent is
// free there, and the child knows that it is one. Children are let alone until they execve.
struct Here {
  std::atomic<uint32_t> alive;
  Lock lock;
};
Here* here = nullptr;
bool wiped = false;

// In the first block that the loader gives every thread: no allocation, no destructor.
__thread uint32_t cached_thread = 0;

}  // namespace

void* own_memory(size_t length) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const long at = syscalls::mmap(0, length, PROT_READ | PROT_WRITE, flags, -1, 0);
  return syscalls::failed(at) ? nullptr : reinterpret_cast<void*>(at);
}

bool prepare(size_t page) {
  here = static_cast<Here*>(own_memory(page));
  if (here == nullptr) return false;
  wiped =
      !syscalls::failed(syscalls::madvise(reinterpret_cast<uintptr_t>(here), page, kWipeOnFork));
  here->alive = 1;
  return true;
}

bool is_original(uint32_t pid) {
  return wiped ? here->alive.load(std::memory_order_relaxed) != 0 : syscalls::getpid() == pid;
}

const void* fork_page() { return here; }

uint32_t thread_id() {
  if (cached_thread == 0) cached_thread = syscalls::gettid();
  return cached_thread;
}

Lock* lock() { return here == nullptr ? nullptr : &here->lock; }

}  // namespace memmap::interpose::process
