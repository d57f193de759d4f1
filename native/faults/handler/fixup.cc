#include "faults/handler/fixup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "faults/handler/classify.h"
#include "faults/handler/install_page.h"
#include "faults/handler/vma_reserve.h"

namespace memmap::mend {

namespace signal_safe = sys::in_signal;
using signal_safe::Attempt;

namespace {

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
  const Range pages = watch.pages();
  Range block{0, sizeof(Damage) + pages.size() / sys::page_size()};
  if (!outward(block, sys::page_size(), &block)) return nullptr;
  block = put::fresh(block.size());
  if (block.empty()) return nullptr;
  // Fresh pages are zeros, and zeros are what every other field starts with.
  Damage* damage = static_cast<Damage*>(block.data());
  signal_safe::Behind behind{};
  if (!signal_safe::look(page, &behind, damage->found_path, Damage::kPath)) {
    signal_safe::unmap(block);
    return nullptr;
  }
  damage->pages = pages;
  damage->bytes = block.size();
  damage->unit = std::max(behind.page, sys::page_size());
  damage->shared = behind.region.shared;
  damage->anonymous = watch.anonymous.load();
  damage->file_offset = behind.region.offset - (behind.region.range.begin - pages.begin);
  if (!damage->anonymous) fault_kind::learn_name(*damage);
  if (damage->shared) {
    // Where that fails, repair() tries again.
    spares::with(
        [&] { return (damage->anchor = signal_safe::duplicate(pages.begin, damage->unit)) != 0; });
    damage->anchor_of = pages.begin;
    if (damage->anchor != 0) {
      signal_safe::unlock({damage->anchor, damage->anchor + damage->unit});
    }
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

// From the page to the end of what is mapped there now, or a large step.
Range rest_of(const Watch& watch, Damage& damage, Range pages) {
  signal_safe::Behind behind{};
  if (!signal_safe::look(pages.begin, &behind, nullptr, 0)) return pages;
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

// From the page on, what is not damaged yet, and lies before the end of the file.
Range block_at(const Watch& watch, Damage& damage, Range page) {
  Range block = rest_of(watch, damage, page);
  block.end = std::min(block.end, block.begin + kMostPagesAtOnce * sys::page_size());
  uint64_t size = 0;
  Range in_file;
  const uint64_t offset = fault_kind::offset_of(damage, page.begin);
  if (fault_kind::size_now(damage, page.begin, &size) && size > offset &&
      outward({0, size - offset}, sys::page_size(), &in_file)) {
    block.end = std::min(block.end, block.begin + in_file.end);
  }
  return block;
}

int protection_of(const Watch& watch, uintptr_t page) {
  const int known = watch.protection.load();
  if (known != kMixedProtection) return known;
  signal_safe::Behind behind{};
  if (!signal_safe::look(page, &behind, nullptr, 0)) return PROT_READ;
  return behind.region.protection;
}

Range unit_at(const Watch& watch, size_t unit, uintptr_t address) {
  const uintptr_t begin = address & ~(uintptr_t{unit} - 1);
  return Range{begin, begin + unit}.intersect(watch.pages());
}

// Private read-only memory that was written to, and then cut off.
Verdict lose_stray(Watch& watch, Damage& damage, Range pages, PageState state) {
  put::keep_original(damage, pages);
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
  if (kind == FaultKind::kNoSpace && fault_kind::readable(pages) && !put::all_zero(pages)) {
    // Kept apart, so that repair() can tell what was written from what was there.
    const Range kept = put::keep_copy(*damage, pages);
    if (!put::copy(pages, kept.empty() ? pages : kept, protection)) return Verdict::kForeign;
    finish(watch, *damage, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kMended;
  }
  if (kind == FaultKind::kNoSpace && damage->shared && damage->islands > kMostIslands) {
    pages = block_at(watch, *damage, pages);
    if (!put::block(*damage, pages, protection)) return Verdict::kForeign;
    finish(watch, *damage, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kMended;
  }
  const bool truncated = kind == FaultKind::kTruncated;
  const bool many = damage->islands > kMostIslands || spares::run_low();
  if (truncated && many) pages = rest_of(watch, *damage, pages);
  put::keep_original(*damage, pages);
  const auto put = [&] { return signal_safe::put_zeros(pages, protection); };
  bool done = put();
  if (!done && truncated) {
    // No room: all that is beyond the end of the file at once takes none from here on. The rest of
    // the process is out of room as well, and it has to tell somebody of this.
    spares::free_for_others();
    pages = rest_of(watch, *damage, pages);
    put::keep_original(*damage, pages);
  }
  done = done || spares::with(put);
  if (!done) return Verdict::kForeign;
  if (stands_alone(watch, *damage, pages)) ++damage->islands;
  finish(watch, *damage, pages, PageState::make(kind, protection, false), SIGBUS);
  return Verdict::kMended;
}

namespace {

// From the page on, those that were put in for the same reason: they are private already.
Range like_it(const Watch& watch, Damage& damage, Range page) {
  const uint8_t bits = damage.state_of(page.begin).bits;
  Range pages = page;
  while (pages.end < watch.end.load() && pages.size() < kLeastRest &&
         damage.state_of(pages.end).bits == bits) {
    pages.end += page.size();
  }
  return pages;
}

// A page that was put in before, of a mapping that is read-only.
Verdict write_into_mended(Watch& watch, Damage& damage, Range page) {
  PageState state = damage.state_of(page.begin);
  const bool alone =
      page.begin == watch.begin.load() || !damage.state_of(page.begin - sys::page_size()).stray();
  const bool many = spares::run_low() || (alone && damage.islands > kMostIslands);
  Range pages = many ? like_it(watch, damage, page) : page;
  const auto open = [&] { return signal_safe::protect(pages, PROT_READ | PROT_WRITE); };
  if (!open()) {
    pages = like_it(watch, damage, page);
    // RLIMIT_DATA may refuse private writable memory: a copy in shared memory is not counted.
    if (!spares::with(open) && !put::copy(pages = page, page, PROT_READ | PROT_WRITE)) {
      return Verdict::kForeign;
    }
  }
  if (alone) ++damage.islands;
  state.bits |= PageState::kStray;
  damage.set_states(pages, state);
  note(damage, pages, FaultKind::kReadOnly, SIGSEGV);
  watch.idle = 0;
  return Verdict::kMended;
}

// As much as one late access makes accessible: native code goes on to the next page.
constexpr size_t kLateStep = size_t{2} << 20;

// An access by native code that was at work before the pages were made inaccessible. It goes on:
// what it reads and writes is what lies there.
Verdict open_late(Watch& watch, uintptr_t page, Range region, bool guard_pages) {
  if (!watch.late.load()) return Verdict::kForeign;
  Range pages{page, std::min(page + kLateStep, std::min(region.end, watch.end.load()))};
  const auto open = [&] {
    if (guard_pages) return signal_safe::remove_guard_pages(pages);
    // A file that may not be written: what is written then is a stray write.
    return signal_safe::protect(pages, PROT_READ | PROT_WRITE) ||
           signal_safe::protect(pages, PROT_READ);
  };
  if (!spares::with(open)) {
    pages.end = std::min(region.end, watch.end.load());
    if (!spares::with(open)) return Verdict::kForeign;
  }
  const Range before = watch.opened();
  watch.opened_begin = before.empty() ? pages.begin : std::min(before.begin, pages.begin);
  watch.opened_end = before.empty() ? pages.end : std::max(before.end, pages.end);
  watch.idle = 0;
  return Verdict::kAgain;
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
  if (damage.shared) return put::copy(pages, pages, kReadWrite);
  if (put::keep_copy(damage, pages).empty()) return false;
  return spares::with([&] { return signal_safe::protect(pages, kReadWrite); }) ||
         put::copy(pages, pages, kReadWrite);
}

}  // namespace

Verdict stray_write(Watch& watch, const Attempt& attempt) {
  const size_t size = sys::page_size();
  const uintptr_t at = attempt.address & ~(uintptr_t{size} - 1);
  // Code that runs there, or a read of what cannot be read, is nobody's stray write.
  if (Range{at, at + size}.contains(attempt.instruction)) return Verdict::kForeign;
  signal_safe::Behind behind{};
  if (!signal_safe::look(at, &behind, nullptr, 0)) return Verdict::kForeign;
  const Range page = unit_at(watch, std::max(behind.page, size), at);
  const int protection = behind.region.protection;
  if ((protection & PROT_WRITE) != 0) return idle(watch);
  if ((protection & PROT_READ) == 0) return open_late(watch, at, behind.region.range, false);
  Damage* damage = damage_of(watch, at);
  if (damage == nullptr) return Verdict::kForeign;
  if (damage->state_of(at).bits != 0) return write_into_mended(watch, *damage, page);
  Range pages = step_at(watch, *damage, page, behind.region.range);
  // Little is left to spare: a large step at once takes no more regions from here on.
  const bool alone = stands_alone(watch, *damage, page);
  if (spares::run_low() || (alone && damage->islands > kMostIslands)) {
    // It is copied, so it must not be as large as what is only put in.
    pages = rest_of(watch, *damage, page);
    pages.end = std::min(pages.end, pages.begin + kLeastRest);
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

Verdict guard_page(Watch& watch, const Attempt& attempt) {
  const uintptr_t at = attempt.address & ~(uintptr_t{sys::page_size()} - 1);
  signal_safe::Behind behind{};
  if (!signal_safe::look(at, &behind, nullptr, 0)) return Verdict::kForeign;
  return open_late(watch, at, behind.region.range, true);
}

}  // namespace memmap::mend
