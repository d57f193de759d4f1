#include "faults/handler/install_page.h"

#include <sys/mman.h>

#include "faults/handler/vma_reserve.h"
#include "sys/signal_safe.h"

namespace memmap::install_page {

namespace signal_safe = sys::signal_safe;

Range fresh(size_t length) {
  uintptr_t begin = 0;
  vma_reserve::with([&] { return (begin = signal_safe::map_pages(length)) != 0; });
  return begin == 0 ? Range{} : Range{begin, begin + length};
}

namespace {

// Moves what was filled into the place of the pages: nobody ever sees them empty.
bool install_filled(Range filled, Range pages, int protection) {
  const bool writable = (protection & PROT_WRITE) != 0;
  if ((writable || signal_safe::protect(filled, protection)) &&
      vma_reserve::with([&] { return signal_safe::move(filled, pages.begin); })) {
    return true;
  }
  signal_safe::unmap(filled);
  return false;
}

// Private pages of a file have no other way back: they are kept, in a place as long as the range.
uintptr_t shadow_of(FaultState& fault_state) {
  if (fault_state.shadow == 0) {
    vma_reserve::with(
        [&] { return (fault_state.shadow = signal_safe::reserve(fault_state.pages.size())) != 0; });
  }
  return fault_state.shadow;
}

}  // namespace

bool all_zero(Range pages) {
  uint64_t words[32];
  for (uintptr_t at = pages.begin; at < pages.end; at += sizeof words) {
    if (!signal_safe::copy(words, reinterpret_cast<void*>(at), sizeof words)) return false;
    for (const uint64_t word : words) {
      if (word != 0) return false;
    }
  }
  return true;
}

bool copy(Range pages, Range source, int protection) {
  const Range copy = fresh(pages.size());
  if (copy.empty()) return false;
  if (signal_safe::copy(copy.data(), source.data(), pages.size())) {
    return install_filled(copy, pages, protection);
  }
  signal_safe::unmap(copy);
  return false;
}

Range copy_aside(FaultState& fault_state, Range pages) {
  if (shadow_of(fault_state) == 0) return {};
  const uintptr_t to = fault_state.shadow + (pages.begin - fault_state.pages.begin);
  const Range kept{to, to + pages.size()};
  const auto install = [&] { return signal_safe::map_zeros(kept, PROT_READ | PROT_WRITE); };
  const bool filled =
      vma_reserve::with(install) && signal_safe::copy(kept.data(), pages.data(), pages.size());
  return filled ? kept : Range{};
}

void move_original_aside(FaultState& fault_state, Range pages) {
  if (fault_state.shared || fault_state.anonymous || shadow_of(fault_state) == 0) return;
  const uintptr_t to = fault_state.shadow + (pages.begin - fault_state.pages.begin);
  vma_reserve::with([&] { return signal_safe::move_keep(pages, to); });
}

bool copy_block(FaultState& fault_state, Range pages, int protection) {
  if (shadow_of(fault_state) == 0) return false;
  const size_t size = sys::page_size();
  const uintptr_t to = fault_state.shadow + (pages.begin - fault_state.pages.begin);
  const Range kept{to, to + pages.size()};
  const auto install = [&] { return signal_safe::map_zeros(kept, PROT_READ | PROT_WRITE); };
  const auto freeze = [&] { return signal_safe::protect(pages, PROT_READ); };
  const Range copy = fresh(pages.size());
  if (copy.empty() || !vma_reserve::with(install) || !vma_reserve::with(freeze)) {
    if (!copy.empty()) signal_safe::unmap(copy);
    return false;
  }
  for (size_t at = 0; at < pages.size(); at += size) {
    const Range one{pages.begin + at, pages.begin + at + size};
    // Fresh pages are zeros already, and cost nothing as long as nobody writes to them. What
    // cannot be read is a hole, and zeros are what it holds.
    if (all_zero(one)) continue;
    auto* const original = reinterpret_cast<void*>(kept.begin + at);
    if (!signal_safe::copy(original, one.data(), size)) continue;
    signal_safe::copy(reinterpret_cast<void*>(copy.begin + at), original, size);
  }
  const bool done = install_filled(copy, pages, protection);
  if (!done) vma_reserve::with([&] { return signal_safe::protect(pages, protection); });
  return done;
}

}  // namespace memmap::install_page
