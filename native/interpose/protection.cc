#include "interpose/protection.h"

#include <initializer_list>

#include "interpose/call_site.h"
#include "interpose/deferred_updates.h"
#include "interpose/log.h"
#include "interpose/process.h"
#include "interpose/ranges.h"

namespace memmap::interpose::protection {

namespace {

constexpr uint32_t kNodes = 1 << 18;
constexpr uint32_t kFewNodes = 8192;

std::atomic<Protect> mode{Protect::kOff};
Ranges owned;
Range memory;
DeferredUpdates deferred;
// Read without the lock: whether there is anything to look for, and where.
std::atomic<uintptr_t> lowest{~uintptr_t{0}};
std::atomic<uintptr_t> highest{0};
std::atomic<uint32_t> told{0};
std::atomic<bool> overfull{false};

bool may_hit(Range range) {
  return range.begin < highest.load(std::memory_order_relaxed) &&
         lowest.load(std::memory_order_relaxed) < range.end;
}

void apply(bool adding, Range range) {
  if (adding ? owned.add(range) : owned.remove(range)) return;
  if (overfull.exchange(true)) return;
  Line line;
  line << "more ranges than can be kept: some of memmap's memory is not protected";
  line.print();
}

// The set is not right any more: from here on nothing is refused by them.
void give_up() {
  Protect refusing = Protect::kRefuse;
  if (!mode.compare_exchange_strong(refusing, Protect::kReport)) return;
  Line line;
  line << "lost count of memmap's memory: from here on calls that hit it are only reported";
  line.print();
}

template <typename Work>
bool with_set(Work work) {
  return process::with_lock([&] {
    deferred.drain(apply);
    work();
  });
}

const char* name_of(Call call) {
  switch (call) {
    case Call::kMmap:
      return "mmap(MAP_FIXED)";
    case Call::kMunmap:
      return "munmap";
    case Call::kMremap:
      return "mremap";
    case Call::kMprotect:
      return "mprotect";
    case Call::kMadvise:
      return "madvise";
  }
  return "";
}

void change(bool adding, Range range) {
  const bool done = with_set([&] { apply(adding, range); }) || deferred.push(adding, range);
  if (!done && !adding) give_up();
}

void report(Header* header, const CheckedCall& checked, bool refuses) {
  const uint32_t bit = 1U << static_cast<uint32_t>(checked.call);
  if ((told.fetch_or(bit) & bit) != 0) return;
  const uint16_t library = call_site::library_of(header, checked.caller);
  char path[sizeof(Library::path) + 1] = "unknown code";
  if (library != 0) {
    const auto* names =
        reinterpret_cast<const Library*>(reinterpret_cast<uintptr_t>(header) + kNames);
    const Library& name = names[library - 1];
    for (size_t i = 0; i < name.length; ++i) path[i] = name.path[i];
    path[name.length] = '\0';
  }
  Line line;
  line << name_of(checked.call) << " by " << path << " in thread " << process::thread_id()
       << " hits memory that memmap mapped: ";
  line.hex(checked.range.begin) << " to ";
  line.hex(checked.range.end) << (refuses ? ", refused (EPERM)" : ", reported");
  line.print();
}

}  // namespace

void prepare(const Header& header) {
  mode = header.protect;
  if (mode == Protect::kOff) return;
  for (const uint32_t count : {kNodes, kFewNodes}) {
    const size_t size = count * sizeof(Node);
    auto* nodes = static_cast<Node*>(process::own_memory(size));
    if (nodes == nullptr) continue;
    owned.use(nodes, count, false);
    const auto begin = reinterpret_cast<uintptr_t>(nodes);
    memory = {begin, begin + size};
    return;
  }
  mode = Protect::kOff;
  Line line;
  line << "no memory for the list of protected ranges: nothing is protected";
  line.print();
}

Range node_memory() { return memory; }

void add(Range range) {
  if (mode == Protect::kOff || range.empty()) return;
  uintptr_t low = lowest.load();
  while (range.begin < low && !lowest.compare_exchange_weak(low, range.begin)) {
  }
  uintptr_t high = highest.load();
  while (range.end > high && !highest.compare_exchange_weak(high, range.end)) {
  }
  change(true, range);
}

void remove(Range range) {
  if (mode == Protect::kOff || !may_hit(range)) return;
  change(false, range);
}

void forget(Range range) { remove(range); }

Verdict check_policy(Header* header, const CheckedCall& checked) {
  if (mode == Protect::kOff || !may_hit(checked.range)) return Verdict::kDone;
  bool hit = false;
  if (!with_set([&] { hit = owned.overlaps(checked.range); })) {
    header->unchecked.fetch_add(1, std::memory_order_relaxed);
  }
  if (!hit) return Verdict::kDone;
  const bool refuses = mode == Protect::kRefuse;
  report(header, checked, refuses);
  return refuses ? Verdict::kRefused : Verdict::kReported;
}

}  // namespace memmap::interpose::protection
