#include "mend.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "fault_kind.h"
#include "spares.h"

namespace memmap::mend {

namespace signal_safe = sys::in_signal;
using signal_safe::Attempt;

namespace {

constexpr uintptr_t kNoShadow = 1;  // this kernel cannot move such pages: do not try again
// More single pages than this in one mapping, and the rest beyond the end of the file goes at once:
// every one that stands alone costs the process up to two of its regions.
constexpr size_t kMostIslands = 1024;
constexpr size_t kLeastRest = size_t{64} << 20;
constexpr size_t kMostRests = 1000;
// Stray writes that go on and on are met in growing steps.
constexpr size_t kMostPagesAtOnce = 1024;
// As often as the handler may find nothing to do before it believes that nothing will change.
constexpr uint32_t kMostIdle = 100'000;
constexpr uint32_t kFew = 10;
constexpr uint64_t kPauseMs = 1000;

// The instruction will succeed; or this has gone on for too long, without a mended page and without
// a pause.
Verdict idle(Watch& watch) {
  const uint64_t now = signal_safe::unix_ms();
  if (now - watch.idle_ms.exchange(now) > kPauseMs) watch.idle = std::min(watch.idle.load(), kFew);
  return watch.idle.fetch_add(1) < kMostIdle ? Verdict::kAgain : Verdict::kForeign;
}

Damage* make_damage(Watch& watch, uintptr_t page) {
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(page, &behind, path, sizeof path)) return nullptr;
  const Range pages = watch.pages();
  const size_t bytes = sizeof(Damage) + pages.size() / sys::page_size();
  Range block{0, bytes};
  if (!outward(block, sys::page_size(), &block)) return nullptr;
  uintptr_t begin = 0;
  spares::with([&] { return (begin = signal_safe::map_pages(block.size())) != 0; });
  if (begin == 0) return nullptr;
  // Fresh pages are zeros, and zeros are what every other field starts with.
  Damage* damage = reinterpret_cast<Damage*>(begin);
  damage->pages = pages;
  damage->bytes = block.size();
  damage->unit = std::max(behind.page, sys::page_size());
  damage->shared = behind.region.shared;
  damage->anonymous = watch.anonymous.load();
  damage->file_offset = behind.region.offset - (behind.region.range.begin - pages.begin);
  if (!damage->anonymous) fault_kind::learn_name(*damage, path, signal_safe::named(path));
  if (damage->shared) {
    // Where that fails, repair() tries again.
    spares::with(
        [&] { return (damage->anchor = signal_safe::duplicate(pages.begin, damage->unit)) != 0; });
    damage->anchor_of = pages.begin;
  }
  watch.damage = damage;
  return damage;
}

Damage* damage_of(Watch& watch, uintptr_t page) {
  Damage* known = watch.damage.load();
  return known != nullptr ? known : make_damage(watch, page);
}

void widen(Damage& damage, Range range) {
  const bool empty = damage.first.load() >= damage.last.load();
  damage.first = empty ? range.begin : std::min(damage.first.load(), range.begin);
  damage.last = empty ? range.end : std::max(damage.last.load(), range.end);
}

// The entry that a fault belongs to; null: one of its own, after the last. One for what a thread
// met in a row; when there are many, one for the rest of each kind.
FaultEntry* entry_for(Damage& damage, Range range, FaultKind kind, int thread) {
  const uint32_t count = damage.entry_count.load();
  if (count == 0) return nullptr;
  FaultEntry& last = damage.entries[count - 1];
  const bool follows = last.address + last.length == range.begin;
  if (last.kind == kind && last.thread == thread && follows) return &last;
  for (uint32_t i = Damage::kOwnEntries; i < count; ++i) {
    if (damage.entries[i].kind == kind) return &damage.entries[i];
  }
  return nullptr;
}

void note(Damage& damage, Range range, FaultKind kind, int signal) {
  const int thread = signal_safe::thread_id();
  if (FaultEntry* entry = entry_for(damage, range, kind, thread)) {
    const uintptr_t begin = std::min(entry->address, range.begin);
    const uintptr_t end = std::max(entry->address + entry->length, range.end);
    entry->offset = fault_kind::offset_of(damage, begin);
    entry->address = begin;
    entry->length = end - begin;
    ++entry->count;
    return;
  }
  const uint32_t count = damage.entry_count.load();
  damage.entries[count] = {kind,
                           signal,
                           thread,
                           range.begin,
                           fault_kind::offset_of(damage, range.begin),
                           range.size(),
                           1,
                           signal_safe::unix_ms()};
  damage.entry_count = count + 1;
}

void finish(Watch& watch, Damage& damage, Range range, PageState state, int signal) {
  damage.set_states(range, state);
  widen(damage, range);
  note(damage, range, state.kind(), signal);
  watch.idle = 0;
}

bool all_zero(Range pages) {
  uint64_t words[128];
  for (uintptr_t at = pages.begin; at < pages.end; at += sizeof words) {
    if (!signal_safe::copy(words, reinterpret_cast<void*>(at), sizeof words)) return false;
    for (const uint64_t word : words) {
      if (word != 0) return false;
    }
  }
  return true;
}

// Moves a private copy of `source` into the place of the pages: nobody ever sees them empty.
bool put_copy(Range pages, Range source, int protection) {
  uintptr_t begin = 0;
  if (!spares::with([&] { return (begin = signal_safe::map_pages(pages.size())) != 0; })) {
    return false;
  }
  const Range copy{begin, begin + pages.size()};
  const bool filled = signal_safe::copy(copy.data(), source.data(), pages.size());
  const bool writable = (protection & PROT_WRITE) != 0;
  if (filled && (writable || signal_safe::protect(copy, protection)) &&
      spares::with([&] { return signal_safe::move(copy, pages.begin); })) {
    return true;
  }
  signal_safe::unmap(copy);
  return false;
}

// Private pages of a file have no other way back: they are kept, in a place as long as the range.
uintptr_t shadow_of(Damage& damage) {
  if (damage.shadow == 0) {
    spares::with([&] { return (damage.shadow = signal_safe::reserve(damage.pages.size())) != 0; });
  }
  return damage.shadow;
}

// What the pages show, in their place of the shadow. Empty: it cannot be had.
Range keep_copy(Damage& damage, Range pages) {
  if (shadow_of(damage) == 0) return {};
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  const Range kept{to, to + pages.size()};
  const auto put = [&] { return signal_safe::put_zeros(kept, PROT_READ | PROT_WRITE); };
  const bool filled =
      spares::with(put) && signal_safe::copy(kept.data(), pages.data(), pages.size());
  return filled ? kept : Range{};
}

void keep_original(Damage& damage, Range pages) {
  if (damage.shared || damage.anonymous || shadow_of(damage) == 0) return;
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  spares::with([&] { return signal_safe::evict(pages, to); });
}

// From the page to the end of what is mapped there now, or a large step.
Range rest_of(const Watch& watch, Damage& damage, Range pages) {
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(pages.begin, &behind, path, sizeof path)) return pages;
  // Not all of a huge file: a handler must not take seconds.
  const size_t step = std::max(kLeastRest, damage.pages.size() / kMostRests);
  const uintptr_t limit = std::min(behind.region.range.end, watch.end.load());
  uintptr_t end = limit - pages.begin > step ? pages.begin + step : limit;
  end &= ~(uintptr_t{sys::page_size()} - 1);
  for (uintptr_t at = pages.end; at < end; at += sys::page_size()) {
    if (damage.state_of(at).bits != 0) end = at;
  }
  return {pages.begin, end};
}

