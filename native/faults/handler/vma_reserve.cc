#include "faults/handler/vma_reserve.h"

#include <sys/mman.h>

#include <atomic>

#include "sys/signal_safe.h"

namespace memmap::vma_reserve {

namespace signal_safe = sys::signal_safe;

namespace {

// Every other page is readable, so that each is a region.
constexpr size_t kSparePages = 256;
// So many are gone, and it is time for larger steps, and for a new set.
constexpr size_t kLow = kSparePages / 4;
struct Spares {
  uintptr_t begin;
  std::atomic<size_t> used;
};
std::atomic<Spares*> current{nullptr};

}  // namespace

bool free_some() {
  constexpr size_t kStep = 4;
  Spares* set = current.load();
  const size_t from = set == nullptr ? kSparePages : set->used.fetch_add(kStep);
  if (from >= kSparePages) return false;
  const size_t page = sys::page_size();
  return signal_safe::unmap({set->begin + from * page, set->begin + (from + kStep) * page});
}

void free_for_others() {
  constexpr int kTimes = 8;
  for (int i = 0; i < kTimes && !run_low() && free_some(); ++i) {
  }
}

bool run_low() {
  const Spares* set = current.load();
  return set != nullptr && set->used.load() >= kLow;
}

void prepare() {
  Spares* old = current.load();
  if (old != nullptr && old->used.load() < kLow) return;
  const size_t page = sys::page_size();
  const uintptr_t begin = signal_safe::reserve(kSparePages * page);
  if (begin == 0) return;
  bool whole = true;
  for (size_t i = 0; i < kSparePages; i += 2) {
    whole = whole && signal_safe::protect({begin + i * page, begin + (i + 1) * page}, PROT_READ);
  }
  if (!whole) {
    signal_safe::unmap({begin, begin + kSparePages * page});
    return;
  }
  // The old set is never freed, as a handler may be taking from it; what is left of it is.
  current = new Spares{begin, {0}};
  if (old == nullptr) return;
  const size_t from = old->used.exchange(kSparePages);
  if (from < kSparePages) {
    signal_safe::unmap({old->begin + from * page, old->begin + kSparePages * page});
  }
}

}  // namespace memmap::vma_reserve
