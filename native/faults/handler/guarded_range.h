// The guarded ranges, in a form that a signal handler can read and mark. Must not know Node-API.
//
//   GuardedRange  the pages, and a lock on who may change what lies there
//   FaultState    what the handler did in it, made at the first fault: a byte for each page, the
//                 records that JavaScript has not seen yet, and what gives the pages back
//
// A GuardedRange is never freed, only used again, so that a handler may hold a stale one: it takes
// the lock, and then looks at the range once more. The holder may change pages and FaultState. A
// handler never waits for it: it returns, and the instruction faults again. Whoever holds the lock
// of OwnedRanges waits for a handler, which is a few system calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "sys/signal_safe.h"

namespace memmap {

struct Notifier;  // notification.h

enum class FaultKind : uint8_t { kNone, kTruncated, kNoSpace, kIoError, kReadOnly };

// What lies at a page of a damaged range. Zero: what was mapped there.
struct PageState {
  uint8_t bits = 0;

  static constexpr uint8_t kKind = 7;
  static constexpr uint8_t kStray = 0x40;   // also written to, although it is read-only
  static constexpr uint8_t kCopied = 0x80;  // a copy of what the page showed, not zeros

  static PageState make(FaultKind kind, int protection, bool copied) {
    return {static_cast<uint8_t>(static_cast<uint8_t>(kind) | ((protection & 7) << 3) |
                                 (copied ? kCopied : 0))};
  }
  [[nodiscard]] FaultKind kind() const { return static_cast<FaultKind>(bits & kKind); }
  [[nodiscard]] int protection() const { return (bits >> 3) & 7; }
  [[nodiscard]] bool stray() const { return (bits & kStray) != 0; }
  [[nodiscard]] bool copied() const { return (bits & kCopied) != 0; }
  // The mapped bytes are gone or unreachable, and what is written cannot reach them.
  [[nodiscard]] bool lost() const {
    return kind() != FaultKind::kNone && kind() != FaultKind::kReadOnly;
  }
};
static_assert(sizeof(PageState) == 1);

struct FaultEntry {
  FaultKind kind;
  int signal;
  int thread;
  uintptr_t address;  // of the first page
  uint64_t offset;    // of it in the file
  uint64_t length;
  uint64_t count;
  uint64_t unix_ms;
};

struct FaultState {
  static constexpr size_t kOwnEntries = 28;
  static constexpr size_t kEntries = kOwnEntries + 4;  // and one for the rest of each kind
  static constexpr size_t kPath = 1024;

  Range pages;   // that the states are of
  size_t bytes;  // of this block itself
  size_t unit;   // the page size of what is mapped
  bool shared;
  bool anonymous;              // no file is behind it
  uint64_t file_offset;        // of the first byte of `pages`
  uintptr_t recovery_mapping;  // shared: one more page of the file, that of anchor_of. 0: none
  uintptr_t recovery_page;
  uintptr_t shadow;  // private: a reservation as long as `pages`, for what was moved away
  size_t fragments;  // pages that were fixed up one by one
  uint64_t device;   // of the file that `path` was the name of; only if it is not ""
  uint64_t inode;
  std::atomic<uintptr_t> first;  // what is damaged lies between these; empty when nothing is
  std::atomic<uintptr_t> last;
  std::atomic<uint32_t> entry_count;
  FaultEntry entries[kEntries];
  char path[kPath];
  char found_path[kPath];          // where a name is read into before it is believed
  std::atomic<uint8_t> states[1];  // a byte for each page of the system's size

  [[nodiscard]] std::atomic<uint8_t>& state_at(uintptr_t address) {
    return states[(address - pages.begin) / sys::page_size()];
  }
  [[nodiscard]] PageState state_of(uintptr_t address) { return {state_at(address).load()}; }
  void set_states(Range range, PageState state) {
    for (uintptr_t at = range.begin; at < range.end; at += sys::page_size()) {
      state_at(at).store(state.bits);
    }
  }
  // Pages [begin, end) that touch `range` and share one state that is not zero; empty: no more.
  [[nodiscard]] Range next_run(Range range, size_t most);

 private:
  // At least so many pages after that of `address`, below `end`, are not damaged.
  size_t zeros_from(uintptr_t address, uintptr_t end);
};

constexpr int kMixedProtection = -1;

struct GuardedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<uint32_t> lock_state{0};
  std::atomic<int> protection{kMixedProtection};
  std::atomic<bool> anonymous{false};
  std::atomic<Notifier*> notifier{nullptr};
  std::atomic<FaultState*> fault_state{nullptr};
  std::atomic<uint32_t> idle{0};     // times that a handler found nothing to do, in a row
  std::atomic<uint64_t> idle_ms{0};  // when the last of them was
  // Native code may still be at work on a view of these pages, which were made inaccessible since:
  // the handler makes those that it meets accessible again.
  std::atomic<bool> late{false};
  std::atomic<uintptr_t> opened_begin{0};  // the pages that it did so to lie between these
  std::atomic<uintptr_t> opened_end{0};

  [[nodiscard]] Range pages() const { return {begin.load(), end.load()}; }
  [[nodiscard]] Range opened() const { return {opened_begin.load(), opened_end.load()}; }
};

namespace guarded_ranges {

// For the handler.
GuardedRange* find(uintptr_t address);
bool try_lock(GuardedRange& guard);
void unlock(GuardedRange& guard);

// The rest needs the lock of OwnedRanges.

// Null when there is no memory for it.
struct GuardRequest {
  Range pages;
  int protection;
  bool anonymous;
  Notifier* notifier;
};
GuardedRange* add(const GuardRequest& guarded);
// Keeps handlers out, until unlock(). Doing it again does nothing.
void lock(GuardedRange& guard);
// What is mapped there is another thing from here on: the damage is forgotten.
void reset(GuardedRange& guard, int protection);
// It is longer or shorter now. The range is locked and has no damage.
void resize(GuardedRange& guard, Range pages);
// The range is no longer guarded; null is taken. The pages are not touched.
void release(GuardedRange* guard);
// [address, end) gets a guarded range of its own. The damage stays with the lower one.
GuardedRange* split(GuardedRange* guard, uintptr_t address);
void discard_fault_state(GuardedRange& guard);

void each(void (*visit)(void* context, GuardedRange& guard), void* context);
// A forked child has only the thread that forked.
void unlock_all();

// Holds the locks of some guarded ranges for as long as it lives. One that is released meanwhile
// is left alone.
class ScopedRangeLock {
 public:
  ScopedRangeLock();
  ScopedRangeLock(const ScopedRangeLock&) = delete;
  ScopedRangeLock& operator=(const ScopedRangeLock&) = delete;
  ~ScopedRangeLock();
  void add(GuardedRange* guard);
  // A part of a locked guarded range is locked as well, for as long as the last ScopedRangeLock
  // that was made lives.
  static void inherit(GuardedRange* part);

 private:
  static ScopedRangeLock* innermost;
  ScopedRangeLock* outer_;
  std::vector<GuardedRange*> locked_;
};

}  // namespace guarded_ranges
}  // namespace memmap
