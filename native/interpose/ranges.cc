// Treaps without recursion: a signal handler may have little stack.
#include "interpose/ranges.h"

namespace memmap::interpose {

namespace {

constexpr int kLeft = 0;
constexpr int kRight = 1;
// A treap of 2^20 nodes is some 50 deep. Deeper than this is as likely as a broken processor.
constexpr size_t kDeepest = 256;

// The nodes on the way down, to be mended on the way up.
struct Path {
  uint32_t nodes[kDeepest];
  size_t count = 0;
  void add(uint32_t node) {
    if (count < kDeepest) nodes[count++] = node;
  }
};

}  // namespace

uint32_t Nodes::take(Range range) {
  uint32_t node = free_;
  if (node != 0) {
    free_ = at(node).link[0][0];
  } else if (used_ < count_) {
    node = used_++;
  } else {
    return 0;
  }
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  at(node) = Node{range, range.size(), random_, {{0, 0}, {0, 0}}};
  return node;
}

void Nodes::give(uint32_t node) {
  at(node).link[0][0] = free_;
  free_ = node;
}

bool Ranges::before(Tree tree, uint32_t a, uint32_t b) const {
  const Range one = nodes_.at(a).range;
  const Range other = nodes_.at(b).range;
  if (tree == kByLength && one.size() != other.size()) return one.size() < other.size();
  return one.begin < other.begin;
}

void Ranges::pull(uint32_t node) {
  Node& mine = nodes_.at(node);
  mine.most = mine.range.size();
  for (const uint32_t child : mine.link[kByAddress]) {
    if (child != 0 && nodes_.at(child).most > mine.most) mine.most = nodes_.at(child).most;
  }
}

void Ranges::insert(Tree tree, uint32_t node) {
  Path path;
  Node& mine = nodes_.at(node);
  uint32_t* place = &root_[tree];
  while (*place != 0 && nodes_.at(*place).priority >= mine.priority) {
    path.add(*place);
    place = &nodes_.at(*place).link[tree][before(tree, *place, node) ? kRight : kLeft];
  }
  // What was in that place is split in two by the new node.
  uint32_t rest = *place;
  *place = node;
  path.add(node);
  uint32_t* tail[2] = {&mine.link[tree][kLeft], &mine.link[tree][kRight]};
  while (rest != 0) {
    path.add(rest);
    const int side = before(tree, rest, node) ? kLeft : kRight;
    *tail[side] = rest;
    tail[side] = &nodes_.at(rest).link[tree][1 - side];
    rest = *tail[side];
  }
  *tail[kLeft] = 0;
  *tail[kRight] = 0;
  if (tree == kByAddress) {
    while (path.count > 0) pull(path.nodes[--path.count]);
  }
}

void Ranges::erase(Tree tree, uint32_t node) {
  Path path;
  uint32_t* place = &root_[tree];
  while (*place != node) {
    path.add(*place);
    place = &nodes_.at(*place).link[tree][before(tree, *place, node) ? kRight : kLeft];
  }
  uint32_t left = nodes_.at(node).link[tree][kLeft];
  uint32_t right = nodes_.at(node).link[tree][kRight];
  while (left != 0 && right != 0) {
    const bool left_is_root = nodes_.at(left).priority >= nodes_.at(right).priority;
    uint32_t& root = left_is_root ? left : right;
    path.add(root);
    *place = root;
    place = &nodes_.at(root).link[tree][left_is_root ? kRight : kLeft];
    root = *place;
  }
  *place = left != 0 ? left : right;
  if (tree == kByAddress) {
    while (path.count > 0) pull(path.nodes[--path.count]);
  }
}

bool Ranges::insert_new(Range range) {
  if (range.empty()) return true;
  const uint32_t node = nodes_.take(range);
  if (node == 0) return false;
  insert(kByAddress, node);
  if (by_length_) insert(kByLength, node);
  return true;
}

void Ranges::drop(uint32_t node) {
  erase(kByAddress, node);
  if (by_length_) erase(kByLength, node);
  nodes_.give(node);
}

// The first range that shares a byte with this one.
uint32_t Ranges::reach(Range range) const {
  uint32_t found = 0;
  for (uint32_t node = root_[kByAddress]; node != 0;) {
    const Node& mine = nodes_.at(node);
    const bool above = mine.range.end > range.begin;
    if (above) found = node;
    node = mine.link[kByAddress][above ? kLeft : kRight];
  }
  return found != 0 && nodes_.at(found).range.begin < range.end ? found : 0;
}

bool Ranges::add(Range range) {
  if (range.empty()) return true;
  // A byte more on both sides: those that touch it are merged as well.
  while (const uint32_t node = reach({range.begin - 1, range.end + 1})) {
    const Range other = nodes_.at(node).range;
    if (other.begin <= range.begin && range.end <= other.end) return true;
    drop(node);
    if (other.begin < range.begin) range.begin = other.begin;
    if (other.end > range.end) range.end = other.end;
  }
  return insert_new(range);
}

bool Ranges::remove(Range range) {
  if (range.empty()) return true;
  bool whole = true;
  while (const uint32_t node = reach(range)) {
    const Range other = nodes_.at(node).range;
    drop(node);
    if (other.begin < range.begin) whole = insert_new({other.begin, range.begin}) && whole;
    if (other.end > range.end) whole = insert_new({range.end, other.end}) && whole;
  }
  return whole;
}

uint32_t Ranges::outermost_fit(size_t length, int side) const {
  uint32_t node = root_[kByAddress];
  if (node == 0 || nodes_.at(node).most < length) return 0;
  for (;;) {
    const Node& mine = nodes_.at(node);
    const uint32_t outer = mine.link[kByAddress][side];
    if (outer != 0 && nodes_.at(outer).most >= length) {
      node = outer;
    } else if (mine.range.size() >= length) {
      return node;
    } else {
      node = mine.link[kByAddress][1 - side];
    }
  }
}

uint32_t Ranges::best_fit(size_t length) const {
  uint32_t found = 0;
  for (uint32_t node = root_[kByLength]; node != 0;) {
    const Node& mine = nodes_.at(node);
    const bool fits = mine.range.size() >= length;
    if (fits) found = node;
    node = mine.link[kByLength][fits ? kLeft : kRight];
  }
  return found;
}

uintptr_t Ranges::find(const Wanted& wanted) const {
  // Long enough for an aligned start wherever in it that is.
  const size_t slack = wanted.alignment - wanted.granule;
  const size_t length = wanted.length + slack;
  if (length < slack) return 0;
  const bool top_down = wanted.policy == Policy::kTopDown;
  const uint32_t node = wanted.policy == Policy::kBestFit
                            ? best_fit(length)
                            : outermost_fit(length, top_down ? kRight : kLeft);
  if (node == 0) return 0;
  const Range range = nodes_.at(node).range;
  const uintptr_t first = top_down ? range.end - wanted.length : range.begin + wanted.alignment - 1;
  return first & ~(wanted.alignment - 1);
}

}  // namespace memmap::interpose
