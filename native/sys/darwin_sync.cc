// Sleeping on words on macOS, 14.4 and later. Written from Apple's headers; compiled and run on no
// Mac yet (docs/platforms.md says so). XNU has no robust lists.
#include <errno.h>
#include <pthread.h>

#include "sys/sync.h"

namespace memmap::sys {

namespace {

// <os/os_sync_wait_on_address.h>, which older SDKs do not have.
constexpr uint32_t kSharedWait = 1;     // OS_SYNC_WAIT_ON_ADDRESS_SHARED
constexpr uint32_t kSharedWake = 1;     // OS_SYNC_WAKE_BY_ADDRESS_SHARED
constexpr uint32_t kMachAbsolute = 32;  // OS_CLOCK_MACH_ABSOLUTE_TIME
using Wait = int (*)(void* address, uint64_t value, size_t size, uint32_t flags, uint32_t clock,
                     uint64_t nanoseconds);
using Wake = int (*)(void* address, size_t size, uint32_t flags);

template <typename Function>
Function find(const char* name) {
  return reinterpret_cast<Function>(find_symbol(name));
}

void* writable(const uint32_t* word) { return const_cast<uint32_t*>(word); }

}  // namespace

Status futex_wait(const uint32_t* word, uint32_t value, uint64_t nanoseconds) {
  static const auto wait = find<Wait>("os_sync_wait_on_address_with_timeout");
  constexpr const char* kName = "os_sync_wait_on_address";
  if (wait == nullptr) return {ENOTSUP, kName};
  // A limit of 0 is EINVAL. It answers how many still wait, also where the value was another one.
  const uint64_t limit = nanoseconds == 0 ? 1 : nanoseconds;
  if (wait(writable(word), value, sizeof *word, kSharedWait, kMachAbsolute, limit) >= 0) return {};
  return errno == EINTR ? Status{} : Status{errno, kName};
}

Status futex_check(const uint32_t* word, uint32_t value) {
  const Status now = futex_wait(word, value, 0);
  if (now.error == ETIMEDOUT) return {};
  return now.ok() ? Status{EAGAIN, "os_sync_wait_on_address"} : now;
}

Result<size_t> futex_wake(const uint32_t* word, size_t count) {
  static const auto wake = find<Wake>("os_sync_wake_by_address_any");
  constexpr const char* kName = "os_sync_wake_by_address_any";
  if (wake == nullptr) return {0, ENOTSUP, kName};
  size_t woken = 0;
  while (woken < count && wake(writable(word), sizeof *word, kSharedWake) == 0) ++woken;
  // ENOENT: nobody waits any more.
  if (woken < count && errno != ENOENT) return {woken, errno, kName};
  return {woken};
}

Result<size_t> futex_wait_any(const WaitWord*, size_t) {
  return {0, ENOSYS, "os_sync_wait_on_address"};
}

Result<RobustList> robust_list() { return {{}, ENOTSUP, "set_robust_list"}; }

uint32_t thread_number() {
  uint64_t number = 0;
  pthread_threadid_np(nullptr, &number);
  return static_cast<uint32_t>(number);
}

}  // namespace memmap::sys
