// The guarded ranges, in a form that a signal handler can read and mark. Must not know Node-API.
//
//   Watch   one guarded range of pages, and whose turn it is to change what lies there
//   Damage  what the handler did in it, made at the first fault: a byte for each page, the records
//           that JavaScript has not seen yet, and what gives the pages back
//
// A Watch is never freed, only used again, so that a handler may hold a stale one: it takes the
// turn, and then looks at the range once more. Who has the turn may change pages and Damage. A
// handler never waits for it: it returns, and the instruction faults again. Whoever holds the lock
// of Claims waits for a handler, which is a few system calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "sys/sys.h"

namespace memmap {

struct Inbox;  // inbox.h

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

struct Damage {
  static constexpr size_t kOwnEntries = 28;
  static constexpr size_t kEntries = kOwnEntries + 4;  // and one for the rest of each kind
  static constexpr size_t kPath = 1024;

  Range pages;   // that the states are of
  size_t bytes;  // of this block itself
  size_t unit;   // the page size of what is mapped
  bool shared;
  bool anonymous;        // no file is behind it
  uint64_t file_offset;  // of the first byte of `pages`
  uintptr_t anchor;      // shared: one more page of the file, that of anchor_of. 0: none
  uintptr_t anchor_of;
  uintptr_t shadow;  // private: a reservation as long as `pages`, for what was moved away
  size_t islands;    // pages that were mended one by one
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

struct Watch {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<uint32_t> turn{0};
  std::atomic<int> protection{kMixedProtection};
  std::atomic<bool> anonymous{false};
  std::atomic<Inbox*> inbox{nullptr};
  std::atomic<Damage*> damage{nullptr};
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

namespace watches {

// For the handler.
Watch* find(uintptr_t address);
bool take_turn(Watch& watch);
void end_turn(Watch& watch);

// The rest needs the lock of Claims.

// Null when there is no memory for it.
struct Guarded {
  Range pages;
  int protection;
  bool anonymous;
  Inbox* inbox;
};
Watch* add(const Guarded& guarded);
// Keeps handlers out, until open(). Doing it again does nothing.
void close(Watch& watch);
void open(Watch& watch);
// What is mapped there is another thing from here on: the damage is forgotten.
void reset(Watch& watch, int protection);
// It is longer or shorter now. The watch is closed and has no damage.
void reshape(Watch& watch, Range pages);
// The range is no longer guarded; null is taken. The pages are not touched.
void release(Watch* watch);
// [address, end) gets a watch of its own. The damage stays with the lower one.
Watch* split(Watch* watch, uintptr_t address);
void forget_damage(Watch& watch);

void each(void (*visit)(void* context, Watch& watch), void* context);
// A forked child has only the thread that forked.
void end_all_turns();

// Closes some watches for as long as it lives. One that is released meanwhile is left alone.
class Closed {
 public:
  Closed();
  Closed(const Closed&) = delete;
  Closed& operator=(const Closed&) = delete;
  ~Closed();
  void add(Watch* watch);
  // A part of a closed watch is closed as well, for as long as the last Closed that was made lives.
  static void inherit(Watch* part);

 private:
  static Closed* innermost;
  Closed* outer_;
  std::vector<Watch*> watches_;
};

}  // namespace watches
}  // namespace memmap
