// How Linux tells about a process: /proc/PID/maps, smaps, pagemap, task. Knows nothing of whose
// memory is whose.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "sys/procmap.h"
#include "sys/survey.h"

namespace memmap::sys {

namespace {

struct Descriptor {
  int fd;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

struct Path {
  char text[64];
  Path(pid_t pid, const char* file) {
    if (pid == 0) {
      snprintf(text, sizeof text, "/proc/self/%s", file);
    } else {
      snprintf(text, sizeof text, "/proc/%d/%s", pid, file);
    }
  }
};

// ENOENT says that there is no such process.
Status open_failed() { return {errno == ENOENT ? ESRCH : errno, "open"}; }

// Some kernels say ESRCH where a process is there but has no memory (any more).
bool is_there(pid_t pid) { return access(Path(pid, "stat").text, F_OK) == 0; }

// Reads a file of /proc by lines: visit(line, length) without the newline, terminated, until it
// answers false. No line of the kernel's is as long as the buffer.
template <typename Visit>
Status each_line(pid_t pid, const char* file, Visit visit) {
  const Descriptor opened(open(Path(pid, file).text, O_RDONLY | O_CLOEXEC));
  if (opened.fd < 0) return open_failed();
  char buffer[32768];
  size_t held = 0;
  for (;;) {
    const ssize_t got = read(opened.fd, buffer + held, sizeof buffer - 1 - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ESRCH && is_there(pid)) return {};
    if (got < 0) return {errno, "read"};
    if (got == 0) return {};
    char* const end = buffer + held + got;
    char* line = buffer;
    while (char* newline =
               static_cast<char*>(memchr(line, '\n', static_cast<size_t>(end - line)))) {
      *newline = '\0';
      if (!visit(line, static_cast<size_t>(newline - line))) return {};
      line = newline + 1;
    }
    held = static_cast<size_t>(end - line);
    memmove(buffer, line, held);
    if (held == sizeof buffer - 1) held = 0;
  }
}

// A path's newlines are \012 in the list. A path that has those four characters itself looks the
// same, so that one is read wrong.
size_t unescape(char* path, size_t length) {
  char* to = path;
  for (const char* from = path; from < path + length; ++to) {
    const bool newline = path + length - from >= 4 && memcmp(from, "\\012", 4) == 0;
    *to = newline ? '\n' : *from;
    from += newline ? 4 : 1;
  }
  return static_cast<size_t>(to - path);
}

bool parse_named(char* line, size_t length, NamedRegion* found) {
  MapsLine parsed{};
  if (!parse_maps_line(line, &parsed)) return false;
  const auto head = static_cast<size_t>(parsed.path - line);
  size_t rest = length - head;
  if (memchr(parsed.path, '\\', rest) != nullptr) rest = unescape(line + head, rest);
  *found = {parsed.region, parsed.major, parsed.minor, parsed.path, rest};
  return true;
}

// The text list, up to the region that holds `address`: as long as the list is.
Status find_in_text(uintptr_t address, NamedVisitor visit, void* context) {
  return each_line(0, "maps", [&](char* line, size_t length) {
    NamedRegion region{};
    if (!parse_named(line, length, &region)) return true;
    if (region.region.range.end <= address) return true;
    if (region.region.range.begin <= address) visit(context, region);
    return false;
  });
}

}  // namespace

Status survey(pid_t pid, NamedVisitor visit, void* context) {
  return each_line(pid, "maps", [&](char* line, size_t length) {
    NamedRegion region{};
    return !parse_named(line, length, &region) || visit(context, region);
  });
}

Status survey_at(uintptr_t address, NamedVisitor visit, void* context) {
  // What the kernel shows above user space is only in the text.
  const bool beyond = address > UINTPTR_MAX / 2;
  if (beyond || !capabilities().region_query) return find_in_text(address, visit, context);
  static const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char name[8192];
  ProcmapQuery query{};
  query.size = sizeof query;
  query.query_addr = address;
  query.vma_name_addr = reinterpret_cast<uintptr_t>(name);
  query.vma_name_size = sizeof name;
  if (ioctl(fd, kProcmapQuery, &query) != 0) {
    return errno == ENOENT ? Status{} : find_in_text(address, visit, context);
  }
  // The size counts the terminating zero.
  const size_t length = query.vma_name_size == 0 ? 0 : query.vma_name_size - 1;
  visit(context, {to_region(query), query.dev_major, query.dev_minor, name, length});
  return {};
}

Status usage(pid_t pid, UsageVisitor visit, void* context) {
  Usage usage{};
  bool any = false;
  const Status read = each_line(pid, "smaps", [&](const char* line, size_t) {
    if (*line < 'A' || *line > 'Z') {
      MapsLine parsed{};
      if (!parse_maps_line(line, &parsed)) return true;
      if (any) visit(context, usage);
      usage = {parsed.region.range, 0, 0, 0, 0};
      any = true;
      return true;
    }
    struct Field {
      const char* name;
      size_t length;
      uint64_t Usage::*first;
      uint64_t Usage::*second;
    };
    static constexpr Field kFields[] = {
        {"Rss:", 4, &Usage::resident, nullptr},
        {"Shared_Dirty:", 13, &Usage::dirty, nullptr},
        {"Private_Dirty:", 14, &Usage::dirty, nullptr},
        {"Swap:", 5, &Usage::swapped, nullptr},
        {"AnonHugePages:", 14, &Usage::huge, nullptr},
        {"ShmemPmdMapped:", 15, &Usage::huge, nullptr},
        {"FilePmdMapped:", 14, &Usage::huge, nullptr},
        // Not counted in Rss.
        {"Shared_Hugetlb:", 15, &Usage::huge, &Usage::resident},
        {"Private_Hugetlb:", 16, &Usage::huge, &Usage::resident},
    };
    for (const Field& field : kFields) {
      if (strncmp(line, field.name, field.length) != 0) continue;
      const uint64_t bytes = strtoull(line + field.length, nullptr, 10) * 1024;
      usage.*field.first += bytes;
      if (field.second != nullptr) usage.*field.second += bytes;
      break;
    }
    return true;
  });
  if (read.ok() && any) visit(context, usage);
  return read;
}

namespace {

// struct pm_scan_arg and struct page_region of linux/fs.h, 6.7.
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct PagemapScan {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(PagemapScan) == 96);
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr uint64_t kPresent = 8;
constexpr uint64_t kSwapped = 16;
constexpr uint64_t kZeroPage = 32;
constexpr uint64_t kHuge = 64;

// False: this kernel cannot, and nothing was added.
bool scan_pages(int pagemap, Usage* pages) {
  PageRegion found[256];
  PagemapScan scan{};
  scan.size = sizeof scan;
  scan.end = pages->range.end;
  scan.vec = reinterpret_cast<uintptr_t>(found);
  scan.vec_len = sizeof found / sizeof *found;
  scan.category_anyof_mask = kPresent | kSwapped;
  scan.return_mask = kPresent | kSwapped | kZeroPage | kHuge;
  for (uint64_t at = pages->range.begin; at < scan.end; at = scan.walk_end) {
    scan.start = at;
    const int count = ioctl(pagemap, kPagemapScan, &scan);
    if (count < 0 && errno == EINTR) {
      scan.walk_end = at;
      continue;
    }
    if (count < 0) return false;
    for (int i = 0; i < count; ++i) {
      const uint64_t bytes = found[i].end - found[i].start;
      const uint64_t is = found[i].categories;
      // As in Rss, which does not count the page of zeros that everybody shares.
      if ((is & kPresent) != 0 && (is & kZeroPage) == 0) {
        pages->resident += bytes;
        if (is & kHuge) pages->huge += bytes;
      }
      if (is & kSwapped) pages->swapped += bytes;
    }
    if (scan.walk_end <= at) return false;
  }
  return true;
}

// Before 6.7: eight bytes a page.
Status read_pages(int pagemap, Usage* pages) {
  constexpr uint64_t kIsPresent = uint64_t{1} << 63;
  constexpr uint64_t kIsSwapped = uint64_t{1} << 62;
  uint64_t entries[1024];
  pages->huge = kUnknown;
  for (uintptr_t at = pages->range.begin; at < pages->range.end;) {
    const size_t left = (pages->range.end - at) / page_size();
    const size_t wanted = std::min(left, sizeof entries / sizeof *entries) * sizeof *entries;
    const off_t offset = static_cast<off_t>(at / page_size() * sizeof *entries);
    const ssize_t got = pread(pagemap, entries, wanted, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {errno, "read"};
    if (got == 0) return {};
    const size_t count = static_cast<size_t>(got) / sizeof *entries;
    for (size_t i = 0; i < count; ++i) {
      if (entries[i] & kIsPresent) pages->resident += page_size();
      if (entries[i] & kIsSwapped) pages->swapped += page_size();
    }
    at += count * page_size();
  }
  return {};
}

// MEMMAP_DENY=pagemap_scan: as on a kernel without it.
bool may_scan() {
  static const bool denied = [] {
    const char* list = getenv("MEMMAP_DENY");
    return list != nullptr && strstr(list, "pagemap_scan") != nullptr;
  }();
  return !denied;
}

}  // namespace

Status usage_of_pages(pid_t pid, Usage* list, size_t count) {
  const Descriptor pagemap(open(Path(pid, "pagemap").text, O_RDONLY | O_CLOEXEC));
  if (pagemap.fd < 0) return open_failed();
  for (size_t i = 0; i < count; ++i) {
    const Usage asked = list[i];
    if (may_scan() && scan_pages(pagemap.fd, &list[i])) continue;
    list[i] = asked;
    const Status added = read_pages(pagemap.fd, &list[i]);
    if (!added.ok()) return added;
  }
  return {};
}

namespace {

// "running", or numbers of which the last but one is the stack pointer.
uintptr_t stack_pointer_in(const char* text) {
  const char* last = strrchr(text, ' ');
  if (last == nullptr) return 0;
  while (last > text && last[-1] != ' ') --last;
  return static_cast<uintptr_t>(strtoull(last, nullptr, 16));
}

uintptr_t stack_pointer_of(int tasks, const char* thread) {
  char path[48];
  snprintf(path, sizeof path, "%.20s/syscall", thread);
  const Descriptor file(openat(tasks, path, O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t got = file.fd < 0 ? -1 : read(file.fd, text, sizeof text - 1);
  if (got <= 0) return 0;
  text[got] = '\0';
  return stack_pointer_in(text);
}

// struct linux_dirent64 of the kernel, by its offsets.
constexpr size_t kEntryLength = 16;
constexpr size_t kEntryName = 19;

}  // namespace

Status thread_stacks(pid_t pid, ThreadVisitor visit, void* context) {
  const Descriptor tasks(open(Path(pid, "task").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (tasks.fd < 0) return open_failed();
  alignas(8) char entries[8192];
  for (;;) {
    const long got = syscall(SYS_getdents64, tasks.fd, entries, sizeof entries);
    if (got < 0) return {errno == ENOENT ? ESRCH : errno, "getdents64"};
    if (got == 0) return {};
    for (const char* entry = entries; entry < entries + got;) {
      uint16_t length = 0;
      memcpy(&length, entry + kEntryLength, sizeof length);
      const char* name = entry + kEntryName;
      if (*name != '.') visit(context, {atoi(name), stack_pointer_of(tasks.fd, name)});
      entry += length;
    }
  }
}

Result<size_t> program_path(pid_t pid, char* path, size_t size) {
  const ssize_t got = readlink(Path(pid, "exe").text, path, size);
  if (got < 0) return {0, errno == ENOENT ? ESRCH : errno, "readlink"};
  return {static_cast<size_t>(got)};
}

uintptr_t lowest_address() {
  const Descriptor file(open("/proc/sys/vm/mmap_min_addr", O_RDONLY | O_CLOEXEC));
  char text[32] = "";
  if (file.fd < 0 || read(file.fd, text, sizeof text - 1) <= 0) return page_size();
  return std::max(page_size(), static_cast<size_t>(strtoull(text, nullptr, 10)));
}

}  // namespace memmap::sys