bool stands_alone(const Watch& watch, Damage& damage, Range pages) {
  return pages.begin == watch.begin.load() ||
         damage.state_of(pages.begin - sys::page_size()).bits == 0;
}

// Many pages for the sake of one: those that are well are made private with it, and repair() tells
// what was written to them from what they held. Nobody may write to them while they are copied:
// writers fault, and wait for the end of this turn.
bool put_block(Damage& damage, Range pages, int protection) {
  if (shadow_of(damage) == 0) return false;
  const size_t size = sys::page_size();
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  const Range kept{to, to + pages.size()};
  const auto put = [&] { return signal_safe::put_zeros(kept, PROT_READ | PROT_WRITE); };
  const auto freeze = [&] { return signal_safe::protect(pages, PROT_READ); };
  if (!spares::with(put) || !spares::with(freeze)) return false;
  // What cannot be read is a hole, and zeros are what it holds.
  for (size_t at = 0; at < pages.size(); at += size) {
    signal_safe::copy(reinterpret_cast<void*>(kept.begin + at),
                      reinterpret_cast<void*>(pages.begin + at), size);
  }
  const bool done = put_copy(pages, kept, protection);
  if (!done) signal_safe::protect(pages, protection);
  return done;
}

int protection_of(const Watch& watch, uintptr_t page) {
  const int known = watch.protection.load();
  if (known != kMixedProtection) return known;
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(page, &behind, path, sizeof path)) return PROT_READ;
  return behind.region.protection;
}

