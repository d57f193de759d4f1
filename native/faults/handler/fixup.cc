#include "faults/handler/fixup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "faults/handler/classify.h"
#include "faults/handler/install_page.h"
#include "faults/handler/vma_reserve.h"

namespace memmap::fixup {

namespace signal_safe = sys::signal_safe;
using signal_safe::FaultAccess;

namespace {

// More single pages than this in one mapping, and the rest beyond the end of the file goes at once:
// every one that stands alone costs the process up to two of its regions.
constexpr size_t kMostFragments = 1024;
constexpr size_t kLeastRest = size_t{64} << 20;
constexpr size_t kMostRests = 1000;
// Stray writes that go on and on are met in growing steps.
constexpr size_t kMostPagesAtOnce = 1024;
// As often as the handler may find nothing to do before it believes that nothing will change.
constexpr uint32_t kMostIdle = 100'000;
constexpr uint32_t kFew = 10;
constexpr uint64_t kPauseMs = 1000;

// The instruction will succeed; or this has gone on for too long, without a fixed up page and
// without a pause.
Verdict idle(GuardedRange& guard) {
  const uint64_t now = signal_safe::unix_ms();
  if (now - guard.idle_ms.exchange(now) > kPauseMs) guard.idle = std::min(guard.idle.load(), kFew);
  return guard.idle.fetch_add(1) < kMostIdle ? Verdict::kAgain : Verdict::kForeign;
}

FaultState* make_fault_state(GuardedRange& guard, uintptr_t page) {
  const Range pages = guard.pages();
  Range block{0, sizeof(FaultState) + pages.size() / sys::page_size()};
  if (!outward(block, sys::page_size(), &block)) return nullptr;
  block = install_page::fresh(block.size());
  if (block.empty()) return nullptr;
  // Fresh pages are zeros, and zeros are what every other field starts with.
  FaultState* fault_state = static_cast<FaultState*>(block.data());
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(page, &region_info, fault_state->found_path, FaultState::kPath)) {
    signal_safe::unmap(block);
    return nullptr;
  }
  fault_state->pages = pages;
  fault_state->bytes = block.size();
  fault_state->unit = std::max(region_info.page, sys::page_size());
  fault_state->shared = region_info.region.shared;
  fault_state->anonymous = guard.anonymous.load();
  fault_state->file_offset =
      region_info.region.offset - (region_info.region.range.begin - pages.begin);
  if (!fault_state->anonymous) classify::learn_file_name(*fault_state);
  if (fault_state->shared) {
    // Where that fails, repair() tries again.
    vma_reserve::with([&] {
      return (fault_state->recovery_mapping =
                  signal_safe::duplicate(pages.begin, fault_state->unit)) != 0;
    });
    fault_state->recovery_page = pages.begin;
    if (fault_state->recovery_mapping != 0) {
      signal_safe::unlock(
          {fault_state->recovery_mapping, fault_state->recovery_mapping + fault_state->unit});
    }
  }
  guard.fault_state = fault_state;
  return fault_state;
}

FaultState* fault_state_of(GuardedRange& guard, uintptr_t page) {
  FaultState* known = guard.fault_state.load();
  return known != nullptr ? known : make_fault_state(guard, page);
}

void widen(FaultState& fault_state, Range range) {
  const bool empty = fault_state.first.load() >= fault_state.last.load();
  fault_state.first = empty ? range.begin : std::min(fault_state.first.load(), range.begin);
  fault_state.last = empty ? range.end : std::max(fault_state.last.load(), range.end);
}

// The entry that a fault belongs to; null: one of its own, after the last. One for what a thread
// met in a row; when there are many, one for the rest of each kind.
FaultEntry* entry_for(FaultState& fault_state, Range range, FaultKind kind, int thread) {
  const uint32_t count = fault_state.entry_count.load();
  if (count == 0) return nullptr;
  FaultEntry& last = fault_state.entries[count - 1];
  const bool follows = last.address + last.length == range.begin;
  if (last.kind == kind && last.thread == thread && follows) return &last;
  for (uint32_t i = FaultState::kOwnEntries; i < count; ++i) {
    if (fault_state.entries[i].kind == kind) return &fault_state.entries[i];
  }
  return nullptr;
}

void note(FaultState& fault_state, Range range, FaultKind kind, int signal) {
  const int thread = signal_safe::thread_id();
  if (FaultEntry* entry = entry_for(fault_state, range, kind, thread)) {
    const uintptr_t begin = std::min(entry->address, range.begin);
    const uintptr_t end = std::max(entry->address + entry->length, range.end);
    entry->offset = classify::offset_of(fault_state, begin);
    entry->address = begin;
    entry->length = end - begin;
    ++entry->count;
    return;
  }
  const uint32_t count = fault_state.entry_count.load();
  fault_state.entries[count] = {kind,
                                signal,
                                thread,
                                range.begin,
                                classify::offset_of(fault_state, range.begin),
                                range.size(),
                                1,
                                signal_safe::unix_ms()};
  fault_state.entry_count = count + 1;
}

void finish(GuardedRange& guard, FaultState& fault_state, Range range, PageState state,
            int signal) {
  fault_state.set_states(range, state);
  widen(fault_state, range);
  note(fault_state, range, state.kind(), signal);
  guard.idle = 0;
}

// From the page to the end of what is mapped there now, or a large step.
Range rest_of(const GuardedRange& guard, FaultState& fault_state, Range pages) {
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(pages.begin, &region_info, nullptr, 0)) return pages;
  // Not all of a huge file: a handler must not take seconds.
  const size_t step = std::max(kLeastRest, fault_state.pages.size() / kMostRests);
  const uintptr_t limit = std::min(region_info.region.range.end, guard.end.load());
  uintptr_t end = limit - pages.begin > step ? pages.begin + step : limit;
  end &= ~(uintptr_t{sys::page_size()} - 1);
  for (uintptr_t at = pages.end; at < end; at += sys::page_size()) {
    if (fault_state.state_of(at).bits != 0) end = at;
  }
  return {pages.begin, end};
}

