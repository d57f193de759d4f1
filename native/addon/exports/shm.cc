// The exports about shared memory: objects by name, memfds and their seals, descriptors, file
// locks.
#include "sys/shm.h"

#include <mutex>
#include <string>
#include <vector>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "reaper/presence.h"

namespace memmap::exports {

namespace {

napi_value answer(Args& args, const sys::Status& status) {
  return to_failure(args.env(), Outcome(status));
}

// A descriptor that is closed at the latest when JavaScript can no longer reach it, or its thread
// ends: a worker may be terminated as soon as a call has returned.
struct Held {
  int fd;
  void release() {
    if (fd >= 0) sys::close_descriptor(fd);
    fd = -1;
  }
};

constexpr napi_type_tag kHeld = {0x6d656d6d61702d73, 0x686d2d64657363};

void drop_held(napi_env, void* data, void*) {
  Held* held = static_cast<Held*>(data);
  held->release();
  delete held;
}

napi_value hold(Args& args, const sys::Result<int>& opened) {
  if (!opened.ok()) return answer(args, opened.status());
  Held* held = new Held{opened.value};
  napi_value handle = nullptr;
  if (napi_create_external(args.env(), held, drop_held, nullptr, &handle) != napi_ok) {
    drop_held(args.env(), held, nullptr);
    return nullptr;
  }
  napi_type_tag_object(args.env(), handle, &kHeld);
  return handle;
}

// Null for anything else.
Held* held_by(Args& args, size_t index) {
  bool ours = false;
  void* data = nullptr;
  napi_valuetype type = napi_undefined;
  const napi_value handle = args.value(index);
  napi_typeof(args.env(), handle, &type);
  if (type != napi_external) return nullptr;
  napi_check_object_type_tag(args.env(), handle, &kHeld, &ours);
  if (!ours || napi_get_value_external(args.env(), handle, &data) != napi_ok) return nullptr;
  return static_cast<Held*>(data);
}

// descriptorOf(handle) -> fd, -1 once it is closed
napi_value descriptor_of(Args& args) {
  const Held* held = held_by(args, 0);
  if (held == nullptr) return to_failure(args.env(), {Refusal::kArgument, 0});
  return args.number(held->fd);
}

// closeDescriptor(handle), once
napi_value close_descriptor(Args& args) {
  Held* held = held_by(args, 0);
  if (held == nullptr) return to_failure(args.env(), {Refusal::kArgument, 0});
  held->release();
  return nullptr;
}

// shmOpen(name, writable) -> handle
napi_value shm_open(Args& args) {
  const Args::Text name = args.text(0);
  const bool writable = args.boolean(1);
  if (!args.ok()) return args.failure();
  return hold(args, sys::open_shared(name.data, writable));
}

// A user of it from the start: what sweeps the names of dead creators finds it locked. That there
// is a byte tells that it was locked once, and is its creator's no more when it is not.
sys::Result<int> create_temporary(const char* name, mode_t mode) {
  const auto made = sys::create_shared(name, mode);
  if (!made.ok() || !sys::can_publish()) return made;
  sys::Status ready = sys::lock_range(made.value, sys::Lock::kShared, kPresenceByte, 1);
  if (ready.ok()) ready = sys::resize_file(made.value, 1);
  if (ready.ok()) return made;
  (void)sys::unlink_shared(name);
  sys::close_descriptor(made.value);
  return {-1, ready.error, ready.syscall};
}

// shmCreate(name, mode) -> handle; without a name one that shmPublish gives
napi_value shm_create(Args& args) {
  const Args::Text name = args.text(0);
  const auto mode = static_cast<mode_t>(args.integer(1));
  if (!args.ok()) return args.failure();
  const bool unnamed = name.data[0] == '\0';
  return hold(args, unnamed ? sys::create_unnamed(mode) : create_temporary(name.data, mode));
}

// shmPublish(fd, temporary, name)
napi_value shm_publish(Args& args) {
  const int fd = args.integer(0);
  const Args::Text temporary = args.text(1);
  const Args::Text name = args.text(2);
  if (!args.ok()) return args.failure();
  return answer(args, sys::publish(fd, temporary.data, name.data));
}

// shmCanPublish() -> whether there are objects without a name, and such as change it
napi_value shm_can_publish(Args& args) {
  return Napi::Boolean::New(args.env(), sys::can_publish());
}

// shmUnlink(name)
napi_value shm_unlink(Args& args) {
  const Args::Text name = args.text(0);
  if (!args.ok()) return args.failure();
  return answer(args, sys::unlink_shared(name.data));
}

// Null for bytes that are no UTF-8: as a string they would be another name.
napi_value text_of(napi_env env, const std::string& name) {
  napi_value text = nullptr;
  if (napi_create_string_utf8(env, name.data(), name.size(), &text) != napi_ok) return nullptr;
  // What is wrong becomes three bytes each.
  std::string again(3 * name.size() + 1, '\0');
  size_t length = 0;
  const bool got =
      napi_get_value_string_utf8(env, text, again.data(), again.size(), &length) == napi_ok;
  return got && again.compare(0, length, name) == 0 ? text : nullptr;
}

// shmNames() -> string[]: those that a string can be
napi_value shm_names(Args& args) {
  std::vector<std::string> names;
  const auto visit = [](void* context, const char* name) {
    static_cast<std::vector<std::string>*>(context)->emplace_back(name);
  };
  const sys::Status listed = sys::each_shared(visit, &names);
  if (!listed.ok()) return answer(args, listed);
  napi_value list = nullptr;
  if (napi_create_array(args.env(), &list) != napi_ok) return nullptr;
  uint32_t count = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const napi_value text = text_of(args.env(), names[i]);
    if (text == nullptr) continue;
    if (napi_set_element(args.env(), list, count++, text) != napi_ok) return nullptr;
  }
  return list;
}

// Fills in size, inode, device, links, mode, user, group, access, mark, changed.
napi_value fill_in(Args& args, const sys::Result<sys::SharedStatus>& found,
                   const Args::Numbers& row) {
  if (!found.ok()) return answer(args, found.status());
  const sys::SharedStatus& status = found.value;
  const double values[] = {static_cast<double>(status.size),   static_cast<double>(status.inode),
                           static_cast<double>(status.device), static_cast<double>(status.links),
                           static_cast<double>(status.mode),   static_cast<double>(status.user),
                           static_cast<double>(status.group),  static_cast<double>(status.access),
                           static_cast<double>(status.mark),   status.changed};
  constexpr size_t kCount = sizeof values / sizeof *values;
  if (row.size() < kCount) return to_failure(args.env(), {Refusal::kArgument, 1});
  std::copy(values, values + kCount, row.data());
  return nullptr;
}

// shmStatus(fd, row)
napi_value shm_status(Args& args) {
  const int fd = args.integer(0);
  const Args::Numbers row = args.numbers(1);
  if (!args.ok()) return args.failure();
  return fill_in(args, sys::shared_status(fd), row);
}

// shmNamed(name, row): of whatever has that name
napi_value shm_named(Args& args) {
  const Args::Text name = args.text(0);
  const Args::Numbers row = args.numbers(1);
  if (!args.ok()) return args.failure();
  return fill_in(args, sys::named_status(name.data), row);
}

// memoryFile() -> handle
napi_value memory_file(Args& args) { return hold(args, sys::memory_file()); }

// canHold(size)
napi_value can_hold(Args& args) {
  const uint64_t size = args.offset(0);
  if (!args.ok()) return args.failure();
  return answer(args, sys::can_hold(size));
}

// seals(fd) -> bits; addSeals(fd, bits)
napi_value seals(Args& args) {
  const int fd = args.integer(0);
  if (!args.ok()) return args.failure();
  const auto found = sys::seals(fd);
  return found.ok() ? args.number(found.value) : answer(args, found.status());
}
napi_value add_seals(Args& args) {
  const int fd = args.integer(0);
  const int bits = args.integer(1);
  if (!args.ok()) return args.failure();
  return answer(args, sys::add_seals(fd, bits));
}

// duplicate(fd) -> handle
napi_value duplicate(Args& args) {
  const int fd = args.integer(0);
  if (!args.ok()) return args.failure();
  return hold(args, sys::duplicate(fd));
}

// reopen(fd, writable) -> handle
napi_value reopen(Args& args) {
  const int fd = args.integer(0);
  const bool writable = args.boolean(1);
  if (!args.ok()) return args.failure();
  return hold(args, sys::reopen(fd, writable));
}

// openOfProcess(pid, fd, writable) -> handle
napi_value open_of_process(Args& args) {
  const int pid = args.pid(0);
  const int fd = args.integer(1);
  const bool writable = args.boolean(2);
  if (!args.ok()) return args.failure();
  return hold(args, sys::open_of_process(pid, fd, writable));
}

sys::Lock lock_kind(int number) {
  if (number == 1) return sys::Lock::kShared;
  return number == 2 ? sys::Lock::kExclusive : sys::Lock::kNone;
}

// lockRange(fd, kind, start, length): kind 0 none, 1 shared, 2 exclusive
napi_value lock_range(Args& args) {
  const int fd = args.integer(0);
  const int kind = args.integer(1);
  const uint64_t start = args.offset(2);
  const uint64_t length = args.offset(3);
  if (!args.ok()) return args.failure();
  return answer(args, sys::lock_range(fd, lock_kind(kind), start, length));
}

// lockPresence(fd, kind): shared by those who have an object open
napi_value lock_presence(Args& args) {
  const int fd = args.integer(0);
  const int kind = args.integer(1);
  if (!args.ok()) return args.failure();
  return answer(args, sys::lock_range(fd, lock_kind(kind), kPresenceByte, 1));
}

// presenceOf(fd) -> 0 nobody, 1 users, 2 somebody who removes it
napi_value presence_of(Args& args) {
  const int fd = args.integer(0);
  if (!args.ok()) return args.failure();
  const auto found = sys::lock_on(fd, kPresenceByte);
  return found.ok() ? args.number(static_cast<int>(found.value)) : answer(args, found.status());
}

// lockRemoval(fd, kind): of the one who takes its name away
napi_value lock_removal(Args& args) {
  const int fd = args.integer(0);
  const int kind = args.integer(1);
  if (!args.ok()) return args.failure();
  return answer(args, sys::lock_range(fd, lock_kind(kind), kRemovalByte, 1));
}

// Reapers that are children of this process, of all of its threads.
std::mutex reapers_mutex;
std::vector<pid_t> reapers;

// markAndReap(fd, program, temporary, name)
napi_value mark_and_reap(Args& args) {
  const int fd = args.integer(0);
  const Args::Text program = args.text(1);
  const Args::Text temporary = args.text(2);
  const Args::Text name = args.text(3);
  if (!args.ok()) return args.failure();
  const auto started = sys::mark_and_reap(fd, program.data, temporary.data, name.data);
  if (started.ok() && started.value > 0) {
    const std::lock_guard<std::mutex> lock(reapers_mutex);
    reapers.push_back(started.value);
  }
  return answer(args, started.status());
}

// waitForReapers() -> how many have not ended
napi_value wait_for_reapers(Args& args) {
  const std::lock_guard<std::mutex> lock(reapers_mutex);
  std::erase_if(reapers, sys::has_ended);
  return args.number(static_cast<double>(reapers.size()));
}

}  // namespace

