// From a signal handler to the event loop of the thread that owns the mapping.
//
//   handler: post() -> mark, ring -> the notifier thread -> napi_threadsafe_function -> JavaScript
//
// A threadsafe function takes locks, which a handler must not: so a thread that does nothing else
// hears the doorbell. It starts with the first notifier and ends with the process.
#pragma once

#include <node_api.h>

#include <atomic>
#include <cstdint>

namespace memmap {

struct Notifier;

namespace notifier {

// A notifier whose notifications call `deliver` on this thread's loop, without keeping the loop
// alive. Null when it cannot be made. Never freed: a handler may hold it.
Notifier* make(napi_env env, napi_value deliver);
// Its environment ends. Notifications are no longer brought.
void close(Notifier* notifier);

// Grows with every notification of the process: who has seen its value need not ask.
[[nodiscard]] std::atomic<uint32_t>& posted();

// True when there is something to take. What comes from here on rings again.
bool take(Notifier& notifier);

// For the handler, after the entry is written.
void post(Notifier& notifier);

}  // namespace notifier
}  // namespace memmap
