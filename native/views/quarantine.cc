// The end of pages: retired while somebody may still be reading them, quarantined for a while, then
// given back to the kernel, or to the reserve they lie in.
#include "views/quarantine.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "claims/map_count_budget.h"
#include "claims/reserves.h"
#include "views/array_buffer.h"

namespace memmap::buffers {

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

Limbo& limbo() {
  static Limbo* const state = new Limbo();
  return *state;
}

void quarantine(Claim& claim) {
  claim.state = State::kQuarantined;
  static uint64_t turns = 0;
  claim.turn = ++turns;
  limbo().quarantine.push_back({claim.pages, sys::monotonic_ms(), claim.turn});
  limbo().quarantined_bytes += claim.pages.size();
}

sys::Status blank(Claim& claim, Range pages) {
  // Advice keeps the memory promised to us; what is larger is promised to nobody from here on.
  const bool keep = claim.discardable && pages.size() <= kMostPromised;
  if (keep && sys::advise(pages, MADV_DONTNEED).ok()) return {};
  claim.recyclable = false;
  return sys::overlay_zero(pages);
}

void retire(Claims& claims, Claim& claim) {
  watches::release(std::exchange(claim.watch, nullptr));
  claim.state = State::kRetired;
  claim.environment = nullptr;
  if (!readable_by_others(claim.pages)) quarantine(claim);
  reap(claims, false);
}

void retire_zeros(Claims& claims, Range pages) {
  Claim left;
  left.pages = pages;
  left.discardable = true;
  retire(claims, claims.add(left));
}

void leave_zeros(Claims& claims, Range hole) {
  if (hole.empty()) return;
  const auto filled = sys::map_exclusive(hole.begin, hole.size(), PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (filled.ok()) retire_zeros(claims, hole);
}

namespace {

// Where the claim lies in a reserve, its pages are the reserve's again.
bool give_back(Claims& claims, Claim& claim) {
  const Reserve* home = reserves::home_of(claims, claim.pages);
  if (home == nullptr || !reserves::empty(claim.pages).ok()) return false;
  reserves::vacate(claims, claim, *home);
  return true;
}

}  // namespace

void release(Claims& claims, Claim& claim) {
  // Before the pages go: a handler must not put one where somebody else's will be.
  watches::release(std::exchange(claim.watch, nullptr));
  if (give_back(claims, claim)) return;
  const bool room = room::for_more(claims.count(), 1) || !claim.discardable;
  const bool placed = reserves::home_of(claims, claim.pages) != nullptr;
  if (room && !placed && sys::unmap(claim.pages).ok()) {
    claims.remove(claim);
    return;
  }
  // No room to split a region: tried again when the quarantine is emptied.
  static_cast<void>(blank(claim, claim.pages).ok());
  claim.environment = nullptr;
  quarantine(claim);
}

namespace {

// What the quarantine may hold: little of the addresses that a limited process has.
size_t most_bytes() {
  static const size_t limit = sys::address_space_limit();
  return limit == 0 ? kQuarantineBytes : std::min(kQuarantineBytes, limit / 16);
}

bool is_waiting(const Claim& claim, const Quarantined& entry) {
  return claim.state == State::kQuarantined && claim.turn == entry.turn;
}

// What is still waiting of a quarantined range: parts of it may be somebody else's by now.
template <typename Visit>
void each_waiting(Claims& claims, const Quarantined& entry, Visit visit) {
  claims.each_in(entry.pages, [&](Claim& claim) {
    if (is_waiting(claim, entry)) visit(claim);
  });
}

}  // namespace

Claim* recycle(Claims& claims, size_t length) {
  Limbo& state = limbo();
  if (state.quarantine.size() < kRecycleFrom) return nullptr;
  const Range oldest = state.quarantine.front().pages;
  if (oldest.size() != length) return nullptr;
  // Whatever lies there now may be somebody's: only a claim that is this very entry will do.
  Claim* claim = claims.at(oldest.begin);
  const bool stale = claim == nullptr || claim->pages.begin != oldest.begin ||
                     claim->pages.end != oldest.end ||
                     !is_waiting(*claim, state.quarantine.front());
  if (stale || reserves::home_of(claims, oldest) != nullptr) return nullptr;
  // Once more: native code that was late may have written there.
  if (!claim->recyclable || !sys::advise(oldest, MADV_DONTNEED).ok()) return nullptr;
  state.quarantine.pop_front();
  state.quarantined_bytes -= length;
  return claim;
}

void reap(Claims& claims, bool all) {
  Limbo& state = limbo();
  const size_t waiting = state.quarantine.size();
  if (waiting == 0) return;
  const bool crowded =
      waiting > state.most_ranges || (state.quarantined_bytes > most_bytes() && waiting > 1);
  const uint64_t now = sys::monotonic_ms();
  const bool aged = now - state.quarantine.front().since > kQuarantineMs;
  if (!all && !crowded && !aged) return;
  if (all) room::look_again();

  // Crowded: the older half goes, so that the cost is paid once for many. Oldest first in line.
  size_t take = all ? waiting : crowded ? waiting / 2 : 0;
  std::vector<Range> going;
  std::vector<Range> kept;  // of a reserve, which the kernel did not let us empty
  while (!state.quarantine.empty() &&
         (take > 0 || now - state.quarantine.front().since > kQuarantineMs)) {
    if (take > 0) --take;
    const Range pages = state.quarantine.front().pages;
    state.quarantined_bytes -= pages.size();
    each_waiting(claims, state.quarantine.front(), [&](Claim& claim) {
      const bool placed = reserves::home_of(claims, claim.pages) != nullptr;
      if (!placed) going.push_back(claim.pages);
      if (placed && !give_back(claims, claim)) kept.push_back(claim.pages);
    });
    state.quarantine.pop_front();
  }
  std::sort(going.begin(), going.end(), [](Range a, Range b) { return a.begin < b.begin; });
  for (size_t first = 0; first < going.size();) {
    size_t last = first;
    while (last + 1 < going.size() && going[last + 1].begin == going[last].end) ++last;
    const bool gone =
        room::for_more(claims.count(), 1) && sys::unmap({going[first].begin, going[last].end}).ok();
    for (size_t i = first; i <= last; ++i) {
      Claim& claim = *claims.at(going[i].begin);
      if (gone) {
        claims.remove(claim);
      } else {
        quarantine(claim);
      }
    }
    first = last + 1;
  }
  for (const Range pages : kept) quarantine(*claims.at(pages.begin));
  state.most_ranges = std::max(kQuarantineRanges, 2 * state.quarantine.size());
}

Retired retired(Claims& claims) {
  Retired found{0, 0};
  claims.each([&](const Claim& claim) {
    if (claim.state != State::kRetired && claim.state != State::kQuarantined) return;
    ++found.ranges;
    found.bytes += claim.pages.size();
  });
  return found;
}

}  // namespace memmap::buffers
