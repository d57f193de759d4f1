#include "mend.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

namespace memmap::mend {

namespace signal_safe = sys::in_signal;
using signal_safe::Attempt;

namespace {

constexpr uintptr_t kNoShadow = 1;  // this kernel cannot move such pages: do not try again
// More single pages than this in one mapping, and the rest beyond the end of the file goes at once:
// every one that stands alone costs the process up to two of its regions.
constexpr size_t kMostIslands = 1024;
// Stray writes that go on and on are met in growing steps.
constexpr size_t kMostPagesAtOnce = 1024;
// As often as the handler may find nothing to do before it believes that nothing will change.
constexpr uint32_t kMostIdle = 100'000;
// Times that a fault which looks like a bad disk is tried again.
constexpr uint32_t kDoubts = 2;

// Regions that can be given back in an instant: mending needs up to four, and a process that
// maps much may be at its limit. Every other page is readable, so that each is a region.
constexpr size_t kSparePages = 32;
std::atomic<uintptr_t> spare_begin{0};
std::atomic<size_t> spare_used{0};

bool free_some_regions() {
  constexpr size_t kStep = 4;
  const uintptr_t begin = spare_begin.load();
  const size_t from = spare_used.fetch_add(kStep);
  if (begin == 0 || from >= kSparePages) return false;
  const size_t page = sys::page_size();
  return signal_safe::unmap({begin + from * page, begin + (from + kStep) * page});
}

template <typename Call>
bool with_spare_regions(Call call) {
  do {
    if (call()) return true;
  } while (errno == ENOMEM && free_some_regions());
  return false;
}

Verdict idle(Watch& watch) {
  return watch.idle.fetch_add(1) < kMostIdle ? Verdict::kAgain : Verdict::kForeign;
}

// The name of the file, as it is called now.
void learn_name(Damage& damage, const char* path, const signal_safe::Named& named) {
  damage.path[0] = '\0';
  if (!named.found) return;
  const size_t length = strnlen(path, Damage::kPath);
  if (length >= Damage::kPath) return;
  memcpy(damage.path, path, length + 1);
  damage.device = named.device;
  damage.inode = named.inode;
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
  with_spare_regions([&] { return (begin = signal_safe::map_pages(block.size())) != 0; });
  if (begin == 0) return nullptr;
  // Fresh pages are zeros, and zeros are what every other field starts with.
  Damage* damage = reinterpret_cast<Damage*>(begin);
  damage->pages = pages;
  damage->bytes = block.size();
  damage->unit = std::max(behind.page, sys::page_size());
  damage->shared = behind.region.shared;
  damage->anonymous = behind.region.inode == 0 && path[0] == '\0';
  damage->file_offset = behind.region.offset - (behind.region.range.begin - pages.begin);
  if (!damage->anonymous) learn_name(*damage, path, signal_safe::named(path));
  if (damage->shared) {
    damage->anchor = signal_safe::duplicate(pages.begin, damage->unit);
    damage->anchor_of = pages.begin;
  }
  watch.damage = damage;
  return damage;
}

Damage* damage_of(Watch& watch, uintptr_t page) {
  Damage* known = watch.damage.load();
  return known != nullptr ? known : make_damage(watch, page);
}

uint64_t offset_of(const Damage& damage, uintptr_t page) {
  return damage.anonymous ? 0 : damage.file_offset + (page - damage.pages.begin);
}

void widen(Damage& damage, Range range) {
  const bool empty = damage.first.load() >= damage.last.load();
  damage.first = empty ? range.begin : std::min(damage.first.load(), range.begin);
  damage.last = empty ? range.end : std::max(damage.last.load(), range.end);
}

// One entry for what one thread met in a row; when there are too many, the last stands for the
// rest.
void note(Damage& damage, Range range, FaultKind kind, int signal) {
  const uint32_t count = damage.entry_count.load();
  const int thread = signal_safe::thread_id();
  if (count > 0) {
    FaultEntry& last = damage.entries[count - 1];
    const bool same = last.kind == kind && last.thread == thread;
    const bool follows = last.address + last.length == range.begin;
    if ((same && follows) || count == Damage::kEntries) {
      const uintptr_t begin = std::min(last.address, range.begin);
      const uintptr_t end = std::max(last.address + last.length, range.end);
      last.offset = offset_of(damage, begin);
      last.address = begin;
      last.length = end - begin;
      ++last.count;
      return;
    }
  }
  damage.entries[count] = {kind,
                           signal,
                           thread,
                           range.begin,
                           offset_of(damage, range.begin),
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

// The file's size at this moment. False: nobody can say, its name is gone.
bool size_now(Damage& damage, uintptr_t page, uint64_t* size) {
  if (damage.anonymous) return false;
  if (damage.path[0] != '\0') {
    const auto known = signal_safe::named(damage.path);
    if (known.found && known.device == damage.device && known.inode == damage.inode) {
      *size = known.size;
      return true;
    }
  }
  // It was renamed, or has no name any more.
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(page, &behind, path, sizeof path)) return false;
  const auto named = signal_safe::named(path);
  learn_name(damage, path, named);
  *size = named.size;
  return damage.path[0] != '\0';
}

bool readable(Range pages) {
  const int error = signal_safe::populate(pages, false);
  char byte = 0;
  return error == ENOSYS ? signal_safe::copy(&byte, pages.data(), 1) : error == 0;
}

// True when a later page of the same file can still be read: it does not end before them.
bool reads_beyond(const Watch& watch, Damage& damage, Range pages) {
  const uintptr_t end = watch.end.load();
  for (const uintptr_t at : {pages.end, end - damage.unit}) {
    if (at < pages.end || at >= end || damage.state_of(at).bits != 0) continue;
    if (readable({at, at + damage.unit})) return true;
  }
  return false;
}

// tmpfs needs a page of its own to show a hole, also to a reader: then it is full, not broken.
bool is_hole(const Damage& damage, uint64_t offset) {
  if (damage.path[0] == '\0') return false;
  const signal_safe::Named file{true, damage.device, damage.inode, 0};
  const auto reading = signal_safe::read_at(damage.path, file, offset);
  if (reading != signal_safe::Reading::kUnknown) return reading == signal_safe::Reading::kGood;
  return !signal_safe::has_space(damage.path);
}

// Looked at, not guessed. kNone: by now the page is there, or the instruction is to try again.
FaultKind kind_of(const Watch& watch, Damage& damage, Range pages, const Attempt& attempt) {
  uint64_t size = 0;
  const uint64_t offset = offset_of(damage, pages.begin);
  const bool named = size_now(damage, pages.begin, &size);
  if (named && size <= offset) return FaultKind::kTruncated;
  // Cut and made longer again between two looks: only what goes on failing has really failed.
  const auto believed = [&](FaultKind kind) {
    if (named && size_now(damage, pages.begin, &size) && size <= offset) {
      return FaultKind::kTruncated;
    }
    return watch.idle.load() < kDoubts ? FaultKind::kNone : kind;
  };
  if (!readable(pages)) {
    // A file without a name cannot be asked how long it is, but its later pages can.
    const bool still_long = named || damage.anonymous || reads_beyond(watch, damage, pages);
    if (!still_long) return FaultKind::kTruncated;
    return believed(is_hole(damage, offset) ? FaultKind::kNoSpace : FaultKind::kIoError);
  }
  if (!attempt.known) return believed(FaultKind::kNoSpace);
  if (!attempt.write) return FaultKind::kNone;
  const int error = signal_safe::populate(pages, true);
  if (error == 0) return FaultKind::kNone;
  const bool space = damage.path[0] != '\0' && signal_safe::has_space(damage.path);
  return believed(space ? FaultKind::kIoError : FaultKind::kNoSpace);
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

// Moves a private copy of the pages into their place: nobody ever sees them empty.
bool put_copy(Range pages, int protection) {
  uintptr_t begin = 0;
  if (!with_spare_regions([&] { return (begin = signal_safe::map_pages(pages.size())) != 0; })) {
    return false;
  }
  const Range copy{begin, begin + pages.size()};
  const bool filled = signal_safe::copy(copy.data(), pages.data(), pages.size());
  const bool writable = (protection & PROT_WRITE) != 0;
  if (filled && (writable || signal_safe::protect(copy, protection)) &&
      with_spare_regions([&] { return signal_safe::move(copy, pages.begin); })) {
    return true;
  }
  signal_safe::unmap(copy);
  return false;
}

// Private pages of a file have no other way back: they are kept, in a place as long as the range.
uintptr_t shadow_of(Damage& damage) {
  if (damage.shadow == 0) damage.shadow = signal_safe::reserve(damage.pages.size());
  return damage.shadow;
}

void keep_original(Damage& damage, Range pages) {
  if (damage.shared || damage.anonymous || shadow_of(damage) == 0) return;
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  with_spare_regions([&] { return signal_safe::evict(pages, to); });
}

// From the page to the end of what is mapped there now, at most to the end of the range.
Range rest_of(const Watch& watch, Damage& damage, Range pages) {
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(pages.begin, &behind, path, sizeof path)) return pages;
  uintptr_t end = std::min(behind.region.range.end, watch.end.load());
  for (uintptr_t at = pages.end; at < end; at += sys::page_size()) {
    if (damage.state_of(at).bits != 0) end = at;
  }
  return {pages.begin, end};
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

}  // namespace

void prepare() {
  if (spare_begin.load() != 0) return;
  const size_t page = sys::page_size();
  const uintptr_t begin = signal_safe::reserve(kSparePages * page);
  for (size_t i = 0; begin != 0 && i < kSparePages; i += 2) {
    signal_safe::protect({begin + i * page, begin + (i + 1) * page}, PROT_READ);
  }
  spare_begin = begin;
}

Verdict lost_page(Watch& watch, const Attempt& attempt) {
  const uintptr_t page = attempt.address & ~(uintptr_t{sys::page_size()} - 1);
  Damage* damage = damage_of(watch, page);
  if (damage == nullptr) return Verdict::kForeign;
  if (damage->state_of(page).bits != 0) return idle(watch);  // another thread was first
  Range pages = unit_at(watch, damage->unit, page);
  const FaultKind kind = kind_of(watch, *damage, pages, attempt);
  if (kind == FaultKind::kNone) return idle(watch);
  const int protection = protection_of(watch, page);
  if (kind == FaultKind::kNoSpace && readable(pages) && !all_zero(pages)) {
    if (!put_copy(pages, protection)) return Verdict::kForeign;
    finish(watch, *damage, pages, PageState::make(kind, protection, true), SIGBUS);
    return Verdict::kMended;
  }
  const bool to_the_end = kind == FaultKind::kTruncated && damage->islands > kMostIslands;
  if (to_the_end) pages = rest_of(watch, *damage, pages);
  keep_original(*damage, pages);
  const auto put = [&] { return signal_safe::put_zeros(pages, protection); };
  if (!with_spare_regions(put)) {
    if (kind != FaultKind::kTruncated || to_the_end) return Verdict::kForeign;
    pages = rest_of(watch, *damage, pages);
    if (!put()) return Verdict::kForeign;
  }
  const bool alone = pages.begin == watch.begin.load() ||
                     damage->state_of(pages.begin - sys::page_size()).bits == 0;
  if (alone) ++damage->islands;
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
  if (damage.shared) return put_copy(pages, kReadWrite);
  if (shadow_of(damage) == 0) return false;
  const uintptr_t to = damage.shadow + (pages.begin - damage.pages.begin);
  const Range stash{to, to + pages.size()};
  return with_spare_regions([&] { return signal_safe::put_zeros(stash, kReadWrite); }) &&
         signal_safe::copy(stash.data(), pages.data(), pages.size()) &&
         with_spare_regions([&] { return signal_safe::protect(pages, kReadWrite); });
}

}  // namespace

Verdict stray_write(Watch& watch, const Attempt& attempt) {
  const size_t size = sys::page_size();
  const uintptr_t at = attempt.address & ~(uintptr_t{size} - 1);
  const Range page{at, at + size};
  // Code that runs there, or a read of what cannot be read, is nobody's stray write.
  if (page.contains(attempt.instruction)) return Verdict::kForeign;
  signal_safe::Behind behind{};
  char path[Damage::kPath];
  if (!signal_safe::look(at, &behind, path, sizeof path)) return Verdict::kForeign;
  const int protection = behind.region.protection;
  if ((protection & PROT_WRITE) != 0) return idle(watch);
  if ((protection & PROT_READ) == 0) return Verdict::kForeign;
  Damage* damage = damage_of(watch, at);
  if (damage == nullptr) return Verdict::kForeign;
  if (damage->state_of(at).bits != 0) return write_into_mended(watch, *damage, page);
  Range pages = step_at(watch, *damage, page, behind.region.range);
  if (!let_write(*damage, pages)) {
    // A later page of the step may lie beyond the end of the file.
    pages = page;
    if (!let_write(*damage, pages)) {
      // Not even this page can be read: the file ends before it.
      if (!damage->shared || !signal_safe::put_zeros(pages, PROT_READ | PROT_WRITE)) {
        return Verdict::kForeign;
      }
    }
  }
  finish(watch, *damage, pages, PageState::make(FaultKind::kReadOnly, protection, true), SIGSEGV);
  return Verdict::kMended;
}

}  // namespace memmap::mend
