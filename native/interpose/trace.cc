#include "interpose/trace.h"

#include <errno.h>

#include "interpose/call_site.h"
#include "interpose/placement.h"
#include "interpose/process.h"
#include "interpose/protection.h"

namespace memmap::interpose::trace {

namespace {

constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, 5.14
// So many records are made writable at once, half of it ahead: where the disk is full that is an
// error here, and not SIGBUS in whoever calls mmap.
constexpr uint64_t kStep = 8192;
std::atomic<bool> full{false};

Record* records(Header* header) {
  return reinterpret_cast<Record*>(reinterpret_cast<uintptr_t>(header) + kRecords);
}

uint64_t step_after(const Header* header, uint64_t begin) {
  return header->capacity - begin > kStep ? begin + kStep : header->capacity;
}

// Makes the records from `begin` up to `end` writable. 0 or -errno.
long populate(Header* header, uint64_t begin, uint64_t end) {
  const uintptr_t mask = header->page_size - 1;
  const auto base = reinterpret_cast<uintptr_t>(header);
  const uintptr_t from = begin == 0 ? base : reinterpret_cast<uintptr_t>(records(header) + begin);
  const auto to = reinterpret_cast<uintptr_t>(records(header) + end);
  const uintptr_t first = from & ~mask;
  return syscalls::madvise(first, ((to + mask) & ~mask) - first, kPopulateWrite);
}

// Several may do it at once, and each may be ended in the middle of it.
void extend(Header* header, uint64_t index) {
  uint64_t begin = header->ready.load();
  while (begin < header->capacity && begin < index + kStep / 2) {
    const uint64_t end = step_after(header, begin);
    if (syscalls::failed(populate(header, begin, end))) {
      // What cannot be had is not asked for again: the rest is lost, and counted.
      full = true;
      return;
    }
    if (header->ready.compare_exchange_strong(begin, end)) begin = end;
  }
}

}  // namespace

bool prepare(Header* header, long fd) {
  full = false;
  // Another program was here before.
  if (header->ready.load() > 0) return true;
  const uint64_t first = step_after(header, 0);
  const long done = populate(header, 0, first);
  if (done == -EINVAL) {
    // An older kernel: every block now, so that none can be missing later.
    const uint64_t size = kRecords + header->capacity * sizeof(Record);
    if (syscalls::failed(syscalls::fallocate(fd, size))) return false;
    header->ready = header->capacity;
    return true;
  }
  if (syscalls::failed(done)) return false;
  header->ready = first;
  return true;
}

void append(Header* header, const Entry& entry, const void* caller, uint64_t time) {
  const uint16_t library = call_site::library_of(header, caller);
  const uint64_t index = header->next.fetch_add(1, std::memory_order_relaxed);
  if (index < header->capacity && !full.load(std::memory_order_relaxed) &&
      index + kStep / 2 > header->ready.load(std::memory_order_relaxed)) {
    extend(header, index);
  }
  if (index >= header->ready.load(std::memory_order_acquire)) {
    header->lost.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  Record& record = records(header)[index];
  record.time = time == 0 ? syscalls::now() : time;
  record.address = entry.address;
  record.length = entry.length;
  record.result = entry.result;
  record.more = entry.more;
  if (entry.call == Call::kMremap) {
    record.new_address = entry.new_address;
  } else {
    record.mode = {entry.protection, entry.fd};
  }
  record.thread = process::thread_id();
  record.library = library;
  record.call = entry.call;
  record.verdict = entry.verdict;
  record.flags = entry.flags;
  record.complete.store(kComplete, std::memory_order_release);
}

void append_own(Header* header, const void* here) {
  const auto own = reinterpret_cast<const void*>(&append_own);
  const auto add = [&](uint64_t at, uint64_t length, int protection, int flags) {
    if (length == 0) return;
    Entry entry{Call::kMmap, Verdict::kDone, 0, length, static_cast<int64_t>(at)};
    entry.protection = protection;
    entry.flags = flags;
    append(header, entry, own, header->started_monotonic);
  };
  constexpr int kData = PROT_READ | PROT_WRITE;
  constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const uint64_t table = kRecords + header->capacity * sizeof(Record);
  add(reinterpret_cast<uint64_t>(header), table, kData, MAP_SHARED);
  add(reinterpret_cast<uint64_t>(here), header->page_size, kData, kAnonymous);
  add(protection::node_memory().begin, protection::node_memory().size(), kData, kAnonymous);
  add(placement::node_memory().begin, placement::node_memory().size(), kData, kAnonymous);
  add(header->arena_at, header->arena_length, PROT_NONE, kAnonymous);
}

}  // namespace memmap::interpose::trace
