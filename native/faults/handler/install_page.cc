#include "faults/handler/install_page.h"

#include <sys/mman.h>

#include "faults/handler/vma_reserve.h"
#include "sys/signal_safe.h"

namespace memmap::put {

namespace signal_safe = sys::in_signal;

Range fresh(size_t length) {
  uintptr_t begin = 0;
  spares::with([&] { return (begin = signal_safe::map_pages(length)) != 0; });
  return begin == 0 ? Range{} : Range{begin, begin + length};
}

namespace {

// Moves what was filled into the place of the pages: nobody ever sees them empty.
bool put_filled(Range filled, Range pages, int protection) {
  const bool writable = (protection & PROT_WRITE) != 0;
  if ((writable || signal_safe::protect(filled, protection)) &&
      spares::with([&] { return signal_safe::move(filled, pages.begin); })) {
    return true;
  }
  signal_safe::unmap(filled);
  return false;
}

// Private pages of a file have no other way back: they are kept, in a place as long as the range.
uintptr_t shadow_of(Damage& damage) {
  if (damage.shadow == 0) {
    spares::with([&] { return (damage.shadow = signal_safe::reserve(damage.pages.size())) != 0; });
  }
  return damage.shadow;
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
    return put_filled(copy, pages, protection);
  }
  signal_safe::unmap(copy);
  return false;
}

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

bool block(Damage& damage, Range pages, int protection) {
  if (shadow_of(damage) == 0) return false;
  const size_t size = sys::page_size();
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  const Range kept{to, to + pages.size()};
  const auto put = [&] { return signal_safe::put_zeros(kept, PROT_READ | PROT_WRITE); };
  const auto freeze = [&] { return signal_safe::protect(pages, PROT_READ); };
  const Range copy = fresh(pages.size());
  if (copy.empty() || !spares::with(put) || !spares::with(freeze)) {
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
  const bool done = put_filled(copy, pages, protection);
  if (!done) spares::with([&] { return signal_safe::protect(pages, protection); });
  return done;
}

}  // namespace memmap::put
