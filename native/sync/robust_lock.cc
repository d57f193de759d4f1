#include "sync/robust_lock.h"

#include <errno.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "sys/sync.h"

namespace memmap::robust_lock {

namespace {

// The kernel looks at 2048 nodes (ROBUST_LIST_LIMIT); some are left to the C library.
constexpr size_t kMost = 2000;
constexpr size_t kKernelLimit = 2048;

// In the lock, from its word.
constexpr uintptr_t kOwner = 8;
constexpr uintptr_t kKind = 16;
constexpr uintptr_t kList = 20;
constexpr uintptr_t kListEnd = 40;
constexpr uintptr_t kGeneration = 40;
constexpr uintptr_t kPrevious = 8;  // before the node

// What pthread_mutex_init writes for a robust, process-shared mutex, and what glibc writes as the
// owner of one whose holder died and that nobody made consistent.
constexpr uint32_t kRobustShared = 0x90;
constexpr uint32_t kUnrecoverable = 0x7ffffffe;

// An entry of the list, as it is written: bit 0 marks glibc's priority-inheriting mutexes.
using Entry = uintptr_t;
uintptr_t node_of(Entry entry) { return entry & ~uintptr_t{1}; }

struct Held {
  uintptr_t address;
  uintptr_t node;
  const Environment* own;
  bool cannot_fault;  // touching it is no signal, whatever becomes of its file
  // What was between it and the next of ours (or the head) when it was linked: mutexes of others.
  std::vector<Entry> foreign_between;
};

std::atomic<uint32_t> forks{0};

// In the order in which they were taken; the list has the newest first.
struct Thread {
  bool ready = false;
  uint32_t fork = 0;
  uint32_t number = 0;
  sys::RobustList list;
  std::vector<Held> held;
  // While it ends: the views have gone, and with them whoever fixed up pages of a file cut short.
  bool careful = false;
};
thread_local Thread this_thread;

std::atomic<uint32_t>& word_at(uintptr_t address) {
  return *reinterpret_cast<std::atomic<uint32_t>*>(address);
}

// Memory of others, which may be gone.
template <typename Value>
bool peek(uintptr_t at, Value* value) {
  const auto got = sys::copy(value, reinterpret_cast<void*>(at), sizeof *value, true);
  return got.ok() && got.value == sizeof *value;
}
template <typename Value>
void poke(uintptr_t at, Value value) {
  static_cast<void>(sys::copy(reinterpret_cast<void*>(at), &value, sizeof value, false).ok());
}

// The kernel looks when the thread dies, between any two instructions: each of these writes is
// done before the next.
void write(uintptr_t at, uintptr_t value) {
  // Packed: a node of musl's is only aligned to 4.
  struct __attribute__((packed)) Slot {
    uintptr_t value;
  };
  std::atomic_signal_fence(std::memory_order_seq_cst);
  reinterpret_cast<volatile Slot*>(at)->value = value;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
// The same in a lock, which may lie in a file that was cut short.
void write_in(bool cannot_fault, uintptr_t at, uintptr_t value) {
  if (cannot_fault && !this_thread.careful) return write(at, value);
  poke(at, value);
}

sys::Status prepare(Thread& thread) {
  if (thread.ready && thread.fork == forks.load(std::memory_order_relaxed)) return {};
  static const int watched = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
  static_cast<void>(watched);
  // What a forked child inherits of these was its parent's.
  thread.held.clear();
  const auto list = sys::robust_list();
  if (!list.ok()) return list.status();
  // The node must lie where nothing else of a lock does.
  const auto node = static_cast<uintptr_t>(-list.value.to_word);
  if (node < kList + kPrevious || node + sizeof(uintptr_t) > kListEnd) {
    return {ENOTSUP, "get_robust_list"};
  }
  thread.list = list.value;
  thread.number = sys::thread_number();
  thread.fork = forks.load();
  thread.ready = true;
  return {};
}

uintptr_t head_of(const Thread& thread) { return reinterpret_cast<uintptr_t>(thread.list.head); }

size_t find(const Thread& thread, uintptr_t address) {
  for (size_t i = thread.held.size(); i > 0; --i) {
    if (thread.held[i - 1].address == address) return i - 1;
  }
  return thread.held.size();
}

void link(Thread& thread, Held lock) {
  const uintptr_t head = head_of(thread);
  const Entry first = *thread.list.head;
  const uintptr_t floor = thread.held.empty() ? head : thread.held.back().node;
  for (Entry entry = first;
       node_of(entry) != floor && lock.foreign_between.size() < kKernelLimit;) {
    lock.foreign_between.push_back(entry);
    if (!peek(node_of(entry), &entry)) break;
  }
  write(lock.node - kPrevious, head);
  write(lock.node, first);
  if (node_of(first) != head) {
    const bool cannot_fault = lock.foreign_between.empty() && thread.held.back().cannot_fault;
    write_in(cannot_fault, node_of(first) - kPrevious, lock.node);
  }
  *thread.list.head = lock.node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.held.push_back(std::move(lock));
}

// What follows held[i] in the list. A mutex of others that is still there points back at it.
Entry after(const Thread& thread, size_t i) {
  const Held& lock = thread.held[i];
  for (const Entry entry : lock.foreign_between) {
    uintptr_t back = 0;
    if (peek(node_of(entry) - kPrevious, &back) && back == lock.node) return entry;
  }
  return i == 0 ? head_of(thread) : thread.held[i - 1].node;
}

struct Before {
  uintptr_t node;
  bool cannot_fault;
};

// What held[i] follows in the list: the head, one of ours, or a mutex of others.
Before before(const Thread& thread, size_t i) {
  const uintptr_t node = thread.held[i].node;
  const bool newest = i + 1 == thread.held.size();
  if (!newest) {
    for (const Entry entry : thread.held[i + 1].foreign_between) {
      uintptr_t next = 0;
      if (peek(node_of(entry), &next) && node_of(next) == node) return {node_of(entry), false};
    }
    return {thread.held[i + 1].node, thread.held[i + 1].cannot_fault};
  }
  Entry entry = *thread.list.head;
  if (node_of(entry) == node) return {head_of(thread), true};
  for (size_t steps = 0; steps < kKernelLimit; ++steps) {
    uintptr_t next = 0;
    if (!peek(node_of(entry), &next)) break;
    if (node_of(next) == node) return {node_of(entry), false};
    entry = next;
  }
  // Their memory is gone or garbage: what is left of the list is ours.
  return {head_of(thread), true};
}

// Writes into its neighbours only: it may be another thread's by now.
void unlink(Thread& thread, size_t i) {
  const Entry next = after(thread, i);
  const Before previous = before(thread, i);
  if (previous.node == head_of(thread)) {
    write(previous.node, next);
  } else {
    write_in(previous.cannot_fault, previous.node, next);
  }
  if (node_of(next) != head_of(thread)) {
    const bool cannot_fault =
        i > 0 && next == thread.held[i - 1].node && thread.held[i - 1].cannot_fault;
    write_in(cannot_fault, node_of(next) - kPrevious, previous.node);
  }
  const Held& lock = thread.held[i];
  if (i + 1 < thread.held.size()) {
    std::vector<Entry>& foreign_between = thread.held[i + 1].foreign_between;
    foreign_between.insert(foreign_between.end(), lock.foreign_between.begin(),
                           lock.foreign_between.end());
  }
  thread.held.erase(thread.held.begin() + static_cast<ptrdiff_t>(i));
}

// Whether a lock that names this thread is one that it holds, maybe at another address. The number
// can be that of another PID namespace's thread, or be left in the copy of a file.
bool holds(const Thread& thread, uintptr_t address) {
  struct __attribute__((packed)) Links {
    uintptr_t previous;
    uintptr_t next;
    bool operator==(const Links&) const = default;
  };
  const uintptr_t mask = sys::page_size() - 1;
  const uintptr_t node = address - static_cast<uintptr_t>(thread.list.to_word);
  return std::any_of(thread.held.begin(), thread.held.end(), [&](const Held& lock) {
    if (lock.address == address) return true;
    Links there{};
    Links here{};
    return ((lock.address ^ address) & mask) == 0 && peek(node - kPrevious, &there) &&
           peek(lock.node - kPrevious, &here) && there == here;
  });
}

// What is left of leaving a lock that is out of the list. `old`: its word, with our number.
UnlockResult store_unlocked(const Thread& thread, uintptr_t address, uint32_t old, bool died) {
  if (thread.careful) {
    poke(address + kOwner, uint32_t{0});
    // Nobody else changes the word now, but for saying that he waits.
    old = kFutexWaiters;
    poke(address, kFutexOwnerDied | kFutexWaiters);
  } else {
    std::atomic<uint32_t>& word = word_at(address);
    word_at(address + kOwner).store(0);
    do {
      if ((old & kFutexTidMask) != thread.number) return UnlockResult::kCorrupt;
    } while (!word.compare_exchange_weak(old, died ? (old & kFutexWaiters) | kFutexOwnerDied : 0));
  }
  if ((old & kFutexWaiters) == 0) return UnlockResult::kUnlocked;
  const auto woken = sys::futex_wake(reinterpret_cast<uint32_t*>(address), 1);
  return woken.value > 0 ? UnlockResult::kWoke : UnlockResult::kUnlocked;
}

}  // namespace

sys::Result<LockResult> try_lock(Environment& own, uintptr_t address, LockOptions options) {
  Thread& thread = this_thread;
  const sys::Status ready = prepare(thread);
  if (!ready.ok()) return {LockResult::kHeld, ready.error, ready.syscall};
  if (thread.held.size() >= kMost) return {LockResult::kTooMany};
  std::atomic<uint32_t>& word = word_at(address);
  const auto node = address - static_cast<uintptr_t>(thread.list.to_word);
  const auto pending = reinterpret_cast<uintptr_t>(thread.list.pending);
  uint32_t old = word.load();
  if ((old & kFutexTidMask) != 0) {
    const bool is_own = (old & kFutexTidMask) == thread.number && holds(thread, address);
    return {is_own ? LockResult::kRelock : LockResult::kHeld};
  }
  // From here on, whatever the word says: if it is us, the kernel finds it.
  write(pending, node);
  const uint32_t waits = options.contended ? kFutexWaiters : 0;
  while (!word.compare_exchange_weak(old, thread.number | (old & kFutexWaiters) | waits)) {
    if ((old & kFutexTidMask) == 0) continue;
    write(pending, 0);
    return {LockResult::kHeld};
  }
  link(thread, {address, node, &own, options.cannot_fault, {}});
  write(pending, 0);
  const bool lost = word_at(address + kOwner).exchange(thread.number) == kUnrecoverable;
  if (word_at(address + kKind).load() == 0) word_at(address + kKind).store(kRobustShared);
  word_at(address + kGeneration).fetch_add(1);
  return {(old & kFutexOwnerDied) != 0 || lost ? LockResult::kOwnerDied : LockResult::kLocked};
}

UnlockResult unlock(uintptr_t address, bool died) {
  Thread& thread = this_thread;
  const size_t i = find(thread, address);
  if (i == thread.held.size() || !prepare(thread).ok() || i >= thread.held.size()) {
    return UnlockResult::kNotHeld;
  }
  const uintptr_t node = thread.held[i].node;
  const auto pending = reinterpret_cast<uintptr_t>(thread.list.pending);
  write(pending, node);
  uint32_t old = 0;
  if (thread.careful) {
    if (!peek(address, &old)) old = 0;
  } else {
    old = word_at(address).load();
  }
  unlink(thread, i);
  UnlockResult left = UnlockResult::kCorrupt;
  if ((old & kFutexTidMask) == thread.number) {
    const bool cannot_fault = !thread.careful;
    write_in(cannot_fault, node, 0);
    write_in(cannot_fault, node - kPrevious, 0);
    left = store_unlocked(thread, address, old, died);
  }
  write(pending, 0);
  return left;
}

// Pending, so that the kernel passes on a wake-up that is lost with a killed waiter. Not where the
// holder has this thread's number: it is of another PID namespace, and the kernel, which compares
// numbers only, would take the lock from it.
sys::Status sleep(uintptr_t address, uint32_t value, uint64_t nanoseconds) {
  Thread& thread = this_thread;
  const sys::Status ready = prepare(thread);
  if (!ready.ok()) return ready;
  auto* const word = reinterpret_cast<uint32_t*>(address);
  if ((value & kFutexTidMask) == thread.number) return sys::futex_wait(word, value, nanoseconds);
  const auto pending = reinterpret_cast<uintptr_t>(thread.list.pending);
  write(pending, address - static_cast<uintptr_t>(thread.list.to_word));
  const sys::Status slept = sys::futex_wait(word, value, nanoseconds);
  write(pending, 0);
  return slept;
}

bool any_in(Range pages) {
  const auto& held = this_thread.held;
  return std::any_of(held.begin(), held.end(),
                     [&](const Held& lock) { return pages.contains(lock.address); });
}

namespace {

template <typename Condition>
void abandon_where(Condition condition) {
  auto& held = this_thread.held;
  this_thread.careful = true;
  for (size_t i = held.size(); i > 0; --i) {
    if (condition(held[i - 1])) static_cast<void>(unlock(held[i - 1].address, true));
  }
  this_thread.careful = false;
}

}  // namespace

void abandon(Range pages) {
  abandon_where([&](const Held& lock) { return pages.contains(lock.address); });
}

void abandon(const Environment& own) {
  abandon_where([&](const Held& lock) { return lock.own == &own; });
}

}  // namespace memmap::robust_lock
