#include "faults/repair.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "faults/handler/classify.h"
#include "faults/writeback.h"
#include "sys/signal_safe.h"

namespace memmap::repair {

namespace {

// As much as is fixed up with the handler kept away: other threads that fault wait for it.
constexpr size_t kPiece = size_t{4} << 20;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

struct Piece {
  OwnedRange* owned_range;
  GuardedRange* guard;
  FaultState* fault_state;
  Range pages;
  PageState state;
};

// What is mapped, ready to be moved into its place. More of the file comes with it: what lies
// before it, and one page after it, by which one can see that the file goes on.
class Staged {
 public:
  Range all;
  Range pages;

  Staged() = default;
  Staged(Range everything, Range wanted) : all(everything), pages(wanted) {}
  [[nodiscard]] bool ok() const { return !pages.empty(); }
  void drop() const {
    if (!all.empty()) static_cast<void>(sys::unmap(all).ok());
  }
  // What came with the pages, once those have left.
  void drop_rest() const {
    if (all.begin < pages.begin && !all.empty()) drop_part({all.begin, pages.begin});
    if (pages.end < all.end) drop_part({pages.end, all.end});
  }

 private:
  static void drop_part(Range part) { static_cast<void>(sys::unmap(part).ok()); }
};

// The handler had no room for an recovery mapping: any page below that is still the file's own will
// do.
bool has_recovery_mapping(FaultState& fault_state, Range pages) {
  int tries = 64;
  for (uintptr_t at = fault_state.pages.begin;
       fault_state.recovery_mapping == 0 && at < pages.begin; at += fault_state.unit) {
    if (fault_state.state_of(at).bits != 0) continue;
    if (tries-- == 0) break;
    fault_state.recovery_mapping = sys::signal_safe::duplicate(at, fault_state.unit);
    fault_state.recovery_page = at;
    if (fault_state.recovery_mapping != 0) {
      sys::signal_safe::unlock(
          {fault_state.recovery_mapping, fault_state.recovery_mapping + fault_state.unit});
    }
  }
  return fault_state.recovery_mapping != 0 && fault_state.recovery_page <= pages.begin;
}

// Where the kernel shows nothing twice (huge pages), the file can still be opened by its name.
Staged stage_by_name(FaultState& fault_state, Range pages) {
  uint64_t size = 0;
  if (!classify::size_now(fault_state, pages.begin, &size)) return {};
  const uint64_t offset = classify::offset_of(fault_state, pages.begin);
  const size_t length = pages.size() + fault_state.unit;
  const auto mapped =
      sys::map_named({fault_state.path, fault_state.device, fault_state.inode}, offset, length);
  if (!mapped.ok()) return {};
  const Range all{mapped.value, mapped.value + length};
  return Staged(all, {all.begin, all.end - fault_state.unit});
}

Staged stage(const Piece& piece) {
  FaultState& fault_state = *piece.fault_state;
  const Range pages = piece.pages;
  if (fault_state.shared) {
    if (!has_recovery_mapping(fault_state, pages)) return stage_by_name(fault_state, pages);
    const size_t before = pages.begin - fault_state.recovery_page;
    constexpr int kMayMove = 1;
    const size_t length = before + pages.size() + fault_state.unit;
    const auto more = sys::remap(fault_state.recovery_mapping, 0, length, kMayMove, 0);
    if (!more.ok()) return {};
    const Range all{more.value, more.value + length};
    return Staged(all, {all.begin + before, all.end - fault_state.unit});
  }
  if (fault_state.shadow == 0) return {};
  const uintptr_t begin = fault_state.shadow + (pages.begin - fault_state.pages.begin);
  return Staged({}, {begin, begin + pages.size()});
}

// Private pages come back from among those that were moved away. Never a hole there: somebody else
// could map something in it, which would be unmapped with the rest.
sys::Status bring_back(Range from, uintptr_t to) {
  errno = 0;
  if (!sys::signal_safe::move_keep(from, to)) return {errno, "mremap"};
  static_cast<void>(sys::signal_safe::map_zeros(from, PROT_NONE));
  return {};
}

Outcome put_back(const Piece& piece, const Staged& staged) {
  const sys::Status allowed = sys::protect(staged.pages, piece.state.protection());
  if (!allowed.ok()) return allowed;
  const uintptr_t to = piece.pages.begin;
  const bool shared = piece.fault_state->shared;
  const sys::Status moved = shared ? sys::move(staged.pages, to) : bring_back(staged.pages, to);
  if (!moved.ok()) return moved;
  if (shared) staged.drop_rest();
  piece.fault_state->set_states(piece.pages, {});
  return {};
}

bool same_bytes(Range a, Range b) {
  uint64_t one[64];
  uint64_t other[64];
  for (size_t at = 0; at < a.size(); at += sizeof one) {
    const auto* from = static_cast<const char*>(a.data()) + at;
    const auto* with = static_cast<const char*>(b.data()) + at;
    if (!sys::copy(one, from, sizeof one, true).ok()) return false;
    if (!sys::copy(other, with, sizeof other, true).ok()) return false;
    if (memcmp(one, other, sizeof one) != 0) return false;
  }
  return true;
}

// The page itself was written to: what was kept of it is copied back. Somebody may go on writing
// until the page is read-only again, so it is compared then.
Outcome discard_private(const Piece& piece, const Staged& kept) {
  const Range page = piece.pages;
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    const sys::Status open = sys::protect(page, kReadWrite);
    if (!open.ok()) return open;
    const auto copied = sys::copy(page.data(), kept.pages.data(), page.size(), false);
    const sys::Status allowed = sys::protect(page, piece.state.protection());
    if (!allowed.ok()) return allowed;
    // Where the file was cut off meanwhile nothing is left to show: the next access says so.
    if (copied.ok() && !same_bytes(page, kept.pages)) continue;
    piece.fault_state->set_states(page, {});
    return {};
  }
  return {Refusal::kBusy, page.begin};
}

Outcome discard(const Piece& piece) {
  const Staged staged = stage(piece);
  if (!staged.ok()) return {Refusal::kNoWayBack, piece.pages.begin};
  if (!piece.fault_state->shared) return discard_private(piece, staged);
  const Outcome done = put_back(piece, staged);
  if (!done.ok()) staged.drop();
  return done;
}

// The page was lost before it was written to: it is lost again, and empty.
Outcome discard_in_lost(const Piece& piece) {
  const sys::Status replaced = sys::overlay_zero(piece.pages);
  if (!replaced.ok()) return replaced;
  const sys::Status allowed = sys::protect(piece.pages, piece.state.protection());
  if (!allowed.ok()) return allowed;
  PageState state = piece.state;
  state.bits &= static_cast<uint8_t>(~PageState::kStray);
  piece.fault_state->set_states(piece.pages, state);
  return {};
}

// The handler is kept away, and nobody can write to the pages: what is read of them is all.
Outcome give_back(const Piece& piece, const Staged& staged) {
  const bool writable = (piece.state.protection() & PROT_WRITE) != 0;
  if (writable) {
    const sys::Status frozen = sys::protect(piece.pages, PROT_READ);
    if (!frozen.ok()) return frozen;
    Outcome written;
    const sys::Status opened = sys::protect(staged.pages, kReadWrite);
    if (opened.ok()) {
      written = writeback::write(*piece.fault_state, {piece.pages, piece.state, staged.pages});
    } else {
      written = opened;
    }
    if (!written.ok()) {
      static_cast<void>(sys::protect(piece.pages, piece.state.protection()).ok());
      return written;
    }
  }
  return put_back(piece, staged);
}

bool next_piece(OwnedRange& owned_range, Range pages, size_t most, Piece* piece) {
  if (owned_range.guard == nullptr) return false;
  FaultState* fault_state = owned_range.guard->fault_state.load();
  if (fault_state == nullptr) return false;
  // Private pages were moved away one by one, and only whole regions can be moved back.
  const Range run = fault_state->next_run(pages, fault_state->shared ? most : sys::page_size());
  if (run.empty()) return false;
  *piece = {&owned_range, owned_range.guard, fault_state, run, fault_state->state_of(run.begin)};
  return true;
}

// The first damaged piece of the environment's owned ranges in the range.
bool first_piece(OwnedRanges& owned_ranges, const void* environment, Range pages, size_t most,
                 Piece* piece) {
  for (OwnedRange* owned_range = owned_ranges.first_in(pages); owned_range != nullptr;) {
    const Range part = owned_range->pages.intersect(pages);
    if (owned_range->environment == environment && next_piece(*owned_range, part, most, piece))
      return true;
    if (owned_range->pages.end >= pages.end) return false;
    owned_range = owned_ranges.first_in({owned_range->pages.end, pages.end});
  }
  return false;
}

// Pages that were cut off and are in the file again need not be read to know that they are there.
bool is_long_enough(const Piece& piece, const Staged& staged) {
  FaultState& fault_state = *piece.fault_state;
  uint64_t size = 0;
  const bool cut = piece.state.kind() == FaultKind::kTruncated && !fault_state.anonymous;
  return cut && classify::size_now(fault_state, staged.pages.begin, &size) &&
         size >= classify::offset_of(fault_state, piece.pages.end);
}

Outcome restore_piece(OwnedRanges& owned_ranges, const void* environment, const Piece& found) {
  // Reading the pages in may take a while: without the lock, on a mapping of the same file.
  bool long_enough = false;
  bool gone = false;
  const Staged staged = [&] {
    const auto lock = owned_ranges.lock();
    OwnedRange* owned_range = owned_ranges.at(found.pages.begin);
    const bool same = owned_range != nullptr && owned_range->environment == environment &&
                      owned_range->guard == found.guard &&
                      owned_range->guard->fault_state.load() == found.fault_state;
    gone = !same;
    if (gone) return Staged{};
    guarded_ranges::ScopedRangeLock range_lock;
    range_lock.add(owned_range->guard);
    const Staged ready = stage(found);
    long_enough = ready.ok() && is_long_enough(found, ready);
    return ready;
  }();
  if (gone) return {};  // another repair() was first
  if (!staged.ok()) return {Refusal::kNoWayBack, found.pages.begin};
  const bool there = long_enough || sys::populate(staged.pages, false).ok();
  const auto lock = owned_ranges.lock();
  OwnedRange* owned_range = owned_ranges.at(found.pages.begin);
  Piece piece;
  if (owned_range == nullptr || owned_range->environment != environment ||
      owned_range->guard != found.guard ||
      !next_piece(*owned_range, found.pages, found.pages.size(), &piece)) {
    staged.drop();
    return {};
  }
  guarded_ranges::ScopedRangeLock range_lock;
  range_lock.add(owned_range->guard);
  const bool same = piece.fault_state == found.fault_state &&
                    piece.pages.begin == found.pages.begin && piece.pages.end == found.pages.end &&
                    piece.state.bits == found.state.bits;
  Outcome done;
  if (same) done = there ? give_back(piece, staged) : Outcome(Refusal::kFault, found.pages.begin);
  if (!same || !done.ok()) staged.drop();
  return done;
}

}  // namespace

