#include "interpose/call_site.h"

#include <link.h>
#include <string.h>

#include "interpose/syscall.h"
#include "sys/procmap.h"

namespace memmap::interpose::call_site {

namespace {

// Where code was found. A begin of 0 is a free place, of 1 one that is being written.
struct Code {
  std::atomic<uintptr_t> begin;
  std::atomic<uintptr_t> end;
  std::atomic<uint16_t> library;
};
constexpr size_t kCodes = 512;
Code codes[kCodes];
std::atomic<size_t> code_count{0};

constexpr size_t kAddons = 16;
struct Own {
  std::atomic<uintptr_t> begin;
  std::atomic<uintptr_t> end;
};
Own addons[kAddons];

Library* names(Header* header) {
  return reinterpret_cast<Library*>(reinterpret_cast<uintptr_t>(header) + kNames);
}

// The number of that path, old or new. Of a path that is too long the end is kept.
uint16_t number_of(Header* header, const char* path) {
  size_t length = strlen(path);
  constexpr size_t kMost = sizeof(Library::path);
  if (length > kMost) {
    path += length - kMost;
    length = kMost;
  }
  const uint32_t known = header->libraries.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < known && i < kLibraries; ++i) {
    const Library& name = names(header)[i];
    if (name.length == length && memcmp(name.path, path, length) == 0) {
      return static_cast<uint16_t>(i + 1);
    }
  }
  const uint32_t index = header->libraries.fetch_add(1, std::memory_order_acq_rel);
  if (index >= kLibraries) return 0;
  Library& name = names(header)[index];
  memcpy(name.path, path, length);
  name.length = static_cast<uint16_t>(length);
  return static_cast<uint16_t>(index + 1);
}

void remember(Range range, uint16_t library) {
  size_t place = 0;
  for (; place < kCodes; ++place) {
    uintptr_t nobody = 0;
    if (codes[place].begin.compare_exchange_strong(nobody, 1)) break;
  }
  if (place == kCodes) return;
  Code& code = codes[place];
  code.library.store(library, std::memory_order_relaxed);
  code.end.store(range.end, std::memory_order_relaxed);
  code.begin.store(range.begin, std::memory_order_release);
  size_t count = code_count.load();
  while (count <= place && !code_count.compare_exchange_weak(count, place + 1)) {
  }
}

// The line of the kernel's list that holds the address. Little stack: it may be a signal handler's.
uint16_t learn(Header* header, uintptr_t address) {
  const long fd = syscalls::open("/proc/self/maps", O_RDONLY);
  if (syscalls::failed(fd)) return 0;
  char line[512];
  char block[512];
  size_t held = 0;
  uint16_t found = 0;
  for (bool reading = true; reading;) {
    const long got = syscalls::read(fd, block, sizeof block);
    if (got <= 0) break;
    for (long i = 0; i < got && reading; ++i) {
      if (block[i] != '\n') {
        if (held < sizeof line - 1) line[held++] = block[i];
        continue;
      }
      line[held] = '\0';
      held = 0;
      sys::MapsLine parsed{};
      if (!sys::parse_maps_line(line, &parsed)) continue;
      if (!parsed.region.range.contains(address)) continue;
      reading = false;
      found = number_of(header, parsed.path[0] == '\0' ? "[anonymous]" : parsed.path);
      remember(parsed.region.range, found);
    }
  }
  syscalls::close(fd);
  return found;
}

struct Search {
  uintptr_t address;
  Range found;
};

int visit(dl_phdr_info* info, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  Range whole{~uintptr_t{0}, 0};
  bool holds = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD) continue;
    const uintptr_t begin = info->dlpi_addr + part.p_vaddr;
    const Range range{begin, begin + part.p_memsz};
    holds = holds || range.contains(search->address);
    if (range.begin < whole.begin) whole.begin = range.begin;
    if (range.end > whole.end) whole.end = range.end;
  }
  if (holds) search->found = whole;
  return holds ? 1 : 0;
}

}  // namespace

uint16_t library_of(Header* header, const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const size_t count = code_count.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t begin = codes[i].begin.load(std::memory_order_acquire);
    if (begin > 1 && begin <= at && at < codes[i].end.load(std::memory_order_relaxed)) {
      return codes[i].library.load(std::memory_order_relaxed);
    }
  }
  return learn(header, at);
}

void register_addon(const void* address) {
  if (is_memmap(address)) return;
  Search search{reinterpret_cast<uintptr_t>(address), {}};
  dl_iterate_phdr(visit, &search);
  if (search.found.empty()) return;
  for (Own& addon : addons) {
    uintptr_t nobody = 0;
    if (!addon.end.compare_exchange_strong(nobody, 1)) continue;
    addon.begin.store(search.found.begin);
    addon.end.store(search.found.end);
    return;
  }
}

bool is_memmap(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (const Own& addon : addons) {
    const uintptr_t end = addon.end.load(std::memory_order_acquire);
    if (end == 0) return false;
    if (at < end && at >= addon.begin.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

void forget() {
  for (size_t i = 0; i < code_count.load(); ++i) {
    uintptr_t begin = codes[i].begin.load();
    if (begin > 1) codes[i].begin.compare_exchange_strong(begin, 0);
  }
}

}  // namespace memmap::interpose::call_site
