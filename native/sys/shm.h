// THE CONTRACT, fourth part: objects of shared memory, what they are sealed with, and locks on
// files. Nothing here allocates, throws or keeps errno. Implemented by linux_shm.cc and
// darwin_shm.cc.
//
// Shared: a name has no slash and is terminated. Every descriptor that is given is new, the
// caller's to close, and closed by exec(2). ENOTSUP where the system has no such thing.
#pragma once

#include <sys/types.h>

#include "sys/sys.h"

namespace memmap::sys {

// shm_open(3). Post: a regular file; ENOENT, EACCES and the like as the system says.
Result<int> open_shared(const char* name, bool writable);
// A new object of that name, or EEXIST.
Result<int> create_shared(const char* name, mode_t mode);
// A new object without a name, for publish().
Result<int> create_unnamed(mode_t mode);
// ENOTSUP, too, where it could be made and nothing could give it a name.
// Gives an object its name, or EEXIST: whoever opens it sees what it holds now. `temporary` is the
// name it was created with, empty if it has none; that one goes.
Status publish(int fd, const char* temporary, const char* name);
// True when publish() can be had at all.
[[nodiscard]] bool can_publish();
Status unlink_shared(const char* name);  // shm_unlink(3)
// Calls visit(context, name) for every name. The list is stale on arrival.
using NameVisitor = void (*)(void* context, const char* name);
Status each_shared(NameVisitor visit, void* context);

// Whether an object is one of lifetime 'processes'.
enum class Mark { kNo, kYes, kUnknown };

struct SharedStatus {
  uint64_t size;
  uint64_t inode;
  uint64_t device;
  uint64_t links;
  mode_t mode;  // with the kind of file
  uid_t user;
  gid_t group;
  int access;  // O_RDONLY, O_WRONLY or O_RDWR; 0 for a name
  Mark mark;
  double changed;  // when, in milliseconds since 1970
};
Result<SharedStatus> shared_status(int fd);
Result<SharedStatus> named_status(const char* name);

// memfd_create(2), with seals allowed.
Result<int> memory_file();
// ENOMEM when so many bytes of memory can never be had: a file system would say ENOSPC.
Status can_hold(uint64_t size);
// Bits as fcntl(2) has them.
constexpr int kSealSeal = 1, kSealShrink = 2, kSealGrow = 4, kSealWrite = 8, kSealFutureWrite = 16,
              kSealExec = 32;
Result<int> seals(int fd);
Status add_seals(int fd, int bits);

Result<int> duplicate(int fd);  // the same open file
void close_descriptor(int fd);
// The same file, opened anew: a lock of its own, and no more access than the file's mode allows.
Result<int> reopen(int fd, bool writable);
Result<int> open_of_process(pid_t pid, int fd, bool writable);

// A lock of the open file, not of the process: it lasts until the last descriptor, and the last
// mapping, that was made from the same open(2) is gone. Never waits: EAGAIN.
enum class Lock { kNone, kShared, kExclusive };
Status lock_range(int fd, Lock kind, uint64_t start, uint64_t length);
// The strongest lock that other open files have on the byte.
Result<Lock> lock_on(int fd, uint64_t byte);

// Marks an object of lifetime 'processes', by an extended attribute where it can have one, and
// starts a process that unlinks `name` when nobody has the object open any more. `temporary` as for
// publish(). Gives the process that must be waited for, once it has ended; 0 where somebody else
// does that.
Result<pid_t> mark_and_reap(int fd, const char* program, const char* temporary, const char* name);
// Waits for such a process. False: it has not ended.
bool has_ended(pid_t pid);

}  // namespace memmap::sys
