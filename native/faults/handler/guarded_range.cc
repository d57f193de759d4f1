#include "faults/handler/guarded_range.h"

#include <new>

#include "sys/signal_safe.h"

namespace memmap {

size_t FaultState::zeros_from(uintptr_t address, uintptr_t end) {
  const size_t index = (address - pages.begin) / sys::page_size();
  const size_t left = (end - address) / sys::page_size();
  size_t skipped = 0;
  const auto* at = reinterpret_cast<const uint8_t*>(&states[index + 1]);
  while (skipped + 1 < left && (reinterpret_cast<uintptr_t>(at) % sizeof(uint64_t)) != 0) {
    if (__atomic_load_n(at, __ATOMIC_RELAXED) != 0) return skipped;
    ++at;
    ++skipped;
  }
  for (; skipped + sizeof(uint64_t) < left; skipped += sizeof(uint64_t), at += sizeof(uint64_t)) {
    if (__atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_RELAXED) != 0) break;
  }
  return skipped;
}

Range FaultState::next_run(Range range, size_t most) {
  const size_t page = sys::page_size();
  const Range within = range.intersect({first.load(), last.load()});
  for (uintptr_t at = within.begin; at < within.end; at += page) {
    const uint8_t state = state_of(at).bits;
    if (state == 0) {
      at += zeros_from(at, within.end) * page;
      continue;
    }
    uintptr_t end = at + page;
    while (end < within.end && end - at < most && state_of(end).bits == state) end += page;
    return {at, end};
  }
  return {};
}

namespace guarded_ranges {

namespace {

enum LockState : uint32_t { kUnlocked, kLockedByHandler, kLockedByOwner };

struct Chunk {
  static constexpr size_t kCount = 256;
  GuardedRange ranges[kCount];
  std::atomic<Chunk*> next{nullptr};
};

std::atomic<Chunk*> first_chunk{nullptr};

// What was found last: a loop over a truncated file faults at page after page of one mapping.
std::atomic<GuardedRange*> recent{nullptr};

// Guarded by the lock of OwnedRanges, and like it never destroyed.
std::vector<GuardedRange*>& unused() {
  static auto* const list = new std::vector<GuardedRange*>();
  return *list;
}

bool more() {
  Chunk* chunk = new (std::nothrow) Chunk();
  if (chunk == nullptr) return false;
  for (GuardedRange& guard : chunk->ranges) unused().push_back(&guard);
  chunk->next = first_chunk.load();
  first_chunk = chunk;
  return true;
}

}  // namespace

GuardedRange* find(uintptr_t address) {
  GuardedRange* last = recent.load();
  if (last != nullptr && last->pages().contains(address)) return last;
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (GuardedRange& guard : chunk->ranges) {
      if (!guard.pages().contains(address)) continue;
      recent = &guard;
      return &guard;
    }
  }
  return nullptr;
}

bool try_lock(GuardedRange& guard) {
  uint32_t expected = kUnlocked;
  return guard.lock_state.compare_exchange_strong(expected, kLockedByHandler);
}

void unlock(GuardedRange& guard) { guard.lock_state = kUnlocked; }

void lock(GuardedRange& guard) {
  if (guard.lock_state.load() == kLockedByOwner) return;
  for (;;) {
    uint32_t expected = kUnlocked;
    if (guard.lock_state.compare_exchange_strong(expected, kLockedByOwner)) return;
    sys::signal_safe::yield();
  }
}

GuardedRange* add(const GuardRequest& guarded) {
  if (unused().empty() && !more()) return nullptr;
  GuardedRange* guard = unused().back();
  unused().pop_back();
  // A handler that looks in between sees any two of four ends; under its own lock, the right ones.
  lock(*guard);
  guard->protection = guarded.protection;
  guard->anonymous = guarded.anonymous;
  guard->notifier = guarded.notifier;
  guard->idle = 0;
  guard->late = false;
  guard->opened_begin = 0;
  guard->opened_end = 0;
  guard->begin = guarded.pages.begin;
  guard->end = guarded.pages.end;
  unlock(*guard);
  return guard;
}

void discard_fault_state(GuardedRange& guard) {
  FaultState* fault_state = guard.fault_state.exchange(nullptr);
  if (fault_state == nullptr) return;
  using sys::signal_safe::unmap;
  if (fault_state->recovery_mapping != 0)
    unmap({fault_state->recovery_mapping, fault_state->recovery_mapping + fault_state->unit});
  if (fault_state->shadow != 0)
    unmap({fault_state->shadow, fault_state->shadow + fault_state->pages.size()});
  const auto begin = reinterpret_cast<uintptr_t>(fault_state);
  unmap({begin, begin + fault_state->bytes});
}

void reset(GuardedRange& guard, int protection) {
  discard_fault_state(guard);
  guard.protection = protection;
}

void resize(GuardedRange& guard, Range pages) {
  discard_fault_state(guard);
  guard.begin = pages.begin;
  guard.end = pages.end;
}

void release(GuardedRange* guard) {
  if (guard == nullptr) return;
  lock(*guard);
  discard_fault_state(*guard);
  guard->notifier = nullptr;
  guard->end = 0;
  guard->begin = 0;
  unlock(*guard);
  unused().push_back(guard);
}

GuardedRange* split(GuardedRange* guard, uintptr_t address) {
  if (guard == nullptr) return nullptr;
  const Range upper{address, guard->end.load()};
  GuardedRange* added =
      add({upper, guard->protection.load(), guard->anonymous.load(), guard->notifier.load()});
  added->late = guard->late.load();
  added->opened_begin = guard->opened_begin.load();
  added->opened_end = guard->opened_end.load();
  // Both hold the upper part for a moment, so that it is never without a guard.
  const bool locked = guard->lock_state.load() == kLockedByOwner;
  if (locked) ScopedRangeLock::inherit(added);
  lock(*guard);
  guard->end = address;
  if (!locked) unlock(*guard);
  return added;
}

void each(void (*visit)(void* context, GuardedRange& guard), void* context) {
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (GuardedRange& guard : chunk->ranges) {
      if (!guard.pages().empty()) visit(context, guard);
    }
  }
}

void unlock_all() {
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (GuardedRange& guard : chunk->ranges) {
      if (guard.lock_state.load() != kUnlocked) guard.lock_state = kUnlocked;
    }
  }
}

// Guarded by the lock of OwnedRanges, under which every ScopedRangeLock lives.
ScopedRangeLock* ScopedRangeLock::innermost = nullptr;

ScopedRangeLock::ScopedRangeLock() : outer_(innermost) { innermost = this; }

void ScopedRangeLock::inherit(GuardedRange* part) {
  if (innermost != nullptr) innermost->add(part);
}

ScopedRangeLock::~ScopedRangeLock() {
  innermost = outer_;
  for (GuardedRange* guard : locked_) {
    if (guard->lock_state.load() == kLockedByOwner) unlock(*guard);
  }
}

void ScopedRangeLock::add(GuardedRange* guard) {
  if (guard == nullptr || guard->lock_state.load() == kLockedByOwner) return;
  lock(*guard);
  locked_.push_back(guard);
}

}  // namespace guarded_ranges
}  // namespace memmap
