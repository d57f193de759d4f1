#include "spares.h"

#include <sys/mman.h>

#include <atomic>

#include "sys/in_signal.h"

namespace memmap::spares {

namespace signal_safe = sys::in_signal;

namespace {

// Every other page is readable, so that each is a region.
constexpr size_t kSparePages = 256;
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

bool run_low() {
  const Spares* set = current.load();
  return set != nullptr && set->used.load() >= kSparePages / 4;
}

void prepare() {
  const Spares* old = current.load();
  if (old != nullptr && old->used.load() < kSparePages / 2) return;
  const size_t page = sys::page_size();
  const uintptr_t begin = signal_safe::reserve(kSparePages * page);
  if (begin == 0) return;
  for (size_t i = 0; i < kSparePages; i += 2) {
    signal_safe::protect({begin + i * page, begin + (i + 1) * page}, PROT_READ);
  }
  // The old set is never freed: a handler may be taking from it.
  current = new Spares{begin, {0}};
}

}  // namespace memmap::spares
