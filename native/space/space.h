// The verbs that change or use the address space: each checks the table, calls the kernel and
// brings the table up to date, under one lock. Knows owned ranges, buffers and sys; must not decode
// arguments or choose policy.
#pragma once

#include "base/outcome.h"
#include "claims/claims.h"

namespace memmap::space {

struct MapRequest {
  double owner;
  uintptr_t address;
  size_t length;
  int protection;
  int flags;
  int fd;
  uint64_t offset;
  bool exclusive;     // exactly at `address`, and never over anything
  bool inherit;       // keep across fork
  bool guarded;       // faults under its views are fixed up
  bool cannot_fault;  // it cannot fault as long as it stays writable: sealed against shrinking
};

template <typename T>
struct Answer {
  Outcome outcome;
  T value{};
};

Answer<uintptr_t> map(Environment& environment, const MapRequest& request);

// Replaces [request.address, + length), all of which the named owners must hold, by a new mapping:
// staged elsewhere, then moved into place. The views over it are detached unless they are kept.
enum class Keep {
  kNothing,
  kReserveViews,  // the views of the reserve that it lies in
  kViews,         // those, and the views of the one owned range that it is
};
Outcome overlay(Environment& environment, const MapRequest& request, Owners owners, Keep keep);

// A part of one owned range. The value says whether it was retired rather than unmapped.
Answer<bool> unmap(Environment& environment, Range pages);
// Its Mapping was collected: unmapped now, or when the last backing store over it has gone.
Outcome drop(Environment& environment, Range pages);

Outcome protect(Environment& environment, Range pages, int protection);
Outcome advise(Environment& environment, Range pages, int advice);

// A whole, inaccessible owned range becomes a reserve: what leaves it becomes vacant, until it is
// released.
Outcome hold_reserve(Environment& environment, Range pages);
// Its vacant pages are unmapped; what lies in it otherwise is like any other owned range from here
// on.
Outcome release_reserve(Environment& environment, Range pages);
// True when all of it is vacant: what was in it can no longer be read by anybody.
bool is_vacant(Environment& environment, Range pages);

// A view over these bytes is about to be made: their owned range is exposed from here on, and
// guarded if that was asked for. Not over pages that cannot be read, but for those that their file
// has lost.
Outcome open_view(Environment& environment, Range bytes);
// The same where they lie in a reserve of the environment, in any number of owned ranges.
Outcome open_reserve_view(Environment& environment, Range bytes);
// True when the bytes lie in one owned range of the environment.
bool is_one_mapping(Environment& environment, Range bytes);

// Detaches the views over a range, and changes nothing else.
Outcome detach(Environment& environment, Range pages);

// Grows a whole owned range, in place or (if it may move) elsewhere. The views over it are
// detached.
Answer<uintptr_t> grow(Environment& environment, Range pages, size_t length, bool may_move);

struct RemapRequest {
  double owner;  // of what is at the new place
  uintptr_t from;
  size_t old_length;
  size_t new_length;
  int flags;
  uintptr_t to;
};
// mremap as the caller says it. `from` lies in one owned range; a fixed target is orphaned by named
// owners.
Answer<uintptr_t> remap(Environment& environment, const RemapRequest& request, Owners owners);

// check() for a call that may split a region (mlock, munlock).
Outcome check_split(Environment& environment, Range pages);

// ok when every page is orphaned by this environment, whoever the owner.
Outcome check(Environment& environment, Range pages);

// The same for a copy to or from `bytes`, and what kind of bytes and pages they are. kFault
// where what would be read was lost, or what would be written could not reach the file.
struct Copying {
  Range pages;
  Range bytes;
  bool out;
};
struct Copied {
  bool ordinary;  // nobody mapped the bytes through memmap
  bool guarded;   // a page may be lost in the middle of it: check_copied() afterwards
};
Answer<Copied> check_copy(Environment& environment, const Copying& copying);
Outcome check_copied(Range pages, bool out);

// kFault where what was written to a page did not reach its file.
Outcome check_flushed(Range pages);

// The environment ends: everything it holds is unmapped, or retired where views were handed out.
void clean_up(Environment& environment);

}  // namespace memmap::space
