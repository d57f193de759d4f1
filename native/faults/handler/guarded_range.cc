#include "faults/handler/guarded_range.h"

#include <new>

#include "sys/signal_safe.h"

namespace memmap {

size_t Damage::zeros_from(uintptr_t address, uintptr_t end) {
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

Range Damage::next_run(Range range, size_t most) {
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

namespace watches {

namespace {

enum Turn : uint32_t { kNobody, kHandler, kOwner };

struct Chunk {
  static constexpr size_t kCount = 256;
  Watch watches[kCount];
  std::atomic<Chunk*> next{nullptr};
};

std::atomic<Chunk*> first_chunk{nullptr};

// What was found last: a loop over a truncated file faults at page after page of one mapping.
std::atomic<Watch*> recent{nullptr};

// Guarded by the lock of Claims, and like it never destroyed.
std::vector<Watch*>& unused() {
  static auto* const list = new std::vector<Watch*>();
  return *list;
}

bool more() {
  Chunk* chunk = new (std::nothrow) Chunk();
  if (chunk == nullptr) return false;
  for (Watch& watch : chunk->watches) unused().push_back(&watch);
  chunk->next = first_chunk.load();
  first_chunk = chunk;
  return true;
}

}  // namespace

Watch* find(uintptr_t address) {
  Watch* last = recent.load();
  if (last != nullptr && last->pages().contains(address)) return last;
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (Watch& watch : chunk->watches) {
      if (!watch.pages().contains(address)) continue;
      recent = &watch;
      return &watch;
    }
  }
  return nullptr;
}

bool take_turn(Watch& watch) {
  uint32_t nobody = kNobody;
  return watch.turn.compare_exchange_strong(nobody, kHandler);
}

void end_turn(Watch& watch) { watch.turn = kNobody; }

void close(Watch& watch) {
  if (watch.turn.load() == kOwner) return;
  for (;;) {
    uint32_t nobody = kNobody;
    if (watch.turn.compare_exchange_strong(nobody, kOwner)) return;
    sys::in_signal::rest();
  }
}

void open(Watch& watch) { watch.turn = kNobody; }

Watch* add(const Guarded& guarded) {
  if (unused().empty() && !more()) return nullptr;
  Watch* watch = unused().back();
  unused().pop_back();
  // A handler that looks in between sees any two of four ends; under its own turn, the right ones.
  close(*watch);
  watch->protection = guarded.protection;
  watch->anonymous = guarded.anonymous;
  watch->inbox = guarded.inbox;
  watch->idle = 0;
  watch->late = false;
  watch->opened_begin = 0;
  watch->opened_end = 0;
  watch->begin = guarded.pages.begin;
  watch->end = guarded.pages.end;
  open(*watch);
  return watch;
}

void forget_damage(Watch& watch) {
  Damage* damage = watch.damage.exchange(nullptr);
  if (damage == nullptr) return;
  using sys::in_signal::unmap;
  if (damage->anchor != 0) unmap({damage->anchor, damage->anchor + damage->unit});
  if (damage->shadow != 0) unmap({damage->shadow, damage->shadow + damage->pages.size()});
  const auto begin = reinterpret_cast<uintptr_t>(damage);
  unmap({begin, begin + damage->bytes});
}

void reset(Watch& watch, int protection) {
  forget_damage(watch);
  watch.protection = protection;
}

void reshape(Watch& watch, Range pages) {
  forget_damage(watch);
  watch.begin = pages.begin;
  watch.end = pages.end;
}

void release(Watch* watch) {
  if (watch == nullptr) return;
  close(*watch);
  forget_damage(*watch);
  watch->inbox = nullptr;
  watch->end = 0;
  watch->begin = 0;
  open(*watch);
  unused().push_back(watch);
}

Watch* split(Watch* watch, uintptr_t address) {
  if (watch == nullptr) return nullptr;
  const Range upper{address, watch->end.load()};
  Watch* added =
      add({upper, watch->protection.load(), watch->anonymous.load(), watch->inbox.load()});
  added->late = watch->late.load();
  added->opened_begin = watch->opened_begin.load();
  added->opened_end = watch->opened_end.load();
  // Both hold the upper part for a moment, so that it is never without a guard.
  const bool closed = watch->turn.load() == kOwner;
  if (closed) Closed::inherit(added);
  close(*watch);
  watch->end = address;
  if (!closed) open(*watch);
  return added;
}

void each(void (*visit)(void* context, Watch& watch), void* context) {
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (Watch& watch : chunk->watches) {
      if (!watch.pages().empty()) visit(context, watch);
    }
  }
}

void end_all_turns() {
  for (Chunk* chunk = first_chunk.load(); chunk != nullptr; chunk = chunk->next.load()) {
    for (Watch& watch : chunk->watches) {
      if (watch.turn.load() != kNobody) watch.turn = kNobody;
    }
  }
}

// Guarded by the lock of Claims, under which every Closed lives.
Closed* Closed::innermost = nullptr;

Closed::Closed() : outer_(innermost) { innermost = this; }

void Closed::inherit(Watch* part) {
  if (innermost != nullptr) innermost->add(part);
}

Closed::~Closed() {
  innermost = outer_;
  for (Watch* watch : watches_) {
    if (watch->turn.load() == kOwner) open(*watch);
  }
}

void Closed::add(Watch* watch) {
  if (watch == nullptr || watch->turn.load() == kOwner) return;
  close(*watch);
  watches_.push_back(watch);
}

}  // namespace watches
}  // namespace memmap