bool stands_alone(const GuardedRange& guard, FaultState& fault_state, Range pages) {
  return pages.begin == guard.begin.load() ||
         fault_state.state_of(pages.begin - sys::page_size()).bits == 0;
}

// From the page on, what is not damaged yet, and lies before the end of the file.
Range block_at(const GuardedRange& guard, FaultState& fault_state, Range page) {
  Range block = rest_of(guard, fault_state, page);
  block.end = std::min(block.end, block.begin + kMostPagesAtOnce * sys::page_size());
  uint64_t size = 0;
  Range in_file;
  const uint64_t offset = classify::offset_of(fault_state, page.begin);
  if (classify::size_now(fault_state, page.begin, &size) && size > offset &&
      outward({0, size - offset}, sys::page_size(), &in_file)) {
    block.end = std::min(block.end, block.begin + in_file.end);
  }
  return block;
}

int protection_of(const GuardedRange& guard, uintptr_t page) {
  const int known = guard.protection.load();
  if (known != kMixedProtection) return known;
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(page, &region_info, nullptr, 0)) return PROT_READ;
  return region_info.region.protection;
}

Range unit_at(const GuardedRange& guard, size_t unit, uintptr_t address) {
  const uintptr_t begin = address & ~(uintptr_t{unit} - 1);
  return Range{begin, begin + unit}.intersect(guard.pages());
}

// Private read-only memory that was written to, and then cut off.
Verdict lose_stray(GuardedRange& guard, FaultState& fault_state, Range pages, PageState state) {
  install_page::move_original_aside(fault_state, pages);
  const auto install = [&] { return signal_safe::map_zeros(pages, PROT_READ | PROT_WRITE); };
  if (!vma_reserve::with(install)) return Verdict::kForeign;
  state.bits |= PageState::kStray;
  finish(guard, fault_state, pages, state, SIGBUS);
  return Verdict::kFixed;
}

}  // namespace

