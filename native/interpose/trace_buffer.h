// The table that the helper keeps in a file, mapped and shared: what `memmap run` and the addon
// read. lib/looking/trace-table.ts reads the same layout. Must not know how it is filled.
//
//   0        Header     memmap run writes the first 64 bytes, the helper the rest
//   kNames   Library    paths of those who called, kLibraries of them
//   kRecords Record     capacity of them, in the order in which their calls ended
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace memmap::interpose {

constexpr uint64_t kMagic = 0x6e75722d6d656d6d;  // "mmem-run"
constexpr uint32_t kVersion = 1;

enum class Protect : uint32_t { kOff, kReport, kRefuse };
enum class Policy : uint32_t { kKernel, kFirstFit, kBestFit, kTopDown };

struct Header {
  // What was asked for.
  uint64_t magic;
  uint32_t version;
  uint32_t record_size;
  uint64_t capacity;
  uint64_t page_size;
  Protect protect;
  Policy policy;
  uint64_t arena_base;  // 0: anywhere
  uint64_t arena_size;
  uint32_t children;  // programs that this one starts are recorded as well, in files of their own
  uint32_t unused;

  // 64: the process. Another program in it (execve) is another image, recorded from `first` on.
  std::atomic<uint32_t> pid;
  uint32_t images;
  uint64_t started_monotonic;  // nanoseconds
  uint64_t started_realtime;
  uint64_t ended_monotonic;  // 0: it did not get to its end
  uint64_t first;
  uint64_t arena_at;
  uint64_t arena_length;
  uint32_t arena_error;  // errno: why there is none
  std::atomic<uint32_t> libraries;

  // 128: the counters, written by every thread.
  alignas(64) std::atomic<uint64_t> next;  // records begun
  std::atomic<uint64_t> lost;              // calls for which there was no room
  std::atomic<uint64_t> full;              // requests that the arena had no room for
  std::atomic<uint64_t> unchecked;         // calls made while the helper could not look

  // Who has it: the number of a process may be used again, and in another PID namespace at once.
  uint64_t born;  // ticks since the system started
  uint64_t pid_namespace;

  // So many records have blocks of their file: the others can neither be written nor read, since
  // where a disk is full that is SIGBUS.
  std::atomic<uint64_t> ready;
};
static_assert(offsetof(Header, pid) == 64 && offsetof(Header, arena_at) == 104);
static_assert(offsetof(Header, next) == 128 && offsetof(Header, ready) == 176 &&
              sizeof(Header) == 192);

struct Library {
  uint16_t length;
  char path[254];
};
constexpr size_t kNames = 1024;
constexpr uint32_t kLibraries = 256;
constexpr size_t kRecords = 131072;
static_assert(kNames + kLibraries * sizeof(Library) <= kRecords);

enum class Call : uint8_t { kMmap = 1, kMunmap, kMremap, kMprotect, kMadvise };
enum class Verdict : uint8_t { kDone = 1, kPlaced, kReported, kRefused };

struct Mode {
  int32_t protection;  // madvise: the advice
  int32_t fd;
};

struct Record {
  uint64_t time;  // nanoseconds, monotonic; of munmap before it, of the others after
  uint64_t address;
  uint64_t length;
  int64_t result;  // or -errno
  uint64_t more;   // mmap: offset; mremap: the new length
  union {
    Mode mode;
    uint64_t new_address;  // mremap with MREMAP_FIXED
  };
  uint32_t thread;
  uint16_t library;  // from 1 on
  Call call;
  Verdict verdict;
  int32_t flags;
  std::atomic<uint32_t> complete;  // written last
};
constexpr uint32_t kComplete = 0x656e6f64;  // "done"
static_assert(sizeof(Record) == 64 && offsetof(Record, complete) == 60);

}  // namespace memmap::interpose
