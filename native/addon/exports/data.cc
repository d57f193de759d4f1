// The exports that hand out, copy, read or size bytes.
#include <memory>
#include <new>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "addon/work.h"
#include "space/space.h"
#include "views/array_buffer.h"
#include "views/shared_array_buffer.h"

namespace memmap::exports {

namespace {

// A copy between mapped bytes at base + offset and the bytes of a Uint8Array.
struct Transfer {
  Range mapped;
  Range pages;
  Args::Bytes bytes;
  Outcome outcome;
  bool ordinary = false;  // the bytes are not mapped memory themselves
  bool guarded = false;   // a page may be lost while they are copied

  // Through memory of its own where the two sides overlap: memmove, not memcpy.
  [[nodiscard]] Done run_apart(void* target, const void* source) const {
    const std::unique_ptr<uint8_t[]> apart(new (std::nothrow) uint8_t[bytes.length]);
    if (apart == nullptr) return {sys::Status{ENOMEM, "malloc"}};
    const auto taken = sys::copy(apart.get(), source, bytes.length, true);
    if (!taken.ok()) return {taken.status()};
    return {sys::copy(target, apart.get(), bytes.length, false).status()};
  }

  [[nodiscard]] Done run(bool out) const {
    const Done done = copy(out);
    // Pages that were lost meanwhile were put in again, empty, and copied without a word.
    if (!guarded || !done.outcome.ok()) return done;
    return {space::check_copied(pages, out)};
  }

