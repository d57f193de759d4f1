// A set of half-open ranges, merged where they touch, in memory of its own: no malloc. Knows how to
// find room in itself. The caller locks. Knows no system call.
#pragma once

#include "base/range.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose {

// What a set is made of. Two trees run through the nodes: by address and by length.
struct Node {
  Range range;
  uintptr_t most;  // the longest range in this subtree of the tree by address
  uint32_t priority;
  uint32_t link[2][2];  // tree, side; 0 is none
};

// Nodes of one set: an array that somebody else has mapped, zeroed; number 0 is never used.
class Nodes {
 public:
  void use(Node* array, uint32_t count) {
    array_ = array;
    count_ = count;
    used_ = 1;
  }
  [[nodiscard]] Node& at(uint32_t node) const { return array_[node]; }
  uint32_t take(Range range);  // 0: none is left
  void give(uint32_t node);

 private:
  Node* array_ = nullptr;
  uint32_t count_ = 0;
  uint32_t used_ = 1;
  uint32_t free_ = 0;  // a list through link[0][0]
  uint32_t random_ = 2463534242;
};

class Ranges {
 public:
  // `fits`: whether find() will be asked for anything but the first fit.
  void use(Node* array, uint32_t count, bool fits) {
    nodes_.use(array, count);
    by_length_ = fits;
  }
  // False: there was no node left, and a part of the range is not in the set.
  bool add(Range range);
  // False: there was no node left, and more than the range has gone.
  bool remove(Range range);
  [[nodiscard]] bool overlaps(Range range) const { return !range.empty() && reach(range) != 0; }
  [[nodiscard]] bool contains(Range range) const {
    const uint32_t node = reach(range);
    return node != 0 && nodes_.at(node).range.contains(range);
  }
  [[nodiscard]] bool empty() const { return root_[kByAddress] == 0; }
  // Where in the set it fits, by the policy; 0: nowhere.
  struct Wanted {
    size_t length;
    size_t alignment;  // powers of two
    size_t granule;    // what every range of the set is a multiple of
    Policy policy;
  };
  [[nodiscard]] uintptr_t find(const Wanted& wanted) const;

 private:
  enum Tree { kByAddress, kByLength };

  [[nodiscard]] bool before(Tree tree, uint32_t a, uint32_t b) const;
  void pull(uint32_t node);
  void insert(Tree tree, uint32_t node);
  void erase(Tree tree, uint32_t node);
  bool insert_new(Range range);
  void drop(uint32_t node);
  [[nodiscard]] uint32_t reach(Range range) const;
  // The lowest or the highest range that is long enough.
  [[nodiscard]] uint32_t outermost_fit(size_t length, int side) const;
  // The shortest that is, the lowest of those.
  [[nodiscard]] uint32_t best_fit(size_t length) const;

  Nodes nodes_;
  uint32_t root_[2] = {0, 0};
  bool by_length_ = false;
};

}  // namespace memmap::interpose
