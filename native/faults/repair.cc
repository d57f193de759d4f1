#include "faults/repair.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "faults/handler/classify.h"
#include "faults/writeback.h"
#include "sys/signal_safe.h"

namespace memmap::repair {

namespace {

// As much as is mended with the handler kept away: other threads that fault wait for it.
constexpr size_t kPiece = size_t{4} << 20;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

struct Piece {
  Claim* claim;
  Watch* watch;
  Damage* damage;
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

// The handler had no room for an anchor: any page below that is still the file's own will do.
bool has_anchor(Damage& damage, Range pages) {
  int tries = 64;
  for (uintptr_t at = damage.pages.begin; damage.anchor == 0 && at < pages.begin;
       at += damage.unit) {
    if (damage.state_of(at).bits != 0) continue;
    if (tries-- == 0) break;
    damage.anchor = sys::in_signal::duplicate(at, damage.unit);
    damage.anchor_of = at;
    if (damage.anchor != 0) {
      sys::in_signal::unlock({damage.anchor, damage.anchor + damage.unit});
    }
  }
  return damage.anchor != 0 && damage.anchor_of <= pages.begin;
}

// Where the kernel shows nothing twice (huge pages), the file can still be opened by its name.
Staged stage_by_name(Damage& damage, Range pages) {
  uint64_t size = 0;
  if (!fault_kind::size_now(damage, pages.begin, &size)) return {};
  const uint64_t offset = fault_kind::offset_of(damage, pages.begin);
  const size_t length = pages.size() + damage.unit;
  const auto mapped = sys::map_named({damage.path, damage.device, damage.inode}, offset, length);
  if (!mapped.ok()) return {};
  const Range all{mapped.value, mapped.value + length};
  return Staged(all, {all.begin, all.end - damage.unit});
}

Staged stage(const Piece& piece) {
  Damage& damage = *piece.damage;
  const Range pages = piece.pages;
  if (damage.shared) {
    if (!has_anchor(damage, pages)) return stage_by_name(damage, pages);
    const size_t before = pages.begin - damage.anchor_of;
    constexpr int kMayMove = 1;
    const size_t length = before + pages.size() + damage.unit;
    const auto more = sys::remap(damage.anchor, 0, length, kMayMove, 0);
    if (!more.ok()) return {};
    const Range all{more.value, more.value + length};
    return Staged(all, {all.begin + before, all.end - damage.unit});
  }
  if (damage.shadow == 0) return {};
  const uintptr_t begin = damage.shadow + (pages.begin - damage.pages.begin);
  return Staged({}, {begin, begin + pages.size()});
}

// Private pages come back from among those that were moved away. Never a hole there: somebody else
// could map something in it, which would be unmapped with the rest.
sys::Status bring_back(Range from, uintptr_t to) {
  errno = 0;
  if (!sys::in_signal::evict(from, to)) return {errno, "mremap"};
  static_cast<void>(sys::in_signal::put_zeros(from, PROT_NONE));
  return {};
}

Outcome put_back(const Piece& piece, const Staged& staged) {
  const sys::Status allowed = sys::protect(staged.pages, piece.state.protection());
  if (!allowed.ok()) return allowed;
  const uintptr_t to = piece.pages.begin;
  const bool shared = piece.damage->shared;
  const sys::Status moved = shared ? sys::move(staged.pages, to) : bring_back(staged.pages, to);
  if (!moved.ok()) return moved;
  if (shared) staged.drop_rest();
  piece.damage->set_states(piece.pages, {});
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
    piece.damage->set_states(page, {});
    return {};
  }
  return {Refusal::kBusy, page.begin};
}

Outcome discard(const Piece& piece) {
  const Staged staged = stage(piece);
  if (!staged.ok()) return {Refusal::kNoWayBack, piece.pages.begin};
  if (!piece.damage->shared) return discard_private(piece, staged);
  const Outcome done = put_back(piece, staged);
  if (!done.ok()) staged.drop();
  return done;
}

// The page was lost before it was written to: it is lost again, and empty.
Outcome discard_in_lost(const Piece& piece) {
  const sys::Status blank = sys::overlay_zero(piece.pages);
  if (!blank.ok()) return blank;
  const sys::Status allowed = sys::protect(piece.pages, piece.state.protection());
  if (!allowed.ok()) return allowed;
  PageState state = piece.state;
  state.bits &= static_cast<uint8_t>(~PageState::kStray);
  piece.damage->set_states(piece.pages, state);
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
      written = salvage::write(*piece.damage, {piece.pages, piece.state, staged.pages});
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

bool next_piece(Claim& claim, Range pages, size_t most, Piece* piece) {
  if (claim.watch == nullptr) return false;
  Damage* damage = claim.watch->damage.load();
  if (damage == nullptr) return false;
  // Private pages were moved away one by one, and only whole regions can be moved back.
  const Range run = damage->next_run(pages, damage->shared ? most : sys::page_size());
  if (run.empty()) return false;
  *piece = {&claim, claim.watch, damage, run, damage->state_of(run.begin)};
  return true;
}

// The first damaged piece of the environment's claims in the range.
bool first_piece(Claims& claims, const void* environment, Range pages, size_t most, Piece* piece) {
  for (Claim* claim = claims.first_in(pages); claim != nullptr;) {
    const Range part = claim->pages.intersect(pages);
    if (claim->environment == environment && next_piece(*claim, part, most, piece)) return true;
    if (claim->pages.end >= pages.end) return false;
    claim = claims.first_in({claim->pages.end, pages.end});
  }
  return false;
}

// Pages that were cut off and are in the file again need not be read to know that they are there.
bool is_long_enough(const Piece& piece, const Staged& staged) {
  Damage& damage = *piece.damage;
  uint64_t size = 0;
  const bool cut = piece.state.kind() == FaultKind::kTruncated && !damage.anonymous;
  return cut && fault_kind::size_now(damage, staged.pages.begin, &size) &&
         size >= fault_kind::offset_of(damage, piece.pages.end);
}

Outcome restore_piece(Claims& claims, const void* environment, const Piece& found) {
  // Reading the pages in may take a while: without the lock, on a mapping of the same file.
  bool long_enough = false;
  bool gone = false;
  const Staged staged = [&] {
    const auto lock = claims.lock();
    Claim* claim = claims.at(found.pages.begin);
    const bool same = claim != nullptr && claim->environment == environment &&
                      claim->watch == found.watch && claim->watch->damage.load() == found.damage;
    gone = !same;
    if (gone) return Staged{};
    watches::Closed closed;
    closed.add(claim->watch);
    const Staged ready = stage(found);
    long_enough = ready.ok() && is_long_enough(found, ready);
    return ready;
  }();
  if (gone) return {};  // another repair() was first
  if (!staged.ok()) return {Refusal::kNoWayBack, found.pages.begin};
  const bool there = long_enough || sys::populate(staged.pages, false).ok();
  const auto lock = claims.lock();
  Claim* claim = claims.at(found.pages.begin);
  Piece piece;
  if (claim == nullptr || claim->environment != environment || claim->watch != found.watch ||
      !next_piece(*claim, found.pages, found.pages.size(), &piece)) {
    staged.drop();
    return {};
  }
  watches::Closed closed;
  closed.add(claim->watch);
  const bool same = piece.damage == found.damage && piece.pages.begin == found.pages.begin &&
                    piece.pages.end == found.pages.end && piece.state.bits == found.state.bits;
  Outcome done;
  if (same) done = there ? give_back(piece, staged) : Outcome(Refusal::kFault, found.pages.begin);
  if (!same || !done.ok()) staged.drop();
  return done;
}

}  // namespace

void tidy(Watch& watch) {
  Damage* damage = watch.damage.load();
  if (damage == nullptr || damage->entry_count.load() != 0) return;
  if (!damage->next_run(damage->pages, sys::page_size()).empty()) return;
  watches::forget_damage(watch);
}

Outcome discard_strays(Claim& claim) {
  if (claim.watch == nullptr || claim.watch->damage.load() == nullptr) return {};
  watches::Closed closed;
  closed.add(claim.watch);
  Range rest = claim.pages;
  Piece piece;
  while (!rest.empty() && next_piece(claim, rest, rest.size(), &piece)) {
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
  tidy(*claim.watch);
  return {};
}

Outcome restore(const void* environment, Range pages) {
  Claims& claims = Claims::process();
  size_t most = kPiece;
  for (;;) {
    Piece piece;
    Outcome strays;
    {
      const auto lock = claims.lock();
      if (!first_piece(claims, environment, pages, most, &piece)) break;
      // A piece is of one kind. Strays go all at once, and without a look at the file.
      const bool stray = piece.state.stray() || piece.state.kind() == FaultKind::kReadOnly;
      if (stray) {
        strays = discard_strays(*piece.claim);
        if (!strays.ok()) return strays;
        continue;
      }
    }
    const Outcome done = restore_piece(claims, environment, piece);
    if (done.ok()) continue;
    if (done.refusal != Refusal::kFault || piece.pages.size() == sys::page_size()) return done;
    // Some page of the piece: one by one, as many as can be given back are.
    most = sys::page_size();
  }
  const auto lock = claims.lock();
  for (Claim* claim = claims.first_in(pages); claim != nullptr;) {
    if (claim->watch != nullptr) {
      watches::Closed closed;
      closed.add(claim->watch);
      tidy(*claim->watch);
    }
    if (claim->pages.end >= pages.end) break;
    claim = claims.first_in({claim->pages.end, pages.end});
  }
  return {};
}

}  // namespace memmap::repair