  [[nodiscard]] Done copy(bool out) const {
    void* const target = out ? bytes.data : mapped.data();
    const void* const source = out ? mapped.data() : bytes.data;
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data);
    if (mapped.overlaps({begin, begin + bytes.length})) return run_apart(target, source);
    if (ordinary && sys::copy_page(target, source, bytes.length, out)) return {};
    const auto copied = sys::copy(target, source, bytes.length, out);
    return {Outcome(copied.status())};
  }
};
Transfer transfer(Args& args, bool out) {
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  Transfer found;
  found.bytes = args.bytes(2);
  Range pages;
  if (!args.ok()) return found;
  if (!make_range(base, offset, &pages) ||
      !make_range(pages.end, found.bytes.length, &found.mapped) ||
      !outward(found.mapped, sys::page_size(), &pages)) {
    found.outcome = sys::Status{EFAULT, "process_vm_readv"};
  } else {
    const auto begin = reinterpret_cast<uintptr_t>(found.bytes.data);
    const Range bytes{begin, begin + found.bytes.length};
    found.pages = pages;
    const auto checked = space::check_copy(args.environment(), {pages, bytes, out});
    found.outcome = checked.outcome;
    found.ordinary = checked.value.ordinary;
    found.guarded = checked.value.guarded;
  }
  return found;
}

// copyOut(base, offset, target), copyIn(base, offset, source)
napi_value copy(Args& args, bool out) {
  const Transfer copy = transfer(args, out);
  if (!args.ok()) return args.failure();
  if (!copy.outcome.ok()) return to_failure(args.env(), copy.outcome);
  const Done done = copy.run(out);
  return done.outcome.ok() ? nullptr : to_failure(args.env(), done.outcome);
}
napi_value copy_out(Args& args) { return copy(args, true); }
napi_value copy_in(Args& args) { return copy(args, false); }

napi_value copy_later(Args& args, bool out) {
  Transfer copy = transfer(args, out);
  if (!args.ok()) return args.failure();
  if (!copy.outcome.ok()) return to_failure(args.env(), copy.outcome);
  // Its first view may be made while it waits.
  copy.guarded = true;
  return queue_work(args.env(), args.value(2), [=] { return copy.run(out); });
}
napi_value copy_out_async(Args& args) { return copy_later(args, true); }
napi_value copy_in_async(Args& args) { return copy_later(args, false); }

napi_value make_view(Environment& own, Range bytes, Outcome* outcome) {
  *outcome = space::open_view(own, bytes);
  return outcome->ok() ? views::make(own, bytes, views::Over::kOwnedRange, outcome) : nullptr;
}

napi_value make_reserve_view(Environment& own, Range bytes, Outcome* outcome) {
  *outcome = space::open_reserve_view(own, bytes);
  return outcome->ok() ? views::make(own, bytes, views::Over::kReserve, outcome) : nullptr;
}

napi_value make_shared_view(Environment& own, Range bytes, Outcome* outcome) {
  if (!views::can_share() && space::is_one_mapping(own, bytes)) {
    *outcome = {Refusal::kNoShared, bytes.begin};
    return nullptr;
  }
  *outcome = space::open_view(own, bytes);
  return outcome->ok() ? views::make_shared(own, bytes, outcome) : nullptr;
}

// view(base, offset, length) -> Buffer; sharedView(...) -> SharedArrayBuffer
template <napi_value (*make)(Environment& own, Range bytes, Outcome* outcome)>
napi_value view(Args& args) {
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  const size_t length = args.size(2);
  if (!args.ok()) return args.failure();
  Range bytes;
  if (!make_range(base, offset, &bytes) || !make_range(bytes.end, length, &bytes) ||
      bytes.empty()) {
    return to_failure(args.env(), {Refusal::kArgument, 2});
  }
  Outcome outcome;
  napi_value buffer = make(args.environment(), bytes, &outcome);
  if (!outcome.ok()) return to_failure(args.env(), outcome);
  return Napi::Value(args.env(), buffer);
}

// fileStatus(fd, row): size, inode, device, regular, stable inode, sealed
napi_value file_status(Args& args) {
  const int fd = args.integer(0);
  const Args::Numbers row = args.numbers(1);
  if (!args.ok()) return args.failure();
  if (row.size() < 6) return to_failure(args.env(), {Refusal::kArgument, 1});
  const auto found = sys::file_status(fd);
  if (!found.ok()) return to_failure(args.env(), Outcome(found.status()));
  const sys::FileStatus& status = found.value;
  row[0] = static_cast<double>(status.size);
  row[1] = static_cast<double>(status.inode);
  row[2] = static_cast<double>(status.device);
  row[3] = status.regular ? 1 : 0;
  row[4] = status.stable_inode ? 1 : 0;
  row[5] = status.sealed ? 1 : 0;
  return nullptr;
}

// allocateFile(fd, size, blocks): grows the file, with its blocks if asked
napi_value allocate_file(Args& args, bool later) {
  const int fd = args.integer(0);
  const uint64_t size = args.offset(1);
  const bool blocks = args.boolean(2);
  if (!args.ok()) return args.failure();
  const auto job = [=] {
    return Done{Outcome(blocks ? sys::allocate_file(fd, size) : sys::resize_file(fd, size))};
  };
  if (later) return queue_work(args.env(), Napi::Value(), job);
  return to_failure(args.env(), job().outcome);
}
napi_value allocate_file_now(Args& args) { return allocate_file(args, false); }
napi_value allocate_file_async(Args& args) { return allocate_file(args, true); }

// loadFile(fd, fileOffset, address, length) -> bytes read; the range must be writable
napi_value load_file(Args& args, bool later) {
  const int fd = args.integer(0);
  const uint64_t offset = args.offset(1);
  const uintptr_t address = args.address(2);
  const size_t length = args.size(3);
  if (!args.ok()) return args.failure();
  Range pages;
  if (!make_range(address, length, &pages) || !outward(pages, sys::page_size(), &pages)) {
    return to_failure(args.env(), sys::Status{EFAULT, "read"});
  }
  const Outcome owned_now = space::check(args.environment(), pages);
  if (!owned_now.ok()) return to_failure(args.env(), owned_now);
  const auto job = [=] {
    const auto got = sys::read_file(fd, offset, reinterpret_cast<void*>(address), length);
    return Done{Outcome(got.status()), static_cast<double>(got.value), true};
  };
  if (later) return queue_work(args.env(), Napi::Value(), job);
  const Done done = job();
  if (!done.outcome.ok()) return to_failure(args.env(), done.outcome);
  return args.number(done.value);
}
napi_value load_file_now(Args& args) { return load_file(args, false); }
napi_value load_file_async(Args& args) { return load_file(args, true); }

}  // namespace

void add_data_to(Napi::Object exports, Environment* own) {
  add<copy_out>(exports, "copyOut", own);
  add<copy_out_async>(exports, "copyOutAsync", own);
  add<copy_in>(exports, "copyIn", own);
  add<copy_in_async>(exports, "copyInAsync", own);
  add<view<make_view>>(exports, "view", own);
  add<view<make_reserve_view>>(exports, "reserveView", own);
  add<view<make_shared_view>>(exports, "sharedView", own);
  add<file_status>(exports, "fileStatus", own);
  add<allocate_file_now>(exports, "allocateFile", own);
  add<allocate_file_async>(exports, "allocateFileAsync", own);
  add<load_file_now>(exports, "loadFile", own);
  add<load_file_async>(exports, "loadFileAsync", own);
}

}  // namespace memmap::exports
