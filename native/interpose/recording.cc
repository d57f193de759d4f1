#include "interpose/recording.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpose/identity.h"
#include "interpose/log.h"
#include "interpose/placement.h"
#include "interpose/process.h"
#include "interpose/protection.h"
#include "interpose/snapshot.h"
#include "interpose/trace.h"

namespace memmap::interpose::recording {

namespace {

constexpr const char* kVariable = "MEMMAP_RUN=";
constexpr const char* kParent = "MEMMAP_RUN_PARENT=";
constexpr size_t kPathSize = 512;

uint32_t pid = 0;
Identity self;

enum class State : uint32_t { kUnknown, kStarting, kRecorded, kPassive };
std::atomic<State> state{State::kUnknown};
Header* header = nullptr;
char path[kPathSize];

// Of "NAME=" in the environment; null: there is none.
const char* value_of(const char* variable) {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const char* name = variable;
    const char* at = *entry;
    while (*name != '\0' && *at == *name) {
      ++at;
      ++name;
    }
    if (*name == '\0') return at;
  }
  return nullptr;
}

// Whether only another process is to be recorded: the child of that parent.
bool is_unwanted() {
  const char* const only = value_of(kParent);
  if (only == nullptr) return false;
  return number_at(only, only + __builtin_strlen(only)) != syscalls::getppid();
}

// Appends "." and a number to a path of that length. False: too long.
bool append_number(uint64_t number, char* to, size_t* length) {
  char digits[24];
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  if (*length + count + 2 > kPathSize) return false;
  to[(*length)++] = '.';
  while (count > 0) to[(*length)++] = digits[--count];
  to[*length] = '\0';
  return true;
}

// base.PID, or base.PID.turn from the second on. False: too long.
bool name_for(const char* base, uint64_t turn, char* to) {
  size_t length = 0;
  for (; base[length] != '\0'; ++length) {
    if (length + 1 >= kPathSize) return false;
    to[length] = base[length];
  }
  return append_number(pid, to, &length) && (turn == 1 || append_number(turn, to, &length));
}

size_t size_for(uint64_t capacity) { return kRecords + capacity * sizeof(Record); }

bool is_good(const Header& found, uint64_t size) {
  return found.magic == kMagic && found.version == kVersion &&
         found.record_size == sizeof(Record) && found.capacity > 0 &&
         found.capacity <= (size - kRecords) / sizeof(Record) &&
         found.ready.load() <= found.capacity && found.page_size != 0 &&
         (found.page_size & (found.page_size - 1)) == 0;
}

// Maps the table of that name. Null: there is none, or it is not one.
Header* map_table(const char* name, bool create, const Header* like) {
  const long fd = syscalls::open(name, O_RDWR | (create ? O_CREAT | O_EXCL : 0), 0600);
  if (syscalls::failed(fd)) return nullptr;
  Header* found = nullptr;
  uint64_t size = 0;
  if (create) {
    size = size_for(like->capacity);
    if (size > syscalls::file_limit() || syscalls::failed(syscalls::ftruncate(fd, size))) size = 0;
  } else {
    const long end = syscalls::call(SYS_lseek, fd, 0, SEEK_END);
    size = syscalls::failed(end) ? 0 : static_cast<uint64_t>(end);
  }
  if (size >= size_for(1)) {
    const long at =
        syscalls::mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(fd), 0);
    if (!syscalls::failed(at)) found = reinterpret_cast<Header*>(at);
  }
  if (found != nullptr && create) {
    __builtin_memcpy(static_cast<void*>(found), like, offsetof(Header, pid));
  }
  if (found != nullptr && (!is_good(*found, size) || !trace::prepare(found, fd))) {
    syscalls::munmap(reinterpret_cast<uintptr_t>(found), size);
    found = nullptr;
  }
  syscalls::close(fd);
  if (found == nullptr && create) syscalls::unlink(name);
  return found;
}

bool exists(const char* name) {
  const long fd = syscalls::open(name, O_RDONLY);
  if (syscalls::failed(fd)) return false;
  syscalls::close(fd);
  return true;
}

// Whether it is the table of this very process, from before an execve.
bool is_own(const Header& found) {
  return found.pid.load() == pid && found.born == self.born &&
         found.pid_namespace == self.pid_namespace;
}

// A child of the program that is recorded: a table of its own where that was asked for.
Header* table_of_child(const char* base, const Header* root) {
  if (root->children == 0) return nullptr;
  constexpr uint64_t kMostOfOneNumber = 1000;
  for (uint64_t turn = 1; turn <= kMostOfOneNumber; ++turn) {
    if (!name_for(base, turn, path)) return nullptr;
    if (Header* made = map_table(path, true, root)) return made;
    // Somebody of that number has one: this process, or another in another PID namespace, which
    // may be about to make it.
    Header* found = map_table(path, false, nullptr);
    if (found == nullptr && !exists(path)) return nullptr;
    if (found == nullptr) continue;
    if (is_own(*found)) return found;
    syscalls::munmap(reinterpret_cast<uintptr_t>(found), size_for(found->capacity));
  }
  return nullptr;
}

Header* open_table() {
  const char* name = value_of(kVariable);
  if (name == nullptr || is_unwanted()) return nullptr;
  Header* root = map_table(name, false, nullptr);
  if (root == nullptr) {
    Line line;
    line << "the trace cannot be opened, so nothing is recorded: " << name;
    line.print();
    return nullptr;
  }
  uint32_t unclaimed = 0;
  if (root->pid.compare_exchange_strong(unclaimed, pid) || is_own(*root)) {
    size_t length = 0;
    for (; name[length] != '\0' && length + 1 < kPathSize; ++length) path[length] = name[length];
    path[length] = '\0';
    return root;
  }
  Header* own = table_of_child(name, root);
  syscalls::munmap(reinterpret_cast<uintptr_t>(root), size_for(root->capacity));
  return own;
}

bool start() {
  pid = syscalls::getpid();
  self = identity();
  header = open_table();
  if (header == nullptr || !process::prepare(header->page_size)) return false;
  header->images += 1;
  header->first = header->next.load();
  header->started_monotonic = syscalls::now();
  header->started_realtime = syscalls::now(CLOCK_REALTIME);
  header->ended_monotonic = 0;
  header->pid = pid;
  header->born = self.born;
  header->pid_namespace = self.pid_namespace;
  protection::prepare(*header);
  placement::prepare(*header);
  snapshot::take(path, ".start");
  return true;
}

}  // namespace

Header* table() {
  State now = state.load(std::memory_order_acquire);
  if (now == State::kUnknown && environ != nullptr &&
      state.compare_exchange_strong(now, State::kStarting)) {
    now = start() ? State::kRecorded : State::kPassive;
    state.store(now, std::memory_order_release);
    if (now == State::kRecorded) trace::append_own(header, process::fork_page());
  }
  if (now != State::kRecorded) return nullptr;
  return process::is_original(pid) ? header : nullptr;
}

namespace {

[[gnu::constructor]] void begin() { static_cast<void>(table()); }

// exit(3), by the program or by the end of main. A child forked without execve gets here, too.
[[gnu::destructor]] void end() {
  Header* const recorded = table();
  if (recorded == nullptr) return;
  snapshot::take(path, ".end");
  recorded->ended_monotonic = syscalls::now();
}

}  // namespace

}  // namespace memmap::interpose::recording
