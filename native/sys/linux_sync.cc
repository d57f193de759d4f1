// Futexes and robust lists. The bare calls: no C library has these. Never FUTEX_PRIVATE_FLAG: the
// words are other processes' too.
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <limits>

#include "sys/sync.h"

namespace memmap::sys {

namespace {

constexpr long kFutexWaitv = 449;  // 5.16, the same number everywhere
constexpr uint32_t kSize32 = 2;    // FUTEX_32 of futex_waitv
constexpr uint64_t kSecond = 1'000'000'000;

constexpr const char* kGetList = "get_robust_list";
constexpr const char* kSetList = "set_robust_list";

struct FutexWaitv {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};

// The head as the kernel defines it, <linux/futex.h>'s robust_list_head.
struct Head {
  uintptr_t list;
  long futex_offset;
  uintptr_t pending;
};

// MEMMAP_DENY=futex_waitv, robust_list: see linux.cc.
bool denied(const char* facility) {
  const char* list = getenv("MEMMAP_DENY");
  return list != nullptr && strstr(list, facility) != nullptr;
}

// musl registers a thread's list with the first robust mutex that the thread takes.
void make_library_register() {
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  if (pthread_mutexattr_init(&attributes) != 0) return;
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (pthread_mutex_init(&mutex, &attributes) == 0) {
    if (pthread_mutex_lock(&mutex) == 0) pthread_mutex_unlock(&mutex);
    pthread_mutex_destroy(&mutex);
  }
  pthread_mutexattr_destroy(&attributes);
}

// Null: the thread has none. An error says nothing of that: what there is must stay.
Result<Head*> registered() {
  Head* head = nullptr;
  size_t size = 0;
  if (syscall(SYS_get_robust_list, 0, &head, &size) != 0) return {nullptr, ENOTSUP, kGetList};
  if (head != nullptr && size != sizeof(Head)) return {nullptr, ENOTSUP, kGetList};
  return {head};
}

// Where the word lies from musl's nodes. Only for threads that no C library has made a list for.
// Never freed: the kernel reads it when the thread has gone.
constexpr long kOwnOffset = -28;
Result<Head*> register_own() {
  auto* own = static_cast<Head*>(malloc(sizeof(Head)));
  if (own == nullptr) return {nullptr, ENOMEM, kSetList};
  *own = {reinterpret_cast<uintptr_t>(own), kOwnOffset, 0};
  if (syscall(SYS_set_robust_list, own, sizeof *own) == 0) return {own};
  free(own);
  return {nullptr, ENOTSUP, kSetList};
}

}  // namespace

Status futex_wait(const uint32_t* word, uint32_t value, uint64_t nanoseconds) {
  const timespec limit{static_cast<time_t>(nanoseconds / kSecond),
                       static_cast<long>(nanoseconds % kSecond)};
  if (syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, nullptr, 0) == 0) return {};
  return errno == EINTR ? Status{} : Status{errno, "futex"};
}

Status futex_check(const uint32_t* word, uint32_t value) {
  // Wakes none and moves none, if the value is that. A wait of no time at all takes 50
  // microseconds, as much as any timer may be late.
  constexpr long kNone = 0;
  if (syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, kNone, kNone, word, value) >= 0) return {};
  return {errno, "futex"};
}

Result<size_t> futex_wake(const uint32_t* word, size_t count) {
  constexpr size_t kAll = std::numeric_limits<int>::max();
  const long woken =
      syscall(SYS_futex, word, FUTEX_WAKE, count < kAll ? count : kAll, nullptr, nullptr, 0);
  if (woken < 0) return {0, errno, "futex"};
  return {static_cast<size_t>(woken)};
}

Result<size_t> futex_wait_any(const WaitWord* words, size_t count) {
  static const bool missing = denied("futex_waitv");
  if (missing) return {0, ENOSYS, "futex_waitv"};
  FutexWaitv list[kMostWaitWords];
  if (count > kMostWaitWords) return {0, EINVAL, "futex_waitv"};
  for (size_t i = 0; i < count; ++i) {
    list[i] = {words[i].value, reinterpret_cast<uintptr_t>(words[i].word), kSize32, 0};
  }
  for (;;) {
    const long woken = syscall(kFutexWaitv, list, count, 0, nullptr, 0);
    if (woken >= 0) return {static_cast<size_t>(woken)};
    if (errno != EINTR) return {0, errno, "futex_waitv"};
  }
}

Result<RobustList> robust_list() {
  static const bool none = denied("robust_list");
  Result<Head*> head{nullptr};
  if (!none) head = registered();
  if (!none && head.ok() && head.value == nullptr) {
    make_library_register();
    head = registered();
  }
  if (head.ok() && head.value == nullptr) head = register_own();
  if (!head.ok()) return {{}, head.error, head.syscall};
  return {{&head.value->list, &head.value->pending, head.value->futex_offset}};
}

uint32_t thread_number() { return static_cast<uint32_t>(syscall(SYS_gettid)); }

}  // namespace memmap::sys
