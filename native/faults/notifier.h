// From a signal handler to the event loop of the thread that owns the mapping.
//
//   handler: post() -> mark, doorbell -> the notifier thread -> loop::Callback -> JavaScript
//
// What calls a function on a loop takes locks, which a handler must not: so a thread that does
// nothing else waits for the doorbell. It starts with the first notifier and ends with the process.
#pragma once

#include "base/environment.h"
#include "faults/handler/notification.h"

namespace memmap::notifier {

// A notifier whose notifications call `deliver` on this thread's loop, without keeping the loop
// alive. Null when it cannot be made.
Notifier* make(napi_env env, napi_value deliver);
// Its environment ends. Notifications are no longer brought. Null is taken.
void close(Notifier* notifier);

}  // namespace memmap::notifier
