#include "faults/writeback.h"

#include <errno.h>
#include <sys/mman.h>

#include <memory>
#include <new>

#include "faults/handler/classify.h"

namespace memmap::writeback {

namespace {

// Where the private pages differ from what they started as, their bytes go to the staged ones.
class Writer {
 public:
  Writer(FaultState& fault_state, const Lost& lost)
      : damage_(fault_state),
        lost_(lost),
        ours_(new(std::nothrow) uint8_t[sys::page_size()]),
        theirs_(new(std::nothrow) uint8_t[sys::page_size()]) {}

  Outcome write() {
    const size_t page = sys::page_size();
    if (ours_ == nullptr || theirs_ == nullptr) return sys::Status{ENOMEM, "malloc"};
    for (size_t at = 0; at < lost_.pages.size(); at += page) {
      const Outcome written = write_page(lost_.pages.begin + at, lost_.staged.begin + at);
      if (!written.ok()) return written;
    }
    return {};
  }

 private:
  Outcome write_page(uintptr_t from, uintptr_t to) {
    const size_t page = sys::page_size();
    const auto taken = sys::copy(ours_.get(), reinterpret_cast<void*>(from), page, true);
    if (!taken.ok()) return taken.status();
    // A copy started as what the page showed; everything else started as zeros.
    const bool copied = lost_.state.copied();
    if (copied && !take_start(from, to)) return {Refusal::kFault, from};
    bool writable = false;
    bool in_doubt = false;
    for (size_t i = 0; i < page;) {
      if (!differs(i, copied)) {
        ++i;
        continue;
      }
      size_t end = i + 1;
      while (end < page && differs(end, copied)) ++end;
      const Reach reach = reach_of(to, end);
      if (reach == Reach::kBeyond) return {Refusal::kFault, from};
      in_doubt = in_doubt || reach == Reach::kUnknown;
      // Blocks first: a full disk says so here.
      if (!writable && !sys::populate({to, to + page}, true).ok()) return {Refusal::kFault, from};
      writable = true;
      const auto put = sys::copy(reinterpret_cast<void*>(to + i), ours_.get() + i, end - i, false);
      if (!put.ok()) return {Refusal::kFault, from};
      i = end;
    }
    return in_doubt && !stays(to, copied) ? Outcome(Refusal::kFault, from) : Outcome();
  }

  // A file system writes zeros for what lies beyond the end of the file, and so shows where that
  // is.
  bool stays(uintptr_t to, bool copied) {
    const size_t page = sys::page_size();
    const std::unique_ptr<uint8_t[]> now(new (std::nothrow) uint8_t[page]);
    if (now == nullptr || !sys::sync({to, to + page}, MS_SYNC).ok()) return false;
    if (!sys::copy(now.get(), reinterpret_cast<void*>(to), page, true).ok()) return false;
    for (size_t i = 0; i < page; ++i) {
      if (differs(i, copied) && now[i] != ours_[i]) return false;
    }
    return true;
  }

  // What the page started as: kept beside it, or else what the file shows now.
  bool take_start(uintptr_t from, uintptr_t to) {
    const size_t page = sys::page_size();
    const uintptr_t kept = damage_.shadow + (from - damage_.pages.begin);
    const bool is_kept = damage_.shared && damage_.shadow != 0 &&
                         sys::copy(theirs_.get(), reinterpret_cast<void*>(kept), page, true).ok();
    return is_kept || sys::copy(theirs_.get(), reinterpret_cast<void*>(to), page, true).ok();
  }

  // Bytes of the last page that lie beyond the end of the file would be taken, and lost. Whether
  // the file reaches to the end of the `length` first bytes of a staged page:
  enum class Reach { kWithin, kBeyond, kUnknown };
  [[nodiscard]] Reach reach_of(uintptr_t page, size_t length) const {
    if (damage_.anonymous || !damage_.shared) return Reach::kWithin;
    uint64_t size = 0;
    const uint64_t offset =
        classify::offset_of(damage_, lost_.pages.begin + (page - lost_.staged.begin));
    if (classify::size_now(damage_, page, &size)) {
      return size >= offset + length ? Reach::kWithin : Reach::kBeyond;
    }
    const uintptr_t next = page + sys::page_size();
    const bool goes_on = sys::populate({next, next + sys::page_size()}, false).ok();
    return goes_on ? Reach::kWithin : Reach::kUnknown;
  }

  [[nodiscard]] bool differs(size_t i, bool copied) const {
    return ours_[i] != (copied ? theirs_[i] : 0);
  }

  FaultState& damage_;
  const Lost& lost_;
  std::unique_ptr<uint8_t[]> ours_;
  std::unique_ptr<uint8_t[]> theirs_;
};

}  // namespace

Outcome write(FaultState& fault_state, const Lost& lost) {
  return Writer(fault_state, lost).write();
}

}  // namespace memmap::writeback
