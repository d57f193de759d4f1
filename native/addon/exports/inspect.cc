// The exports that look at a process: packed rows of numbers, so that a listing of thousands of
// regions is one value and not thousands of objects.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "claims/claims.h"
#include "sys/survey.h"

namespace memmap::exports {

namespace {

// What memmap itself knows of a page, by its numbers in lib/looking/survey.ts.
enum class Holder { kNone, kMapping, kReservation, kRetired };

struct Held {
  Range pages;
  Holder holder;
  double owner;  // -1: not this environment's
};

Held to_held(const OwnedRange& owned_range, const Environment& own) {
  const bool gone =
      owned_range.state == State::kRetired || owned_range.state == State::kQuarantined;
  const Holder holder = owned_range.vacant ? Holder::kReservation
                        : gone             ? Holder::kRetired
                                           : Holder::kMapping;
  return {owned_range.pages, holder, owned_range.environment == &own ? owned_range.owner : -1};
}

std::vector<Held> held_now(const Environment& own) {
  std::vector<Held> list;
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock_now = owned_ranges.lock();
  list.reserve(owned_ranges.count());
  owned_ranges.each(
      [&](const OwnedRange& owned_range) { list.push_back(to_held(owned_range, own)); });
  return list;
}

constexpr int kShared = 8;             // beside the protection's bits
constexpr int kContinued = 16;         // the kernel's region begins before it
constexpr double kMinors = 1048576.0;  // 2^20: the kernel's numbers of devices

// A row: begin, end, mode, offset, inode, device, name, holder, owner.
constexpr size_t kColumns = 9;

// The row of the part of a region that somebody holds. Its name is for the caller to number.
void write_row(double* row, const sys::NamedRegion& named, const Held& held) {
  const sys::Region& region = named.region;
  const Range part = held.pages;
  const bool first = part.begin == region.range.begin;
  const bool in_file = region.offset != 0 || region.inode != 0;
  row[0] = static_cast<double>(part.begin);
  row[1] = static_cast<double>(part.end);
  row[2] = region.protection | (region.shared ? kShared : 0) | (first ? 0 : kContinued);
  row[3] = static_cast<double>(region.offset + (in_file ? part.begin - region.range.begin : 0));
  row[4] = static_cast<double>(region.inode);
  row[5] = named.major * kMinors + named.minor;
  row[6] = -1;
  row[7] = static_cast<double>(held.holder);
  row[8] = held.owner;
}

class Rows {
 public:
  explicit Rows(std::vector<Held> held) : held_(std::move(held)) {}

  void add(const sys::NamedRegion& named) {
    // One that grows over its neighbour while it is listed is listed again, from its beginning.
    Range range = named.region.range;
    range.begin = std::max(range.begin, end_);
    if (range.begin >= range.end) return;
    end_ = range.end;
    const double name = name_of({named.name, named.name_length});
    split(range, [&](const Held& held) {
      double row[kColumns];
      write_row(row, named, held);
      row[6] = name;
      rows_.insert(rows_.end(), row, row + kColumns);
    });
  }

