#include "calls.h"

#include <errno.h>

#include <vector>

#include "buffers.h"
#include "weak.h"
#include "work.h"

namespace memmap {

namespace {
const char* text_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::kForeign:
      return "foreign";
    case Refusal::kRetired:
      return "retired";
    case Refusal::kUnnamed:
      return "unnamed";
    case Refusal::kArgument:
      return "argument";
    case Refusal::kNoExternal:
      return "no-external";
    case Refusal::kLimit:
      return "limit";
    case Refusal::kNone:
      break;
  }
  return "none";
}
}  // namespace

Napi::Value to_failure(Napi::Env env, const Outcome& outcome) {
  if (outcome.ok()) return env.Undefined();
  Napi::Object failure = Napi::Object::New(env);
  failure.Set("errno", Napi::Number::New(env, -outcome.status.error));
  failure.Set("syscall", Napi::String::New(env, outcome.status.syscall));
  if (outcome.refusal != Refusal::kNone) {
    failure.Set("refusal", Napi::String::New(env, text_of(outcome.refusal)));
    failure.Set("at", Napi::Number::New(env, static_cast<double>(outcome.at)));
  }
  if (outcome.destroyed) failure.Set("destroyed", Napi::Boolean::New(env, true));
  return failure;
}

namespace calls {
namespace {

using Info = Napi::CallbackInfo;

space::Environment& environment(const Info& info) {
  return *static_cast<space::Environment*>(info.Data());
}

Napi::Value number(const Info& info, double value) { return Napi::Number::New(info.Env(), value); }

// The pages that hold [args[first], + args[first + 1]). False: they leave the address space.
struct Span {
  Range pages;
  Outcome outcome;
};
Span pages_of(Args& args, size_t first) {
  const uintptr_t address = args.address(first);
  const size_t length = args.size(first + 1);
  Span span;
  // No pages at all: the kernel judges the address as it is, and touches nothing.
  span.pages = {address, address};
  if (length == 0) return span;
  if (!make_range(address, length, &span.pages) ||
      !outward(span.pages, sys::page_size(), &span.pages)) {
    span.outcome = sys::Status{ENOMEM, ""};
  }
  return span;
}

space::MapRequest map_request(Args& args) {
  space::MapRequest request{};
  request.owner = args.id(0);
  request.address = args.address(1);
  request.length = args.size(2);
  request.protection = args.integer(3);
  request.flags = args.integer(4);
  request.fd = args.integer(5);
  request.offset = args.offset(6);
  request.inherit = args.boolean(7);
  return request;
}

// map(owner, address, length, protection, flags, fd, offset, inherit, exclusive) -> base
Napi::Value map(const Info& info) {
  Args args(info);
  space::MapRequest request = map_request(args);
  request.exclusive = args.boolean(8);
  if (!args.ok()) return args.failure();
  const auto mapped = space::map(environment(info), request);
  if (!mapped.outcome.ok()) return to_failure(info.Env(), mapped.outcome);
  return number(info, static_cast<double>(mapped.value));
}

// overlay(owner, address, length, protection, flags, fd, offset, inherit, owners, keepViews)
Napi::Value overlay(const Info& info) {
  Args args(info);
  const space::MapRequest request = map_request(args);
  const Args::Ids owners = args.ids(8);
  const bool keep_views = args.boolean(9);
  if (!args.ok()) return args.failure();
  return to_failure(info.Env(), space::overlay(environment(info), request, owners, keep_views));
}

// unmap(address, length) -> true when the range was retired instead
Napi::Value unmap(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  const auto unmapped = space::unmap(environment(info), span.pages);
  if (!unmapped.outcome.ok()) return to_failure(info.Env(), unmapped.outcome);
  return Napi::Boolean::New(info.Env(), unmapped.value);
}

// drop(address, length, transferable)
Napi::Value drop(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  const bool transferable = args.boolean(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  return to_failure(info.Env(), space::drop(environment(info), span.pages, transferable));
}

// A call on owned pages that answers nothing: (address, length, number).
template <typename Call>
Napi::Value on_pages(const Info& info, Call call) {
  Args args(info);
  const Span span = pages_of(args, 0);
  const int number = args.integer(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  return to_failure(info.Env(), call(environment(info), span.pages, number));
}

// The same on the thread pool. The caller keeps the range mapped until the promise is settled.
template <typename Call>
Napi::Value on_pages_later(const Info& info, Call call) {
  Args args(info);
  const Span span = pages_of(args, 0);
  const int number = args.integer(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  const Outcome owned = space::check(environment(info), span.pages);
  if (!owned.ok()) return to_failure(info.Env(), owned);
  return queue_work(info.Env(), info.Env().Undefined(), [=] {
    return Done{Outcome(call(span.pages, number))};
  });
}

template <typename Call>
auto owned(Call call) {
  return [call](const space::Environment& own, Range pages, int number) -> Outcome {
    const Outcome checked = space::check(own, pages);
    if (!checked.ok()) return checked;
    return call(pages, number);
  };
}

sys::Status sync_pages(Range pages, int flags) { return sys::sync(pages, flags); }
sys::Status lock_pages(Range pages, int) { return sys::lock(pages); }
sys::Status unlock_pages(Range pages, int) { return sys::unlock(pages); }
sys::Status populate_pages(Range pages, int write) { return sys::populate(pages, write != 0); }

Napi::Value protect(const Info& info) { return on_pages(info, space::protect); }
Napi::Value advise(const Info& info) { return on_pages(info, space::advise); }
Napi::Value sync(const Info& info) { return on_pages(info, owned(sync_pages)); }
Napi::Value lock(const Info& info) { return on_pages(info, owned(lock_pages)); }
Napi::Value unlock(const Info& info) { return on_pages(info, owned(unlock_pages)); }
Napi::Value populate(const Info& info) { return on_pages(info, owned(populate_pages)); }
Napi::Value sync_async(const Info& info) { return on_pages_later(info, sync_pages); }
Napi::Value lock_async(const Info& info) { return on_pages_later(info, lock_pages); }
Napi::Value populate_async(const Info& info) { return on_pages_later(info, populate_pages); }

// residency(address, length, states)
Napi::Value residency(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  const Args::Bytes states = args.bytes(2);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  const Outcome owned_now = space::check(environment(info), span.pages);
  if (!owned_now.ok()) return to_failure(info.Env(), owned_now);
  if (states.length < span.pages.size() / sys::page_size()) {
    return to_failure(info.Env(), {Refusal::kArgument, 2});
  }
  return to_failure(info.Env(), sys::residency(span.pages, states.data));
}

// A copy between mapped bytes at base + offset and the bytes of a Uint8Array.
struct Transfer {
  Range mapped;
  Args::Bytes bytes;
  Outcome outcome;

  [[nodiscard]] Done run(bool out) const {
    void* const target = out ? bytes.data : mapped.data();
    const void* const source = out ? mapped.data() : bytes.data;
    const auto copied = sys::copy(target, source, bytes.length, out);
    return {Outcome(copied.status()), static_cast<double>(copied.value), true};
  }
};
Transfer transfer(const Info& info, Args& args) {
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  Transfer found;
  found.bytes = args.bytes(2);
  Range pages;
  if (!args.ok()) return found;
  if (!make_range(base, offset, &pages) || !make_range(pages.end, found.bytes.length, &found.mapped) ||
      !outward(found.mapped, sys::page_size(), &pages)) {
    found.outcome = sys::Status{EFAULT, "process_vm_readv"};
  } else {
    found.outcome = space::check(environment(info), pages);
  }
  return found;
}

// copyOut(base, offset, target), copyIn(base, offset, source)
Napi::Value copy(const Info& info, bool out) {
  Args args(info);
  const Transfer copy = transfer(info, args);
  if (!args.ok()) return args.failure();
  if (!copy.outcome.ok()) return to_failure(info.Env(), copy.outcome);
  return to_failure(info.Env(), copy.run(out).outcome);
}
Napi::Value copy_out(const Info& info) { return copy(info, true); }
Napi::Value copy_in(const Info& info) { return copy(info, false); }

Napi::Value copy_later(const Info& info, bool out) {
  Args args(info);
  const Transfer copy = transfer(info, args);
  if (!args.ok()) return args.failure();
  if (!copy.outcome.ok()) return to_failure(info.Env(), copy.outcome);
  return queue_work(info.Env(), info[2], [=] { return copy.run(out); });
}
Napi::Value copy_out_async(const Info& info) { return copy_later(info, true); }
Napi::Value copy_in_async(const Info& info) { return copy_later(info, false); }

// view(base, offset, length) -> ArrayBuffer
Napi::Value view(const Info& info) {
  Args args(info);
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  const size_t length = args.size(2);
  if (!args.ok()) return args.failure();
  Range bytes;
  if (!make_range(base, offset, &bytes) || !make_range(bytes.end, length, &bytes) ||
      bytes.empty()) {
    return to_failure(info.Env(), {Refusal::kArgument, 2});
  }
  Outcome outcome;
  napi_value buffer = buffers::make(info.Env(), &environment(info), bytes, &outcome);
  if (!outcome.ok()) return to_failure(info.Env(), outcome);
  return Napi::Value(info.Env(), buffer);
}

// detach(address, length): the views over it, and nothing else
Napi::Value detach(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  return to_failure(info.Env(), space::detach(environment(info), span.pages));
}

// grow(address, length, newLength, mayMove) -> base
Napi::Value grow(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  const size_t length = args.size(2);
  const bool may_move = args.boolean(3);
  if (!args.ok()) return args.failure();
  Range grown;
  if (!span.outcome.ok() || !outward({0, length}, sys::page_size(), &grown)) {
    return to_failure(info.Env(), sys::Status{ENOMEM, "mremap"});
  }
  const auto moved = space::grow(environment(info), span.pages, grown.size(), may_move);
  if (!moved.outcome.ok()) return to_failure(info.Env(), moved.outcome);
  return number(info, static_cast<double>(moved.value));
}

// remap(owner, from, oldLength, newLength, flags, to, owners) -> base; page-aligned throughout
Napi::Value remap(const Info& info) {
  Args args(info);
  space::RemapRequest request{};
  request.owner = args.id(0);
  request.from = args.address(1);
  request.old_length = args.size(2);
  request.new_length = args.size(3);
  request.flags = args.integer(4);
  request.to = args.address(5);
  const Args::Ids owners = args.ids(6);
  if (!args.ok()) return args.failure();
  const uintptr_t mask = sys::page_size() - 1;
  Range unused;
  const bool aligned =
      ((request.from | request.old_length | request.new_length | request.to) & mask) == 0;
  if (!aligned || request.new_length == 0 ||
      !make_range(request.from, request.old_length, &unused) ||
      !make_range(request.to, request.new_length, &unused)) {
    return to_failure(info.Env(), sys::Status{EINVAL, "mremap"});
  }
  const auto moved = space::remap(environment(info), request, owners);
  if (!moved.outcome.ok()) return to_failure(info.Env(), moved.outcome);
  return number(info, static_cast<double>(moved.value));
}

// regions(address, length) -> Float64Array of [begin, end, protection, shared, offset, inode]
Napi::Value regions(const Info& info) {
  Args args(info);
  const Span span = pages_of(args, 0);
  if (!args.ok()) return args.failure();
  if (!span.outcome.ok()) return to_failure(info.Env(), span.outcome);
  std::vector<double> rows;
  const auto visit = [](void* context, const sys::Region& region) {
    auto& list = *static_cast<std::vector<double>*>(context);
    list.push_back(static_cast<double>(region.range.begin));
    list.push_back(static_cast<double>(region.range.end));
    list.push_back(region.protection);
    list.push_back(region.shared ? 1 : 0);
    list.push_back(static_cast<double>(region.offset));
    list.push_back(static_cast<double>(region.inode));
    return true;
  };
  const sys::Status listed = sys::regions(span.pages, visit, &rows);
  if (!listed.ok()) return to_failure(info.Env(), Outcome(listed));
  Napi::Float64Array table = Napi::Float64Array::New(info.Env(), rows.size());
  std::copy(rows.begin(), rows.end(), table.Data());
  return table;
}

// fileStatus(fd) -> [size, inode, regular, stable inode, readable]
Napi::Value file_status(const Info& info) {
  Args args(info);
  const int fd = args.integer(0);
  if (!args.ok()) return args.failure();
  const auto found = sys::file_status(fd);
  if (!found.ok()) return to_failure(info.Env(), Outcome(found.status()));
  const sys::FileStatus& status = found.value;
  Napi::Float64Array row = Napi::Float64Array::New(info.Env(), 6);
  row[0] = static_cast<double>(status.size);
  row[1] = static_cast<double>(status.inode);
  row[2] = static_cast<double>(status.device);
  row[3] = status.regular ? 1 : 0;
  row[4] = status.stable_inode ? 1 : 0;
  row[5] = status.readable ? 1 : 0;
  return row;
}

// allocateFile(fd, size, blocks): grows the file, with its blocks if asked
Napi::Value allocate_file(const Info& info, bool later) {
  Args args(info);
  const int fd = args.integer(0);
  const uint64_t size = args.offset(1);
  const bool blocks = args.boolean(2);
  if (!args.ok()) return args.failure();
  const auto job = [=] {
    return Done{Outcome(blocks ? sys::allocate_file(fd, size) : sys::resize_file(fd, size))};
  };
  if (later) return queue_work(info.Env(), info.Env().Undefined(), job);
  return to_failure(info.Env(), job().outcome);
}
Napi::Value allocate_file_now(const Info& info) { return allocate_file(info, false); }
Napi::Value allocate_file_async(const Info& info) { return allocate_file(info, true); }

// loadFile(fd, fileOffset, address, length) -> bytes read; the range must be writable
Napi::Value load_file(const Info& info, bool later) {
  Args args(info);
  const int fd = args.integer(0);
  const uint64_t offset = args.offset(1);
  const uintptr_t address = args.address(2);
  const size_t length = args.size(3);
  if (!args.ok()) return args.failure();
  Range pages;
  if (!make_range(address, length, &pages) || !outward(pages, sys::page_size(), &pages)) {
    return to_failure(info.Env(), sys::Status{EFAULT, "read"});
  }
  const Outcome owned_now = space::check(environment(info), pages);
  if (!owned_now.ok()) return to_failure(info.Env(), owned_now);
  const auto job = [=] {
    const auto got = sys::read_file(fd, offset, reinterpret_cast<void*>(address), length);
    return Done{Outcome(got.status()), static_cast<double>(got.value), true};
  };
  if (later) return queue_work(info.Env(), info.Env().Undefined(), job);
  const Done done = job();
  if (!done.outcome.ok()) return to_failure(info.Env(), done.outcome);
  return number(info, done.value);
}
Napi::Value load_file_now(const Info& info) { return load_file(info, false); }
Napi::Value load_file_async(const Info& info) { return load_file(info, true); }

// reap(all) -> ranges that are still retired
Napi::Value reap(const Info& info) {
  Args args(info);
  const bool all = args.boolean(0);
  if (!args.ok()) return args.failure();
  Claims& claims = Claims::process();
  const auto lock_now = claims.lock();
  buffers::reap(claims, all);
  return number(info, static_cast<double>(buffers::retired(claims).ranges));
}

// retired() -> [ranges, bytes] in quarantine, process-wide
Napi::Value retired(const Info& info) {
  Claims& claims = Claims::process();
  const auto lock_now = claims.lock();
  const buffers::Retired found = buffers::retired(claims);
  Napi::Float64Array row = Napi::Float64Array::New(info.Env(), 2);
  row[0] = static_cast<double>(found.ranges);
  row[1] = static_cast<double>(found.bytes);
  return row;
}

// claimed() -> [begin, end, owner (-1: not this environment's), state] of the whole process
Napi::Value claimed(const Info& info) {
  std::vector<double> rows;
  {
    Claims& claims = Claims::process();
    const auto lock_now = claims.lock();
    claims.each([&](const Claim& claim) {
      rows.push_back(static_cast<double>(claim.pages.begin));
      rows.push_back(static_cast<double>(claim.pages.end));
      rows.push_back(claim.environment == &environment(info) ? claim.owner : -1);
      rows.push_back(static_cast<double>(claim.state));
    });
  }
  Napi::Float64Array table = Napi::Float64Array::New(info.Env(), rows.size());
  std::copy(rows.begin(), rows.end(), table.Data());
  return table;
}

}  // namespace

void add_to(Napi::Env env, Napi::Object exports, space::Environment* own) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Info&)) {
    exports.Set(name, Napi::Function::New(env, call, name, own));
  };
  add("map", map);
  add("overlay", overlay);
  add("unmap", unmap);
  add("drop", drop);
  add("protect", protect);
  add("advise", advise);
  add("sync", sync);
  add("syncAsync", sync_async);
  add("lock", lock);
  add("lockAsync", lock_async);
  add("unlock", unlock);
  add("populate", populate);
  add("populateAsync", populate_async);
  add("residency", residency);
  add("copyOut", copy_out);
  add("copyOutAsync", copy_out_async);
  add("copyIn", copy_in);
  add("copyInAsync", copy_in_async);
  add("view", view);
  add("detach", detach);
  add("grow", grow);
  add("remap", remap);
  add("regions", regions);
  add("fileStatus", file_status);
  add("allocateFile", allocate_file_now);
  add("allocateFileAsync", allocate_file_async);
  add("loadFile", load_file_now);
  add("loadFileAsync", load_file_async);
  add("reap", reap);
  add("retired", retired);
  add("claimed", claimed);
  add("weaken", weak::weaken);
  add("strengthen", weak::strengthen);
  add("forget", weak::forget);
}

}  // namespace calls
}  // namespace memmap
