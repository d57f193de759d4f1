// The helper's set of ranges against an array of bytes: ranges ROUNDS SEED. Exit code 0, or a line on stderr and 1.
#include "../../native/interpose/ranges.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

using memmap::Range;
using memmap::interpose::Node;
using memmap::interpose::Policy;
using memmap::interpose::Ranges;

namespace {

constexpr size_t kSize = 700;
constexpr uintptr_t kBase = 1000;

uint64_t state = 1;
size_t pick(size_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % below;
}

[[noreturn]] void fail(const char* what, size_t round) {
  std::fprintf(stderr, "round %zu: %s\n", round, what);
  std::exit(1);
}

struct Run {
  size_t begin;
  size_t end;
};
std::vector<Run> runs_of(const std::vector<bool>& model) {
  std::vector<Run> runs;
  for (size_t at = 0; at < kSize; ++at) {
    if (!model[at]) continue;
    if (at == 0 || !model[at - 1]) runs.push_back({at, at});
    runs.back().end = at + 1;
  }
  return runs;
}

uintptr_t expected(const std::vector<Run>& runs, const Ranges::Wanted& wanted) {
  const size_t length = wanted.length + wanted.alignment - wanted.granule;
  const Run* found = nullptr;
  for (const Run& run : runs) {
    if (run.end - run.begin < length) continue;
    const bool shorter = found != nullptr && run.end - run.begin < found->end - found->begin;
    if (found == nullptr || wanted.policy == Policy::kTopDown ||
        (wanted.policy == Policy::kBestFit && shorter)) {
      found = &run;
    }
  }
  if (found == nullptr) return 0;
  const uintptr_t mask = ~(wanted.alignment - 1);
  if (wanted.policy == Policy::kTopDown) return (kBase + found->end - wanted.length) & mask;
  return (kBase + found->begin + wanted.alignment - 1) & mask;
}

}  // namespace

int main(int, char** words) {
  const size_t rounds = std::strtoul(words[1], nullptr, 10);
  state = std::strtoul(words[2], nullptr, 10);
  std::vector<Node> nodes(kSize);
  Ranges set;
  set.use(nodes.data(), static_cast<uint32_t>(nodes.size()), true);
  std::vector<bool> model(kSize, false);
  for (size_t round = 0; round < rounds; ++round) {
    const size_t begin = pick(kSize);
    const size_t end = begin + pick(pick(8) == 0 ? kSize - begin + 1 : 12);
    const size_t last = end > kSize ? kSize : end;
    const bool adding = pick(2) == 0;
    const Range range{kBase + begin, kBase + last};
    if (!(adding ? set.add(range) : set.remove(range))) fail("no room for a node", round);
    for (size_t at = begin; at < last; ++at) model[at] = adding;
    const size_t from = pick(kSize);
    const size_t to = from + pick(20);
    bool hit = false;
    for (size_t at = from; at < to && at < kSize; ++at) hit = hit || model[at];
    if (set.overlaps({kBase + from, kBase + to}) != hit) fail("overlaps", round);
    bool whole = from < to && to <= kSize;
    for (size_t at = from; whole && at < to; ++at) whole = model[at];
    if (from < to && set.contains({kBase + from, kBase + to}) != whole) fail("contains", round);
    const auto runs = runs_of(model);
    if (set.empty() != runs.empty()) fail("empty", round);
    for (const Policy policy : {Policy::kFirstFit, Policy::kBestFit, Policy::kTopDown}) {
      const Ranges::Wanted wanted{1 + pick(30), size_t{1} << pick(5), 1, policy};
      if (set.find(wanted) != expected(runs, wanted)) fail("find", round);
    }
  }
  // With too few nodes it says so, and what it does say to hold is never more than was put in.
  Ranges small;
  small.use(nodes.data(), 4, true);
  bool whole = true;
  for (uintptr_t at = 10; at < 100; at += 10) whole = small.add({at, at + 5}) && whole;
  if (whole || small.overlaps({0, 10}) || small.overlaps({105, 999})) fail("few nodes", rounds);
  std::puts("done");
  return 0;
}