  [[nodiscard]] const std::vector<double>& values() const { return rows_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  // The kernel makes one region of neighbours that are alike: one row for each who holds a part.
  template <typename Put>
  void split(Range range, Put put) {
    while (next_ < held_.size() && held_[next_].pages.end <= range.begin) ++next_;
    uintptr_t at = range.begin;
    for (size_t i = next_; i < held_.size() && held_[i].pages.begin < range.end; ++i) {
      const Range part = held_[i].pages.intersect(range);
      if (part.begin > at) put(Held{{at, part.begin}, Holder::kNone, -1});
      put(Held{part, held_[i].holder, held_[i].owner});
      at = part.end;
    }
    if (at < range.end) put(Held{{at, range.end}, Holder::kNone, -1});
  }

  double name_of(std::string_view name) {
    if (name.empty()) return -1;
    // Mostly the one before: the segments of a library follow one another.
    if (recent_ < names_.size() && names_[recent_] == name) return static_cast<double>(recent_);
    const auto found = known_.find(std::string(name));
    recent_ = found == known_.end() ? names_.size() : found->second;
    if (found == known_.end()) {
      names_.emplace_back(name);
      known_.emplace(names_.back(), recent_);
    }
    return static_cast<double>(recent_);
  }

  std::vector<Held> held_;
  uintptr_t end_ = 0;
  size_t next_ = 0;
  std::vector<double> rows_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, size_t> known_;
  size_t recent_ = 0;
};

napi_value to_object(const Args& args, const Rows& rows) {
  Napi::Array names = Napi::Array::New(args.env(), rows.names().size());
  for (uint32_t i = 0; i < names.Length(); ++i) {
    names[i] = Napi::String::New(args.env(), rows.names()[i]);
  }
  Napi::Object listing = Napi::Object::New(args.env());
  listing.Set("rows", Napi::Value(args.env(), args.numbers(rows.values())));
  listing.Set("names", names);
  return listing;
}

bool add_row(void* context, const sys::NamedRegion& region) {
  static_cast<Rows*>(context)->add(region);
  return true;
}

// regionTable(pid) -> { rows, names }
napi_value survey(Args& args) {
  const pid_t pid = args.pid(0);
  if (!args.ok()) return args.failure();
  Rows rows(pid == 0 ? held_now(args.environment()) : std::vector<Held>());
  const sys::Status listed = sys::survey(pid, add_row, &rows);
  return listed.ok() ? to_object(args, rows) : to_failure(args.env(), Outcome(listed));
}

// The part of a region that holds `address`, and who holds that.
Held part_at(uintptr_t address, Range region, const Environment& own) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock_now = owned_ranges.lock();
  if (const OwnedRange* owned_range = owned_ranges.at(address)) {
    Held held = to_held(*owned_range, own);
    held.pages = held.pages.intersect(region);
    return held;
  }
  Range gap = region;
  if (const OwnedRange* below = owned_ranges.below(address))
    gap.begin = std::max(gap.begin, below->pages.end);
  if (const OwnedRange* above = owned_ranges.first_in({address, region.end}))
    gap.end = above->pages.begin;
  return {gap, Holder::kNone, -1};
}

struct Located {
  const Args* args;
  uintptr_t address;
  double* row;
  napi_value name;
};

bool tell_located(void* context, const sys::NamedRegion& named) {
  auto& found = *static_cast<Located*>(context);
  const Held held = part_at(found.address, named.region.range, found.args->environment());
  write_row(found.row, named, held);
  found.name = Napi::String::New(found.args->env(), named.name, named.name_length);
  return false;
}

// locate(address, row) -> what the kernel calls the region of this process that holds it, with its
// row filled in; undefined where there is none
napi_value locate(Args& args) {
  const auto address = static_cast<uintptr_t>(args.offset(0));
  const Args::Numbers row = args.numbers(1);
  if (!args.ok()) return args.failure();
  if (row.size() < kColumns) return to_failure(args.env(), {Refusal::kArgument, 1});
  Located found{&args, address, row.data(), nullptr};
  const sys::Status asked = sys::survey_at(address, tell_located, &found);
  return asked.ok() ? found.name : to_failure(args.env(), Outcome(asked));
}

void push(std::vector<double>* rows, const sys::Usage& usage) {
  const auto number = [](uint64_t value) {
    return value == sys::kUnknown ? std::nan("") : static_cast<double>(value);
  };
  for (const uint64_t value : {uint64_t{usage.range.begin}, uint64_t{usage.range.end},
                               usage.resident, usage.dirty, usage.swapped, usage.huge}) {
    rows->push_back(number(value));
  }
}

// usage(pid) -> rows of begin, end, resident, dirty, swapped, huge
napi_value usage(Args& args) {
  const pid_t pid = args.pid(0);
  if (!args.ok()) return args.failure();
  std::vector<double> rows;
  const auto visit = [](void* context, const sys::Usage& each) {
    push(static_cast<std::vector<double>*>(context), each);
  };
  const sys::Status read = sys::usage(pid, visit, &rows);
  return read.ok() ? args.numbers(rows) : to_failure(args.env(), Outcome(read));
}

// pageUsage(pid, [begin, end, ...]) -> the same rows, NaN where it is not known
napi_value page_usage(Args& args) {
  const pid_t pid = args.pid(0);
  const Args::Numbers ranges = args.numbers(1);
  if (!args.ok()) return args.failure();
  std::vector<sys::Usage> list;
  for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
    const double begin = ranges[i];
    const double end = ranges[i + 1];
    constexpr double kMost = 9223372036854775808.0;  // 2^63
    const auto page = static_cast<double>(sys::page_size());
    const bool sound = begin >= 0 && end <= kMost && begin <= end && std::fmod(begin, page) == 0 &&
                       std::fmod(end, page) == 0;
    if (!sound) return to_failure(args.env(), {Refusal::kArgument, 1});
    list.push_back(
        {{static_cast<uintptr_t>(begin), static_cast<uintptr_t>(end)}, 0, sys::kUnknown, 0, 0});
  }
  const sys::Status read = sys::usage_of_pages(pid, list.data(), list.size());
  if (!read.ok()) return to_failure(args.env(), Outcome(read));
  std::vector<double> rows;
  for (const sys::Usage& each : list) push(&rows, each);
  return args.numbers(rows);
}

// threadStacks(pid) -> [thread, an address in its stack (0: not known), ...]
napi_value thread_stacks(Args& args) {
  const pid_t pid = args.pid(0);
  if (!args.ok()) return args.failure();
  std::vector<double> rows;
  const auto visit = [](void* context, const sys::ThreadStack& stack) {
    auto& list = *static_cast<std::vector<double>*>(context);
    list.push_back(stack.thread);
    // Whole pages, which a double holds exactly wherever they are.
    list.push_back(static_cast<double>(stack.pointer & ~(sys::page_size() - 1)));
  };
  const sys::Status read = sys::thread_stacks(pid, visit, &rows);
  return read.ok() ? args.numbers(rows) : to_failure(args.env(), Outcome(read));
}

// programPath(pid) -> the path of what it runs
napi_value program_path(Args& args) {
  const pid_t pid = args.pid(0);
  if (!args.ok()) return args.failure();
  char path[8192];
  const auto found = sys::program_path(pid, path, sizeof path);
  if (!found.ok()) return to_failure(args.env(), Outcome(found.status()));
  return Napi::String::New(args.env(), path, found.value);
}

// limits() -> [first address that may be mapped, most regions (0: not known), RLIMIT_AS (0: none)]
napi_value limits(Args& args) {
  return args.numbers({static_cast<double>(sys::lowest_address()),
                       static_cast<double>(sys::region_limit()),
                       static_cast<double>(sys::address_space_limit())});
}

}  // namespace

void add_survey_to(Napi::Object exports, Environment* own) {
  add<survey>(exports, "regionTable", own);
  add<locate>(exports, "locate", own);
  add<usage>(exports, "usage", own);
  add<page_usage>(exports, "pageUsage", own);
  add<thread_stacks>(exports, "threadStacks", own);
  add<program_path>(exports, "programPath", own);
  add<limits>(exports, "limits", own);
}

}  // namespace memmap::exports
