#include "faults/handler/classify.h"

#include <errno.h>
#include <string.h>

namespace memmap::fault_kind {

namespace signal_safe = sys::in_signal;
using signal_safe::Attempt;

namespace {

// Times that a fault which looks like a bad disk is tried again.
constexpr uint32_t kDoubts = 2;

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

}  // namespace

signal_safe::Named learn_name(Damage& damage) {
  const auto named = signal_safe::named(damage.found_path);
  damage.path[0] = '\0';
  if (!named.found) return named;
  memcpy(damage.path, damage.found_path, Damage::kPath);
  damage.device = named.device;
  damage.inode = named.inode;
  return named;
}

uint64_t offset_of(const Damage& damage, uintptr_t page) {
  return damage.anonymous ? 0 : damage.file_offset + (page - damage.pages.begin);
}

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
  if (!signal_safe::look(page, &behind, damage.found_path, Damage::kPath)) return false;
  *size = learn_name(damage).size;
  return damage.path[0] != '\0';
}

bool readable(Range pages) {
  const int error = signal_safe::populate(pages, false);
  char byte = 0;
  return error == ENOSYS ? signal_safe::copy(&byte, pages.data(), 1) : error == 0;
}

FaultKind of(const Watch& watch, Damage& damage, Range pages, const Attempt& attempt) {
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
    const bool pool_is_empty = damage.anonymous && damage.unit > sys::page_size();
    if (pool_is_empty) return FaultKind::kNoSpace;
    return believed(is_hole(damage, offset) ? FaultKind::kNoSpace : FaultKind::kIoError);
  }
  if (!attempt.known) return believed(FaultKind::kNoSpace);
  if (!attempt.write) return FaultKind::kNone;
  const int error = signal_safe::populate(pages, true);
  if (error == 0) return FaultKind::kNone;
  const bool space = damage.path[0] != '\0' && signal_safe::has_space(damage.path);
  return believed(space ? FaultKind::kIoError : FaultKind::kNoSpace);
}

}  // namespace memmap::fault_kind