Verdict lost_page(GuardedRange& guard, const FaultAccess& access) {
  const uintptr_t page = access.address & ~(uintptr_t{sys::page_size()} - 1);
  FaultState* fault_state = fault_state_of(guard, page);
  if (fault_state == nullptr) return Verdict::kForeign;
  const PageState before = fault_state->state_of(page);
  // What was written to private read-only memory lies in its own pages, which can still be lost.
  const bool strayed = before.kind() == FaultKind::kReadOnly && !fault_state->shared;
  if (before.bits != 0 && !strayed) return idle(guard);  // another thread was first
  Range pages = unit_at(guard, fault_state->unit, page);
  const FaultKind kind = classify::cause_of(guard, *fault_state, pages, access);
  if (kind == FaultKind::kNone) return idle(guard);
  if (strayed)
    return lose_stray(guard, *fault_state, pages,
                      PageState::make(kind, before.protection(), false));
  const int protection = protection_of(guard, page);
  if (kind == FaultKind::kNoSpace && classify::readable(pages) && !install_page::all_zero(pages)) {
    // Kept apart, so that repair() can tell what was written from what was there.
    const Range kept = install_page::copy_aside(*fault_state, pages);
    if (!install_page::copy(pages, kept.empty() ? pages : kept, protection))
      return Verdict::kForeign;
    finish(guard, *fault_state, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kFixed;
  }
  if (kind == FaultKind::kNoSpace && fault_state->shared &&
      fault_state->fragments > kMostFragments) {
    pages = block_at(guard, *fault_state, pages);
    if (!install_page::copy_block(*fault_state, pages, protection)) return Verdict::kForeign;
    finish(guard, *fault_state, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kFixed;
  }
  const bool truncated = kind == FaultKind::kTruncated;
  const bool many = fault_state->fragments > kMostFragments || vma_reserve::run_low();
  if (truncated && many) pages = rest_of(guard, *fault_state, pages);
  install_page::move_original_aside(*fault_state, pages);
  const auto install = [&] { return signal_safe::map_zeros(pages, protection); };
  bool done = install();
  if (!done && truncated) {
    // No room: all that is beyond the end of the file at once takes none from here on. The rest of
    // the process is out of room as well, and it has to tell somebody of this.
    vma_reserve::free_for_others();
    pages = rest_of(guard, *fault_state, pages);
    install_page::move_original_aside(*fault_state, pages);
  }
  done = done || vma_reserve::with(install);
  if (!done) return Verdict::kForeign;
  if (stands_alone(guard, *fault_state, pages)) ++fault_state->fragments;
  finish(guard, *fault_state, pages, PageState::make(kind, protection, false), SIGBUS);
  return Verdict::kFixed;
}

namespace {

// From the page on, those that were put in for the same reason: they are private already.
Range like_it(const GuardedRange& guard, FaultState& fault_state, Range page) {
  const uint8_t bits = fault_state.state_of(page.begin).bits;
  Range pages = page;
  while (pages.end < guard.end.load() && pages.size() < kLeastRest &&
         fault_state.state_of(pages.end).bits == bits) {
    pages.end += page.size();
  }
  return pages;
}

// A page that was put in before, of a mapping that is read-only.
Verdict write_into_fixed(GuardedRange& guard, FaultState& fault_state, Range page) {
  PageState state = fault_state.state_of(page.begin);
  const bool alone = page.begin == guard.begin.load() ||
                     !fault_state.state_of(page.begin - sys::page_size()).stray();
  const bool many = vma_reserve::run_low() || (alone && fault_state.fragments > kMostFragments);
  Range pages = many ? like_it(guard, fault_state, page) : page;
  const auto open = [&] { return signal_safe::protect(pages, PROT_READ | PROT_WRITE); };
  if (!open()) {
    pages = like_it(guard, fault_state, page);
    // RLIMIT_DATA may refuse private writable memory: a copy in shared memory is not counted.
    if (!vma_reserve::with(open) &&
        !install_page::copy(pages = page, page, PROT_READ | PROT_WRITE)) {
      return Verdict::kForeign;
    }
  }
  if (alone) ++fault_state.fragments;
  state.bits |= PageState::kStray;
  fault_state.set_states(pages, state);
  note(fault_state, pages, FaultKind::kReadOnly, SIGSEGV);
  guard.idle = 0;
  return Verdict::kFixed;
}

// As much as one late access makes accessible: native code goes on to the next page.
constexpr size_t kLateStep = size_t{2} << 20;

// An access by native code that was at work before the pages were made inaccessible. It goes on:
// what it reads and writes is what lies there.
Verdict open_late_access(GuardedRange& guard, uintptr_t page, Range region, bool guard_pages) {
  if (!guard.late.load()) return Verdict::kForeign;
  Range pages{page, std::min(page + kLateStep, std::min(region.end, guard.end.load()))};
  const auto open = [&] {
    if (guard_pages) return signal_safe::remove_guard_pages(pages);
    // A file that may not be written: what is written then is a stray write.
    return signal_safe::protect(pages, PROT_READ | PROT_WRITE) ||
           signal_safe::protect(pages, PROT_READ);
  };
  if (!vma_reserve::with(open)) {
    pages.end = std::min(region.end, guard.end.load());
    if (!vma_reserve::with(open)) return Verdict::kForeign;
  }
  const Range before = guard.opened();
  guard.opened_begin = before.empty() ? pages.begin : std::min(before.begin, pages.begin);
  guard.opened_end = before.empty() ? pages.end : std::max(before.end, pages.end);
  guard.idle = 0;
  return Verdict::kAgain;
}

// As many pages from `page` on as one step takes: more, the longer the writes have gone on.
Range step_at(const GuardedRange& guard, FaultState& fault_state, Range page, Range region) {
  const uint32_t count = fault_state.entry_count.load();
  if (count == 0) return page;
  const FaultEntry& last = fault_state.entries[count - 1];
  if (last.kind != FaultKind::kReadOnly || last.address + last.length != page.begin) return page;
  const size_t length = std::min<size_t>(last.length, kMostPagesAtOnce * sys::page_size());
  const uintptr_t most = std::min(guard.end.load(), region.end);
  Range step{page.begin, std::min(most, page.begin + std::max(length, page.size()))};
  for (uintptr_t at = page.end; at < step.end; at += page.size()) {
    if (fault_state.state_of(at).bits != 0) step.end = at;
  }
  return step;
}

// Shared: the copy goes into the place of the pages, which can be had again.
// Private: the pages are the only ones. A copy is kept beside them, and they are written to.
bool let_write(FaultState& fault_state, Range pages) {
  constexpr int kReadWrite = PROT_READ | PROT_WRITE;
  if (fault_state.shared) return install_page::copy(pages, pages, kReadWrite);
  if (install_page::copy_aside(fault_state, pages).empty()) return false;
  return vma_reserve::with([&] { return signal_safe::protect(pages, kReadWrite); }) ||
         install_page::copy(pages, pages, kReadWrite);
}

}  // namespace

Verdict stray_write(GuardedRange& guard, const FaultAccess& access) {
  const size_t size = sys::page_size();
  const uintptr_t at = access.address & ~(uintptr_t{size} - 1);
  // Code that runs there, or a read of what cannot be read, is nobody's stray write.
  if (Range{at, at + size}.contains(access.instruction)) return Verdict::kForeign;
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(at, &region_info, nullptr, 0)) return Verdict::kForeign;
  const Range page = unit_at(guard, std::max(region_info.page, size), at);
  const int protection = region_info.region.protection;
  if ((protection & PROT_WRITE) != 0) return idle(guard);
  if ((protection & PROT_READ) == 0)
    return open_late_access(guard, at, region_info.region.range, false);
  FaultState* fault_state = fault_state_of(guard, at);
  if (fault_state == nullptr) return Verdict::kForeign;
  if (fault_state->state_of(at).bits != 0) return write_into_fixed(guard, *fault_state, page);
  Range pages = step_at(guard, *fault_state, page, region_info.region.range);
  // Little is left to spare: a large step at once takes no more regions from here on.
  const bool alone = stands_alone(guard, *fault_state, page);
  if (vma_reserve::run_low() || (alone && fault_state->fragments > kMostFragments)) {
    // It is copied, so it must not be as large as what is only put in.
    pages = rest_of(guard, *fault_state, page);
    pages.end = std::min(pages.end, pages.begin + kLeastRest);
  }
  if (!let_write(*fault_state, pages)) {
    // A later page of the step may lie beyond the end of the file.
    pages = page;
    // Not even this one can be read: it is lost first, and then written to.
    if (!let_write(*fault_state, pages)) {
      // By now it may be long enough again.
      return classify::readable(pages) ? idle(guard) : lost_page(guard, access);
    }
  }
  if (alone) ++fault_state->fragments;
  finish(guard, *fault_state, pages, PageState::make(FaultKind::kReadOnly, protection, true),
         SIGSEGV);
  return Verdict::kFixed;
}

Verdict guard_page(GuardedRange& guard, const FaultAccess& access) {
  const uintptr_t at = access.address & ~(uintptr_t{sys::page_size()} - 1);
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(at, &region_info, nullptr, 0)) return Verdict::kForeign;
  return open_late_access(guard, at, region_info.region.range, true);
}

}  // namespace memmap::fixup