Range unit_at(const Watch& watch, size_t unit, uintptr_t address) {
  const uintptr_t begin = address & ~(uintptr_t{unit} - 1);
  return Range{begin, begin + unit}.intersect(watch.pages());
}

// Private read-only memory that was written to, and then cut off.
Verdict lose_stray(Watch& watch, Damage& damage, Range pages, PageState state) {
  keep_original(damage, pages);
  const auto put = [&] { return signal_safe::put_zeros(pages, PROT_READ | PROT_WRITE); };
  if (!spares::with(put)) return Verdict::kForeign;
  state.bits |= PageState::kStray;
  finish(watch, damage, pages, state, SIGBUS);
  return Verdict::kMended;
}

}  // namespace

Verdict lost_page(Watch& watch, const Attempt& attempt) {
  const uintptr_t page = attempt.address & ~(uintptr_t{sys::page_size()} - 1);
  Damage* damage = damage_of(watch, page);
  if (damage == nullptr) return Verdict::kForeign;
  const PageState before = damage->state_of(page);
  // What was written to private read-only memory lies in its own pages, which can still be lost.
  const bool strayed = before.kind() == FaultKind::kReadOnly && !damage->shared;
  if (before.bits != 0 && !strayed) return idle(watch);  // another thread was first
  Range pages = unit_at(watch, damage->unit, page);
  const FaultKind kind = fault_kind::of(watch, *damage, pages, attempt);
  if (kind == FaultKind::kNone) return idle(watch);
  if (strayed)
    return lose_stray(watch, *damage, pages, PageState::make(kind, before.protection(), false));
  const int protection = protection_of(watch, page);
  if (kind == FaultKind::kNoSpace && fault_kind::readable(pages) && !all_zero(pages)) {
    // Kept apart, so that repair() can tell what was written from what was there.
    const Range kept = keep_copy(*damage, pages);
    if (!put_copy(pages, kept.empty() ? pages : kept, protection)) return Verdict::kForeign;
    finish(watch, *damage, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kMended;
  }
  if (kind == FaultKind::kNoSpace && damage->shared && damage->islands > kMostIslands) {
    pages = rest_of(watch, *damage, pages);
    pages.end = std::min(pages.end, pages.begin + kMostPagesAtOnce * sys::page_size());
    if (!put_block(*damage, pages, protection)) return Verdict::kForeign;
    finish(watch, *damage, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kMended;
  }
  const bool truncated = kind == FaultKind::kTruncated;
  if (truncated && damage->islands > kMostIslands) pages = rest_of(watch, *damage, pages);
  keep_original(*damage, pages);
  const auto put = [&] { return signal_safe::put_zeros(pages, protection); };
  bool done = put();
  if (!done && truncated) {
    // No room: all that is beyond the end of the file at once takes none from here on.
    pages = rest_of(watch, *damage, pages);
    keep_original(*damage, pages);
  }
  done = done || spares::with(put);
  if (!done) return Verdict::kForeign;
  if (stands_alone(watch, *damage, pages)) ++damage->islands;
  finish(watch, *damage, pages, PageState::make(kind, protection, false), SIGBUS);
  return Verdict::kMended;
}

namespace {

// A page that was put in before, of a mapping that is read-only.
Verdict write_into_mended(Watch& watch, Damage& damage, Range page) {
  PageState state = damage.state_of(page.begin);
  if (!signal_safe::protect(page, PROT_READ | PROT_WRITE)) return Verdict::kForeign;
  state.bits |= PageState::kStray;
  damage.set_states(page, state);
  note(damage, page, FaultKind::kReadOnly, SIGSEGV);
  watch.idle = 0;
  return Verdict::kMended;
}

// As many pages from `page` on as one step takes: more, the longer the writes have gone on.
Range step_at(const Watch& watch, Damage& damage, Range page, Range region) {
  const uint32_t count = damage.entry_count.load();
  if (count == 0) return page;
  const FaultEntry& last = damage.entries[count - 1];
  if (last.kind != FaultKind::kReadOnly || last.address + last.length != page.begin) return page;
  const size_t length = std::min<size_t>(last.length, kMostPagesAtOnce * sys::page_size());
  const uintptr_t most = std::min(watch.end.load(), region.end);
  Range step{page.begin, std::min(most, page.begin + std::max(length, page.size()))};
  for (uintptr_t at = page.end; at < step.end; at += page.size()) {
    if (damage.state_of(at).bits != 0) step.end = at;
  }
  return step;
}

// Shared: the copy goes into the place of the pages, which can be had again.
// Private: the pages are the only ones. A copy is kept beside them, and they are written to.
bool let_write(Damage& damage, Range pages) {
  constexpr int kReadWrite = PROT_READ | PROT_WRITE;
  if (damage.shared) return put_copy(pages, pages, kReadWrite);
  return !keep_copy(damage, pages).empty() &&
         spares::with([&] { return signal_safe::protect(pages, kReadWrite); });
}

}  // namespace

Verdict stray_write(Watch& watch, const Attempt& attempt) {
  const size_t size = sys::page_size();
  const uintptr_t at = attempt.address & ~(uintptr_t{size} - 1);
  // Code that runs there, or a read of what cannot be read, is nobody's stray write.
  if (Range{at, at + size}.contains(attempt.instruction)) return Verdict::kForeign;
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(at, &behind, path, sizeof path)) return Verdict::kForeign;
  const Range page = unit_at(watch, std::max(behind.page, size), at);
  const int protection = behind.region.protection;
  if ((protection & PROT_WRITE) != 0) return idle(watch);
  if ((protection & PROT_READ) == 0) return Verdict::kForeign;
  Damage* damage = damage_of(watch, at);
  if (damage == nullptr) return Verdict::kForeign;
  if (damage->state_of(at).bits != 0) return write_into_mended(watch, *damage, page);
  Range pages = step_at(watch, *damage, page, behind.region.range);
  // Little is left to spare: a large step at once takes no more regions from here on.
  const bool alone = stands_alone(watch, *damage, page);
  if (spares::run_low() || (alone && damage->islands > kMostIslands)) {
    pages = rest_of(watch, *damage, page);
  }
  if (!let_write(*damage, pages)) {
    // A later page of the step may lie beyond the end of the file.
    pages = page;
    // Not even this one can be read: it is lost first, and then written to.
    if (!let_write(*damage, pages)) {
      // By now it may be long enough again.
      return fault_kind::readable(pages) ? idle(watch) : lost_page(watch, attempt);
    }
  }
  if (alone) ++damage->islands;
  finish(watch, *damage, pages, PageState::make(FaultKind::kReadOnly, protection, true), SIGSEGV);
  return Verdict::kMended;
}

}  // namespace memmap::mend
