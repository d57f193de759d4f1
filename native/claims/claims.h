// The process-wide table of address ranges that memmap owns, whoever of its threads made them.
// Must not know Node-API or call the kernel: it says what is whose, others act on it.
//
//   begin -> { [begin, end), environment, owner, state, views }    sorted, never overlapping
//
// What is not in the table is unknown, never free: only the kernel can say free.
//
//   reserve:  |==========================================|    ours until it is released
//   ranges:   | vacant | placed | vacant  | placed | vac |    what lies in it now
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "base/range.h"
#include "faults/handler/guarded_range.h"

namespace memmap {

struct Environment;  // environment.h
struct View;         // array_buffer.h

enum class State : uint8_t {
  kMapped,
  kAbandoned,    // its Mapping was collected; a backing store of it may still be alive
  kRetired,      // unmapped for its owner: zero pages, kept while a held view may still read them
  kQuarantined,  // the same, waiting only for its time
};

struct OwnedRange {
  Range pages;
  const void* environment = nullptr;  // null once retired or abandoned
  double owner = 0;                   // the record's id in that environment
  State state = State::kMapped;
  bool discardable = false;  // private, anonymous, read-write all over: MADV_DONTNEED makes it zero
  bool recyclable = false;   // just what mapAnonymous() makes, with nothing changed since
  bool exposed = false;      // an ArrayBuffer over it was handed out at some time
  bool guarded = false;      // faults under its views are fixed up
  bool anonymous = false;    // no file is behind it
  bool shared = false;       // other processes may have it, too
  bool cannot_fault = false;       // it cannot fault while it is writable
  bool vacant = false;             // a reserve's own: inaccessible, nothing is in it
  bool has_stale_readers = false;  // native code may read it through an older view
  int protection = kMixedProtection;
  uint64_t ticket = 0;            // kQuarantined: which entry of the queue is its
  Range guard_hole;               // advice made some of these unreadable; only trying tells which
  GuardedRange* guard = nullptr;  // guarded, and exposed
  View* views = nullptr;          // those whose ArrayBuffer is still attached, as far as we know
};

// Addresses that stay ours until they are released, whatever is placed there meanwhile: pages that
// leave an owned range in it become vacant instead of going back to the kernel.
struct Reserve {
  Range pages;
  Environment* environment = nullptr;
  double owner = 0;
};

// Every member function needs the lock.
class OwnedRanges {
 public:
  using Lock = std::unique_lock<std::mutex>;

  // Never destroyed: other threads may still be inside while the process exits.
  static OwnedRanges& process();
  [[nodiscard]] Lock lock() { return Lock(mutex_); }

  OwnedRange& add(const OwnedRange& owned_range);
  // Its guarded range goes with it.
  void remove(const OwnedRange& owned_range);

  // The owned range that holds the byte at `address`, or null.
  OwnedRange* at(uintptr_t address);
  // The owned range that holds all of `pages` and belongs to `environment`, or null.
  OwnedRange* of(const void* environment, Range pages);
  // The last owned range that ends at or below `address`, which no owned range holds; or null.
  OwnedRange* below(uintptr_t address);
  // The first owned range that touches `pages`, or null.
  OwnedRange* first_in(Range pages);

  // Makes [pages.begin, pages.end), which lies in one owned range, an owned range of its own. No
  // view may cross either edge.
  OwnedRange& isolate(Range pages);

  // A vacant owned range becomes one with the vacant owned ranges of its reserve beside it. Gives
  // that one.
  OwnedRange& merge(OwnedRange& vacant);

  void add_reserve(const Reserve& reserve);
  void remove_reserve(uintptr_t begin);
  // The first reserve that touches `pages`, or null.
  [[nodiscard]] const Reserve* reserve_in(Range pages) const;
  // Those of an environment that ends.
  void remove_reserves_of(const void* environment);

  [[nodiscard]] size_t count() const { return ranges_.size(); }

  // Every owned range that touches `pages`, ascending; it may be changed, removed or merged
  // meanwhile.
  template <typename Visit>
  void each_in(Range pages, Visit visit) {
    for (OwnedRange* owned_range = first_in(pages); owned_range != nullptr;) {
      const uintptr_t end = owned_range->pages.end;
      visit(*owned_range);
      if (end >= pages.end) return;
      owned_range = first_in({end, pages.end});
    }
  }

  template <typename Visit>
  void each(Visit visit) {
    for (auto& entry : ranges_) visit(entry.second);
  }

 private:
  OwnedRanges() = default;
  OwnedRange& split(OwnedRange& owned_range, uintptr_t address);

  std::mutex mutex_;
  std::map<uintptr_t, OwnedRange> ranges_;
  std::map<uintptr_t, Reserve> reserves_;
  OwnedRange* recent_ = nullptr;  // what at() found last
};

}  // namespace memmap
