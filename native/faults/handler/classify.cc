#include "faults/handler/classify.h"

#include <errno.h>
#include <string.h>

namespace memmap::classify {

namespace signal_safe = sys::signal_safe;
using signal_safe::FaultAccess;

namespace {

// Times that a fault which looks like a bad disk is tried again.
constexpr uint32_t kDoubts = 2;

// True when a later page of the same file can still be read: it does not end before them.
bool reads_beyond(const GuardedRange& guard, FaultState& fault_state, Range pages) {
  const uintptr_t end = guard.end.load();
  for (const uintptr_t at : {pages.end, end - fault_state.unit}) {
    if (at < pages.end || at >= end || fault_state.state_of(at).bits != 0) continue;
    if (readable({at, at + fault_state.unit})) return true;
  }
  return false;
}

// tmpfs needs a page of its own to show a hole, also to a reader: then it is full, not broken.
bool is_hole(const FaultState& fault_state, uint64_t offset) {
  if (fault_state.path[0] == '\0') return false;
  const signal_safe::FileId file{true, fault_state.device, fault_state.inode, 0};
  const auto reading = signal_safe::read_at(fault_state.path, file, offset);
  if (reading != signal_safe::Reading::kUnknown) return reading == signal_safe::Reading::kGood;
  return !signal_safe::has_space(fault_state.path);
}

}  // namespace

signal_safe::FileId learn_file_name(FaultState& fault_state) {
  const auto named = signal_safe::identify_file(fault_state.found_path);
  fault_state.path[0] = '\0';
  if (!named.found) return named;
  memcpy(fault_state.path, fault_state.found_path, FaultState::kPath);
  fault_state.device = named.device;
  fault_state.inode = named.inode;
  return named;
}

uint64_t offset_of(const FaultState& fault_state, uintptr_t page) {
  return fault_state.anonymous ? 0 : fault_state.file_offset + (page - fault_state.pages.begin);
}

bool size_now(FaultState& fault_state, uintptr_t page, uint64_t* size) {
  if (fault_state.anonymous) return false;
  if (fault_state.path[0] != '\0') {
    const auto known = signal_safe::identify_file(fault_state.path);
    if (known.found && known.device == fault_state.device && known.inode == fault_state.inode) {
      *size = known.size;
      return true;
    }
  }
  // It was renamed, or has no name any more.
  signal_safe::RegionInfo region_info{};
  if (!signal_safe::query_region(page, &region_info, fault_state.found_path, FaultState::kPath))
    return false;
  *size = learn_file_name(fault_state).size;
  return fault_state.path[0] != '\0';
}

bool readable(Range pages) {
  const int error = signal_safe::populate(pages, false);
  char byte = 0;
  return error == ENOSYS ? signal_safe::copy(&byte, pages.data(), 1) : error == 0;
}

FaultKind cause_of(const GuardedRange& guard, FaultState& fault_state, Range pages,
                   const FaultAccess& access) {
  uint64_t size = 0;
  const uint64_t offset = offset_of(fault_state, pages.begin);
  const bool named = size_now(fault_state, pages.begin, &size);
  if (named && size <= offset) return FaultKind::kTruncated;
  // Cut and made longer again between two looks: only what goes on failing has really failed.
  const auto believed = [&](FaultKind kind) {
    if (named && size_now(fault_state, pages.begin, &size) && size <= offset) {
      return FaultKind::kTruncated;
    }
    return guard.idle.load() < kDoubts ? FaultKind::kNone : kind;
  };
  if (!readable(pages)) {
    // A file without a name cannot be asked how long it is, but its later pages can.
    const bool still_long =
        named || fault_state.anonymous || reads_beyond(guard, fault_state, pages);
    if (!still_long) return FaultKind::kTruncated;
    const bool pool_is_empty = fault_state.anonymous && fault_state.unit > sys::page_size();
    if (pool_is_empty) return FaultKind::kNoSpace;
    return believed(is_hole(fault_state, offset) ? FaultKind::kNoSpace : FaultKind::kIoError);
  }
  if (!access.known) return believed(FaultKind::kNoSpace);
  if (!access.write) return FaultKind::kNone;
  const int error = signal_safe::populate(pages, true);
  if (error == 0) return FaultKind::kNone;
  const bool space = fault_state.path[0] != '\0' && signal_safe::has_space(fault_state.path);
  return believed(space ? FaultKind::kIoError : FaultKind::kNoSpace);
}

}  // namespace memmap::classify