void add_shm_to(Napi::Object exports, Environment* own) {
  add<shm_open>(exports, "shmOpen", own);
  add<shm_create>(exports, "shmCreate", own);
  add<shm_publish>(exports, "shmPublish", own);
  add<shm_can_publish>(exports, "shmCanPublish", own);
  add<shm_unlink>(exports, "shmUnlink", own);
  add<shm_names>(exports, "shmNames", own);
  add<shm_status>(exports, "shmStatus", own);
  add<shm_named>(exports, "shmNamed", own);
  add<memory_file>(exports, "memoryFile", own);
  add<can_hold>(exports, "canHold", own);
  add<seals>(exports, "seals", own);
  add<add_seals>(exports, "addSeals", own);
  add<duplicate>(exports, "duplicate", own);
  add<reopen>(exports, "reopen", own);
  add<open_of_process>(exports, "openOfProcess", own);
  add<lock_range>(exports, "lockRange", own);
  add<lock_presence>(exports, "lockPresence", own);
  add<presence_of>(exports, "presenceOf", own);
  add<lock_removal>(exports, "lockRemoval", own);
  add<mark_and_reap>(exports, "markAndReap", own);
  add<wait_for_reapers>(exports, "waitForReapers", own);
  add<descriptor_of>(exports, "descriptorOf", own);
  add<close_descriptor>(exports, "closeDescriptor", own);
}

}  // namespace memmap::exports
