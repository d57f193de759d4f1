// Which views lie over a range of addresses. A data structure: knows neither Node-API nor the
// kernel.
#pragma once

#include <bit>
#include <cstdint>
#include <map>
#include <vector>

#include "claims/view.h"

namespace memmap::views {

// Views by address. Several may overlap, so a search starts a longest view's length early; one list
// for each power of two, so that one large view does not make the search among small ones long.
class ViewIndex {
 public:
  void insert(View* view) {
    lists_[order(view)].emplace(view->bytes.begin, view);
    used_ |= uint64_t{1} << order(view);
  }
  void erase(View* view) {
    auto& list = lists_[order(view)];
    const auto same = list.equal_range(view->bytes.begin);
    for (auto entry = same.first; entry != same.second; ++entry) {
      if (entry->second != view) continue;
      list.erase(entry);
      break;
    }
    if (list.empty()) used_ &= ~(uint64_t{1} << order(view));
  }
  [[nodiscard]] bool over(Range pages) const {
    return !each_over(pages, [](View*) { return false; });
  }
  // Those over some of the pages, until visit(view) answers false; then so does this.
  template <typename Visit>
  bool each_over(Range pages, Visit visit) const {
    for (uint64_t left = used_; left != 0; left &= left - 1) {
      const int k = std::countr_zero(left);
      const uintptr_t longest = uintptr_t{2} << k;
      const auto& list = lists_[static_cast<size_t>(k)];
      const uintptr_t from = pages.begin > longest ? pages.begin - longest : 0;
      for (auto entry = list.lower_bound(from); entry != list.end() && entry->first < pages.end;
           ++entry) {
        if (entry->second->bytes.overlaps(pages) && !visit(entry->second)) return false;
      }
    }
    return true;
  }
  // Takes those over some of the pages out of the list.
  std::vector<View*> take_over(Range pages) {
    std::vector<View*> found;
    each_over(pages, [&](View* view) {
      found.push_back(view);
      return true;
    });
    for (View* view : found) erase(view);
    return found;
  }

 private:
  static size_t order(const View* view) {
    return static_cast<size_t>(std::bit_width(view->bytes.size()) - 1);
  }

  std::multimap<uintptr_t, View*> lists_[64];
  uint64_t used_ = 0;
};

}  // namespace memmap::views
