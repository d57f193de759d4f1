// The end of pages: retired while somebody may still be reading them, quarantined for a while, then
// given back to the kernel, or to the reserve they lie in.
#include "views/quarantine.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "claims/map_count_budget.h"
#include "claims/reserves.h"

namespace memmap::views {

namespace {

// How long, how many and how much: what JavaScript cannot reach any more, but native code on
// another thread might still be reading. Address space only: no page is resident unless somebody
// writes.
constexpr uint64_t kQuarantineMs = 10'000;
constexpr size_t kQuarantineRanges = 16'384;
constexpr size_t kQuarantineBytes = size_t{64} << 30;
// Larger ranges give back what the kernel has promised (Committed_AS).
constexpr size_t kMostPromised = size_t{1} << 20;
// From here on the oldest of them are given to those who ask for the same.
constexpr size_t kRecycleFrom = 1024;
}  // namespace

QuarantineLists& quarantine_lists() {
  static QuarantineLists* const state = new QuarantineLists();
  return *state;
}

bool has_orphans(Range pages) { return quarantine_lists().orphaned.over(pages); }
bool shown_by_others(Range pages) {
  return !quarantine_lists().orphaned.each_over(pages,
                                                [](const View* view) { return !view->escaped; });
}

bool readable_by_others(Range pages) {
  return quarantine_lists().orphaned.over(pages) || quarantine_lists().detached_views.over(pages);
}

void quarantine(OwnedRange& owned_range) {
  owned_range.state = State::kQuarantined;
  static uint64_t tickets = 0;
  owned_range.ticket = ++tickets;
  quarantine_lists().queue.push_back({owned_range.pages, sys::monotonic_ms(), owned_range.ticket});
  quarantine_lists().quarantined_bytes += owned_range.pages.size();
}

sys::Status replace_with_zeros(OwnedRange& owned_range, Range pages) {
  // Advice keeps the memory promised to us; what is larger is promised to nobody from here on.
  const bool keep = owned_range.discardable && pages.size() <= kMostPromised;
  if (keep && sys::advise(pages, MADV_DONTNEED).ok()) return {};
  owned_range.recyclable = false;
  return sys::overlay_zero(pages);
}

void retire(OwnedRanges& owned_ranges, OwnedRange& owned_range) {
  guarded_ranges::release(std::exchange(owned_range.guard, nullptr));
  owned_range.state = State::kRetired;
  owned_range.environment = nullptr;
  if (!readable_by_others(owned_range.pages)) quarantine(owned_range);
  reap(owned_ranges, false);
}

void retire_zeros(OwnedRanges& owned_ranges, Range pages) {
  OwnedRange left;
  left.pages = pages;
  left.discardable = true;
  retire(owned_ranges, owned_ranges.add(left));
}

void leave_zeros(OwnedRanges& owned_ranges, Range hole) {
  if (hole.empty()) return;
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (filled.ok()) retire_zeros(owned_ranges, hole);
}

namespace {

// Where the owned range lies in a reserve, its pages are the reserve's again.
bool give_back(OwnedRanges& owned_ranges, OwnedRange& owned_range) {
  const Reserve* home = reserves::home_of(owned_ranges, owned_range.pages);
  if (home == nullptr || !reserves::empty(owned_range.pages).ok()) return false;
  reserves::vacate(owned_ranges, owned_range, *home);
  return true;
}

}  // namespace

void release(OwnedRanges& owned_ranges, OwnedRange& owned_range) {
  // Before the pages go: a handler must not put one where somebody else's will be.
  guarded_ranges::release(std::exchange(owned_range.guard, nullptr));
  if (give_back(owned_ranges, owned_range)) return;
  const bool room = map_count_budget::allows(owned_ranges.count(), 1) || !owned_range.discardable;
  const bool placed = reserves::home_of(owned_ranges, owned_range.pages) != nullptr;
  if (room && !placed && sys::unmap(owned_range.pages).ok()) {
    owned_ranges.remove(owned_range);
    return;
  }
  // No room to split a region: tried again when the quarantine is emptied.
  static_cast<void>(replace_with_zeros(owned_range, owned_range.pages).ok());
  owned_range.environment = nullptr;
  quarantine(owned_range);
}

namespace {

// What the quarantine may hold: little of the addresses that a limited process has.
size_t most_bytes() {
  static const size_t limit = sys::address_space_limit();
  return limit == 0 ? kQuarantineBytes : std::min(kQuarantineBytes, limit / 16);
}

bool is_waiting(const OwnedRange& owned_range, const Quarantined& entry) {
  return owned_range.state == State::kQuarantined && owned_range.ticket == entry.ticket;
}

// What is still waiting of a quarantined range: parts of it may be somebody else's by now.
template <typename Visit>
void each_waiting(OwnedRanges& owned_ranges, const Quarantined& entry, Visit visit) {
  owned_ranges.each_in(entry.pages, [&](OwnedRange& owned_range) {
    if (is_waiting(owned_range, entry)) visit(owned_range);
  });
}

}  // namespace

OwnedRange* recycle(OwnedRanges& owned_ranges, size_t length) {
  QuarantineLists& state = quarantine_lists();
  if (state.queue.size() < kRecycleFrom) return nullptr;
  const Range oldest = state.queue.front().pages;
  if (oldest.size() != length) return nullptr;
  // Whatever lies there now may be somebody's: only an owned range that is this very entry will do.
  OwnedRange* owned_range = owned_ranges.at(oldest.begin);
  const bool stale = owned_range == nullptr || owned_range->pages.begin != oldest.begin ||
                     owned_range->pages.end != oldest.end ||
                     !is_waiting(*owned_range, state.queue.front());
  if (stale || reserves::home_of(owned_ranges, oldest) != nullptr) return nullptr;
  // Once more: native code that was late may have written there.
  if (!owned_range->recyclable || !sys::advise(oldest, MADV_DONTNEED).ok()) return nullptr;
  state.queue.pop_front();
  state.quarantined_bytes -= length;
  return owned_range;
}

void reap(OwnedRanges& owned_ranges, bool all) {
  QuarantineLists& state = quarantine_lists();
  const size_t waiting = state.queue.size();
  if (waiting == 0) return;
  const bool crowded =
      waiting > state.most_ranges || (state.quarantined_bytes > most_bytes() && waiting > 1);
  const uint64_t now = sys::monotonic_ms();
  const bool aged = now - state.queue.front().since > kQuarantineMs;
  if (!all && !crowded && !aged) return;
  if (all) map_count_budget::recount();

  // Crowded: the older half goes, so that the cost is paid once for many. Oldest first in line.
  size_t take = all ? waiting : crowded ? waiting / 2 : 0;
  std::vector<Range> going;
  std::vector<Range> kept;  // of a reserve, which the kernel did not let us empty
  while (!state.queue.empty() && (take > 0 || now - state.queue.front().since > kQuarantineMs)) {
    if (take > 0) --take;
    const Range pages = state.queue.front().pages;
    state.quarantined_bytes -= pages.size();
    each_waiting(owned_ranges, state.queue.front(), [&](OwnedRange& owned_range) {
      const bool placed = reserves::home_of(owned_ranges, owned_range.pages) != nullptr;
      if (!placed) going.push_back(owned_range.pages);
      if (placed && !give_back(owned_ranges, owned_range)) kept.push_back(owned_range.pages);
    });
    state.queue.pop_front();
  }
  std::sort(going.begin(), going.end(), [](Range a, Range b) { return a.begin < b.begin; });
  for (size_t first = 0; first < going.size();) {
    size_t last = first;
    while (last + 1 < going.size() && going[last + 1].begin == going[last].end) ++last;
    const bool gone = map_count_budget::allows(owned_ranges.count(), 1) &&
                      sys::unmap({going[first].begin, going[last].end}).ok();
    for (size_t i = first; i <= last; ++i) {
      OwnedRange& owned_range = *owned_ranges.at(going[i].begin);
      if (gone) {
        owned_ranges.remove(owned_range);
      } else {
        quarantine(owned_range);
      }
    }
    first = last + 1;
  }
  for (const Range pages : kept) quarantine(*owned_ranges.at(pages.begin));
  state.most_ranges = std::max(kQuarantineRanges, 2 * state.queue.size());
}

Retired retired(OwnedRanges& owned_ranges) {
  Retired found{0, 0};
  owned_ranges.each([&](const OwnedRange& owned_range) {
    if (owned_range.state != State::kRetired && owned_range.state != State::kQuarantined) return;
    ++found.ranges;
    found.bytes += owned_range.pages.size();
  });
  return found;
}

}  // namespace memmap::views