void tidy(GuardedRange& guard) {
  FaultState* fault_state = guard.fault_state.load();
  if (fault_state == nullptr || fault_state->entry_count.load() != 0) return;
  if (!fault_state->next_run(fault_state->pages, sys::page_size()).empty()) return;
  guarded_ranges::discard_fault_state(guard);
}

Outcome discard_strays(OwnedRange& owned_range) {
  if (owned_range.guard == nullptr || owned_range.guard->fault_state.load() == nullptr) return {};
  guarded_ranges::ScopedRangeLock range_lock;
  range_lock.add(owned_range.guard);
  Range rest = owned_range.pages;
  Piece piece;
  while (!rest.empty() && next_piece(owned_range, rest, rest.size(), &piece)) {
    rest.begin = piece.pages.end;
    Outcome done;
    if (piece.state.kind() == FaultKind::kReadOnly) {
      done = discard(piece);
    } else if (piece.state.stray()) {
      done = discard_in_lost(piece);
    }
    if (!done.ok()) return done;
  }
  // Faults are counted anew from here on.
  tidy(*owned_range.guard);
  return {};
}

Outcome restore(const void* environment, Range pages) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  size_t most = kPiece;
  for (;;) {
    Piece piece;
    Outcome strays;
    {
      const auto lock = owned_ranges.lock();
      if (!first_piece(owned_ranges, environment, pages, most, &piece)) break;
      // A piece is of one kind. Strays go all at once, and without a look at the file.
      const bool stray = piece.state.stray() || piece.state.kind() == FaultKind::kReadOnly;
      if (stray) {
        strays = discard_strays(*piece.owned_range);
        if (!strays.ok()) return strays;
        continue;
      }
    }
    const Outcome done = restore_piece(owned_ranges, environment, piece);
    if (done.ok()) continue;
    if (done.refusal != Refusal::kFault || piece.pages.size() == sys::page_size()) return done;
    // Some page of the piece: one by one, as many as can be given back are.
    most = sys::page_size();
  }
  const auto lock = owned_ranges.lock();
  for (OwnedRange* owned_range = owned_ranges.first_in(pages); owned_range != nullptr;) {
    if (owned_range->guard != nullptr) {
      guarded_ranges::ScopedRangeLock range_lock;
      range_lock.add(owned_range->guard);
      tidy(*owned_range->guard);
    }
    if (owned_range->pages.end >= pages.end) break;
    owned_range = owned_ranges.first_in({owned_range->pages.end, pages.end});
  }
  return {};
}

}  // namespace memmap::repair
