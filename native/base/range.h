// Page arithmetic over half-open address ranges. Pure: knows no OS, no Node-API, no owned ranges.
// Every rounding says its direction; every sum is checked for overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace memmap {

// begin            end
//   |===============|          bytes [begin, end)
struct Range {
  uintptr_t begin = 0;
  uintptr_t end = 0;

  [[nodiscard]] size_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return begin >= end; }
  [[nodiscard]] bool overlaps(Range other) const { return begin < other.end && other.begin < end; }
  [[nodiscard]] bool contains(uintptr_t address) const { return begin <= address && address < end; }
  [[nodiscard]] bool contains(Range other) const {
    return begin <= other.begin && other.end <= end;
  }
  [[nodiscard]] Range intersect(Range other) const {
    return {begin > other.begin ? begin : other.begin, end < other.end ? end : other.end};
  }
  [[nodiscard]] void* data() const { return reinterpret_cast<void*>(begin); }
};

// False when address + length leaves the address space; *range is then untouched.
[[nodiscard]] inline bool make_range(uintptr_t address, size_t length, Range* range) {
  if (length > std::numeric_limits<uintptr_t>::max() - address) return false;
  *range = {address, address + length};
  return true;
}

// The smallest page range that holds every byte of it. False when rounding up overflows.
[[nodiscard]] inline bool outward(Range bytes, size_t page, Range* pages) {
  const uintptr_t mask = page - 1;
  if (bytes.end > std::numeric_limits<uintptr_t>::max() - mask) return false;
  *pages = {bytes.begin & ~mask, (bytes.end + mask) & ~mask};
  return true;
}

}  // namespace memmap
