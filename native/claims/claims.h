// The process-wide table of address ranges that memmap owns, whoever of its threads made them.
// Must not know Node-API or call the kernel: it says what is whose, others act on it.
//
//   begin -> { [begin, end), environment, owner, state, views }    sorted, never overlapping
//
// What is not in the table is unknown, never free: only the kernel can say free.
//
//   reserve:  |==========================================|    ours until it is released
//   claims:   | vacant | placed | vacant  | placed | vac |    what lies in it now
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "base/range.h"
#include "faults/handler/guarded_range.h"

namespace memmap {

struct Environment;  // environment.h
struct View;         // buffers.h

enum class State : uint8_t {
  kMapped,
  kAbandoned,    // its Mapping was collected; a backing store of it may still be alive
  kRetired,      // unmapped for its owner: zero pages, kept while a held view may still read them
  kQuarantined,  // the same, waiting only for its time
};

struct Claim {
  Range pages;
  const void* environment = nullptr;  // null once retired or abandoned
  double owner = 0;                   // the record's id in that environment
  State state = State::kMapped;
  bool discardable = false;  // private, anonymous, read-write all over: MADV_DONTNEED makes it zero
  bool recyclable = false;   // just what mapAnonymous() makes, with nothing changed since
  bool viewed = false;       // an ArrayBuffer over it was handed out at some time
  bool guarded = false;      // faults under its views are mended
  bool anonymous = false;    // no file is behind it
  bool shared = false;       // other processes may have it, too
  bool safe = false;         // it cannot fault while it is writable
  bool vacant = false;       // a reserve's own: inaccessible, nothing is in it
  bool haunted = false;      // native code may be reading it through a view of what was here before
  int protection = kMixedProtection;
  uint64_t turn = 0;       // kQuarantined: which entry of the queue is its
  Range holed;             // advice made some of these unreadable; only trying tells which
  Watch* watch = nullptr;  // guarded, and viewed
  View* views = nullptr;   // those whose ArrayBuffer is still attached, as far as we know
};

// Addresses that stay ours until they are released, whatever is placed there meanwhile: pages that
// leave a claim in it become vacant instead of going back to the kernel.
struct Reserve {
  Range pages;
  Environment* environment = nullptr;
  double owner = 0;
};

// Every member function needs the lock.
class Claims {
 public:
  using Lock = std::unique_lock<std::mutex>;

  // Never destroyed: other threads may still be inside while the process exits.
  static Claims& process();
  [[nodiscard]] Lock lock() { return Lock(mutex_); }

  Claim& add(const Claim& claim);
  // Its watch goes with it.
  void remove(const Claim& claim);

  // The claim that holds the byte at `address`, or null.
  Claim* at(uintptr_t address);
  // The claim that holds all of `pages` and belongs to `environment`, or null.
  Claim* of(const void* environment, Range pages);
  // The last claim that ends at or below `address`, which no claim holds; or null.
  Claim* below(uintptr_t address);
  // The first claim that touches `pages`, or null.
  Claim* first_in(Range pages);

  // Makes [pages.begin, pages.end), which lies in one claim, a claim of its own. No view may cross
  // either edge.
  Claim& isolate(Range pages);

  // A vacant claim becomes one with the vacant claims of its reserve beside it. Gives that one.
  Claim& merge(Claim& vacant);

  void add_reserve(const Reserve& reserve);
  void remove_reserve(uintptr_t begin);
  // The first reserve that touches `pages`, or null.
  [[nodiscard]] const Reserve* reserve_in(Range pages) const;
  // Those of an environment that ends.
  void remove_reserves_of(const void* environment);

  [[nodiscard]] size_t count() const { return claims_.size(); }

  // Every claim that touches `pages`, ascending; it may be changed, removed or merged meanwhile.
  template <typename Visit>
  void each_in(Range pages, Visit visit) {
    for (Claim* claim = first_in(pages); claim != nullptr;) {
      const uintptr_t end = claim->pages.end;
      visit(*claim);
      if (end >= pages.end) return;
      claim = first_in({end, pages.end});
    }
  }

  template <typename Visit>
  void each(Visit visit) {
    for (auto& entry : claims_) visit(entry.second);
  }

 private:
  Claims() = default;
  Claim& split(Claim& claim, uintptr_t address);

  std::mutex mutex_;
  std::map<uintptr_t, Claim> claims_;
  std::map<uintptr_t, Reserve> reserves_;
  Claim* recent_ = nullptr;  // what at() found last
};

}  // namespace memmap
