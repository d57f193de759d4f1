#include "interpose/placement.h"

#include <errno.h>

#include <initializer_list>

#include "interpose/deferred_updates.h"
#include "interpose/log.h"
#include "interpose/process.h"
#include "interpose/ranges.h"
#include "interpose/syscall.h"

namespace memmap::interpose::placement {

namespace {

constexpr int kNoReplace = 0x100000;  // MAP_FIXED_NOREPLACE, 4.17
constexpr int kDontUnmap = 4;         // MREMAP_DONTUNMAP, 5.7
constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef MAP_32BIT
constexpr int kLow = MAP_32BIT;
#else
constexpr int kLow = 0;
#endif
// Whoever has asked for one of these has a place of his own in mind.
constexpr int kElsewhere = MAP_FIXED | kNoReplace | kLow | MAP_HUGETLB | MAP_GROWSDOWN;
// Ranges of this length or more begin where a huge page can.
constexpr size_t kHuge = size_t{2} << 20;
constexpr uint32_t kNodes = 1 << 18;

Range arena;
Range memory;
Ranges room;
DeferredUpdates deferred;
Policy policy = Policy::kKernel;
size_t page = 0;

// Where a range could not be given back it is never used again: nothing is ever replaced by
// mistake.
void apply(bool adding, Range range) {
  static_cast<void>(adding ? room.add(range) : room.remove(range));
}

template <typename Work>
bool with_room(Work work) {
  return process::with_lock([&] {
    deferred.drain(apply);
    work();
  });
}

void give(Range range) {
  if (range.empty()) return;
  if (!with_room([&] { apply(true, range); })) static_cast<void>(deferred.push(true, range));
}

// Somebody maps at an address of his own choice: memory that he holds, if he is right.
void claim(Range range) {
  if (!with_room([&] { apply(false, range); })) static_cast<void>(deferred.push(false, range));
}

Range take(Header* header, size_t length) {
  uintptr_t begin = 0;
  const bool looked = with_room([&] {
    const size_t alignment = length >= kHuge && page < kHuge ? kHuge : page;
    begin = room.find({length, alignment, page, policy});
    if (begin == 0) begin = room.find({length, page, page, policy});
    if (begin == 0) return;
    apply(false, {begin, begin + length});
  });
  if (begin != 0) return {begin, begin + length};
  (looked ? header->full : header->unchecked).fetch_add(1, std::memory_order_relaxed);
  return {};
}

// A free range that somebody has chosen himself. False: not all of it is.
bool take_exactly(Header* header, Range range) {
  bool is_whole = false;
  const bool looked = with_room([&] {
    is_whole = room.contains(range);
    if (is_whole) apply(false, range);
  });
  if (!looked) header->unchecked.fetch_add(1, std::memory_order_relaxed);
  return is_whole;
}

// Reserves it again over what is there. False: the kernel would not, and it is as it was.
bool overlay(Range range) {
  return !syscalls::failed(
      syscalls::mmap(range.begin, range.size(), PROT_NONE, kReserved | MAP_FIXED, -1, 0));
}

// Reserves what is a hole, over nobody. False: somebody is there.
bool close_hole(Range range) {
  const long at = syscalls::mmap(range.begin, range.size(), PROT_NONE,
                                 kReserved | MAP_FIXED | kNoReplace, -1, 0);
  if (at == static_cast<long>(range.begin)) return true;
  // Before 4.17 it is only a hint.
  if (!syscalls::failed(at)) syscalls::munmap(static_cast<uintptr_t>(at), range.size());
  return false;
}

// What was mapped there has moved away.
void refill(Range range) {
  if (close_hole(range)) give(range);
}

Range pages_of(uintptr_t address, size_t length, size_t unit) {
  Range bytes;
  Range pages;
  if (unit == 0 || address % unit != 0 || length == 0 || !make_range(address, length, &bytes) ||
      !outward(bytes, unit, &pages)) {
    return {};
  }
  return pages;
}

Range pages_of(uintptr_t address, size_t length) { return pages_of(address, length, page); }

void say_without(size_t length, uintptr_t base, long error) {
  Line line;
  line << "no arena of " << (length >> 20) << " MiB";
  if (base != 0) (line << " at ").hex(base);
  switch (error) {
    case -EEXIST:
      line << ": something is mapped there";
      break;
    case -ENOMEM:
      line << ": ENOMEM, more than the address space that is allowed (ulimit -v)?";
      break;
    default:
      line << ": errno " << static_cast<uint64_t>(-error);
  }
  line << "; the kernel places";
  line.print();
}

long reserve(uintptr_t base, size_t length) {
  const int exactly = base == 0 ? 0 : MAP_FIXED | kNoReplace;
  const long at = syscalls::mmap(base, length, PROT_NONE, kReserved | exactly, -1, 0);
  if (syscalls::failed(at) || base == 0 || at == static_cast<long>(base)) return at;
  syscalls::munmap(static_cast<uintptr_t>(at), length);
  return -EEXIST;
}

}  // namespace

void prepare(Header& header) {
  header.arena_at = 0;
  header.arena_length = 0;
  header.arena_error = 0;
  if (header.policy == Policy::kKernel) return;
  page = header.page_size;
  const size_t nodes_size = kNodes * sizeof(Node);
  auto* nodes = static_cast<Node*>(process::own_memory(nodes_size));
  const long at = nodes == nullptr ? -ENOMEM : reserve(header.arena_base, header.arena_size);
  if (syscalls::failed(at)) {
    if (nodes != nullptr) syscalls::munmap(reinterpret_cast<uintptr_t>(nodes), nodes_size);
    header.arena_error = static_cast<uint32_t>(-at);
    say_without(header.arena_size, header.arena_base, at);
    return;
  }
  const auto begin = static_cast<uintptr_t>(at);
  const auto nodes_begin = reinterpret_cast<uintptr_t>(nodes);
  memory = {nodes_begin, nodes_begin + nodes_size};
  room.use(nodes, kNodes, header.policy == Policy::kBestFit);
  policy = header.policy;
  arena = {begin, begin + header.arena_size};
  header.arena_at = arena.begin;
  header.arena_length = arena.size();
  static_cast<void>(room.add(arena));
}

Range node_memory() { return memory; }

Range inside(Range range) {
  const Range part = arena.intersect(range);
  return part.empty() ? Range{} : part;
}

namespace {

long map_placed(Header* header, const Request& request, size_t length, bool* placed) {
  const Range range = take(header, length);
  if (!range.empty()) {
    const long at = syscalls::mmap(range.begin, request.length, request.protection,
                                   request.flags | MAP_FIXED, request.fd, request.offset);
    *placed = !syscalls::failed(at);
    if (*placed) return at;
    // A fixed call that fails may leave a hole.
    if (overlay(range)) give(range);
  }
  return syscalls::mmap(request.address, request.length, request.protection, request.flags,
                        request.fd, request.offset);
}

}  // namespace

long map(Header* header, const Request& request, bool* placed) {
  const auto as_asked = [&] {
    return syscalls::mmap(request.address, request.length, request.protection, request.flags,
                          request.fd, request.offset);
  };
  if (arena.empty()) return as_asked();
  // Huge pages, of a file as well, are left to the kernel.
  const bool anywhere =
      request.address == 0 && (request.flags & kElsewhere) == 0 && request.page == page;
  const Range asked = pages_of(anywhere ? page : request.address, request.length, request.page);
  if (anywhere && !asked.empty()) return map_placed(header, request, asked.size(), placed);
  const bool replaces = (request.flags & MAP_FIXED) != 0 && (request.flags & kNoReplace) == 0;
  const Range part = inside(asked);
  if (part.empty()) return as_asked();
  if (!replaces) {
    const bool exactly = (request.flags & kNoReplace) != 0;
    const bool hint = (request.flags & kElsewhere) == 0 && request.page == page;
    if (!(exactly || hint) || !take_exactly(header, asked)) return as_asked();
    const int flags = (request.flags & ~kNoReplace) | MAP_FIXED;
    const long at = syscalls::mmap(request.address, request.length, request.protection, flags,
                                   request.fd, request.offset);
    if (syscalls::failed(at) && overlay(asked)) give(asked);
    return at;
  }
  claim(part);
  const long at = as_asked();
  // Whoever holds the range goes on holding it; nobody falls into what may be a hole.
  if (syscalls::failed(at)) close_hole(part);
  return at;
}

bool is_free(Header* header, uintptr_t address, size_t length) {
  const Range part = inside(pages_of(address, length));
  if (part.empty()) return false;
  bool found = false;
  if (!with_room([&] { found = room.overlaps(part); })) {
    header->unchecked.fetch_add(1, std::memory_order_relaxed);
  }
  return found;
}

long unmap(uintptr_t address, size_t length, bool* placed) {
  const Range range = pages_of(address, length);
  const Range part = inside(range);
  if (part.empty()) return syscalls::munmap(address, length);
  for (const Range outside : {Range{range.begin, part.begin}, Range{part.end, range.end}}) {
    if (outside.empty()) continue;
    const long result = syscalls::munmap(outside.begin, outside.size());
    if (syscalls::failed(result)) return result;
  }
  // At the limit of mappings the overlay may be one too many: then it is a hole that nobody uses.
  if (!overlay(part)) return syscalls::munmap(part.begin, part.size());
  give(part);
  *placed = true;
  return 0;
}

namespace {

// Moves into a free range of the arena, over its PROT_NONE pages.
long move_inside(Header* header, const Move& move, size_t length, bool* placed) {
  const Range target = take(header, length);
  if (target.empty()) return -ENOMEM;
  const long at = syscalls::mremap(move.address, move.old_length, move.new_length,
                                   MREMAP_MAYMOVE | MREMAP_FIXED, target.begin);
  *placed = !syscalls::failed(at);
  if (!*placed && overlay(target)) give(target);
  return at;
}

}  // namespace

long remap(Header* header, const Move& move, bool* placed) {
  const auto as_asked = [&] {
    return syscalls::mremap(move.address, move.old_length, move.new_length, move.flags, move.to);
  };
  if (arena.empty()) return as_asked();
  const bool fixed = (move.flags & MREMAP_FIXED) != 0;
  const bool stays = (move.flags & kDontUnmap) != 0 || move.old_length == 0;
  const Range from = pages_of(move.address, move.old_length);
  const Range old_part = inside(from);
  const Range target = pages_of(fixed ? move.to : page, move.new_length);
  if (target.empty()) return as_asked();
  if (is_free(header, move.address, move.old_length == 0 ? page : move.old_length)) return -EFAULT;

  if (fixed) {
    const Range new_part = inside(target);
    if (!new_part.empty()) claim(new_part);
    const long at = as_asked();
    if (syscalls::failed(at)) {
      if (!new_part.empty()) close_hole(new_part);
    } else if (!stays && !old_part.empty()) {
      refill(old_part);
    }
    return at;
  }

  // A copy of a shared mapping: a new one, of no address.
  const bool copies = move.old_length == 0 && !inside(pages_of(move.address, page)).empty();
  if (copies && (move.flags & MREMAP_MAYMOVE) != 0) {
    const long at = move_inside(header, move, target.size(), placed);
    return *placed ? at : as_asked();
  }
  if (stays || old_part.empty()) return as_asked();
  if (target.size() < from.size()) {
    // The kernel's own way is to unmap what is left over.
    const size_t rest = from.size() - target.size();
    const long result = unmap(move.address + target.size(), rest, placed);
    return syscalls::failed(result) ? result : static_cast<long>(move.address);
  }
  if ((move.flags & MREMAP_MAYMOVE) == 0) return as_asked();
  const bool grows = target.size() > from.size();
  long at = grows ? move_inside(header, move, target.size(), placed) : 0;
  if (!*placed) at = as_asked();
  if (!syscalls::failed(at) && at != static_cast<long>(move.address)) refill(old_part);
  return at;
}

}  // namespace memmap::interpose::placement
