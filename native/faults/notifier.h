// From a signal handler to the event loop of the thread that owns the mapping.
//
//   handler: post() -> mark, ring -> the bell thread -> napi_threadsafe_function -> JavaScript
//
// A threadsafe function takes locks, which a handler must not: so a thread that does nothing else
// hears the bell. It starts with the first inbox and ends with the process.
#pragma once

#include <node_api.h>

#include <atomic>
#include <cstdint>

namespace memmap {

struct Inbox;

namespace inbox {

// An inbox whose letters call `deliver` on this thread's loop, without keeping the loop alive.
// Null when it cannot be made. Never freed: a handler may hold it.
Inbox* make(napi_env env, napi_value deliver);
// Its environment ends. Letters are no longer brought.
void close(Inbox* inbox);

// Grows with every letter of the process: who has seen its value need not ask.
[[nodiscard]] std::atomic<uint32_t>& posted();

// True when there is something to take. What comes from here on rings again.
bool take(Inbox& inbox);

// For the handler, after the entry is written.
void post(Inbox& inbox);

}  // namespace inbox
}  // namespace memmap
