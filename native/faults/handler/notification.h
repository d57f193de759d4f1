// What a signal handler leaves for the event loops: a mark, a count and a ring of the doorbell.
// faults/notifier.h brings it to JavaScript.
#pragma once

#include <atomic>
#include <cstdint>

namespace memmap {

// Of one registry. Never freed: a handler may hold it.
struct Notifier {
  std::atomic<bool> pending{false};  // until it is taken; nobody rings twice for it
};

namespace notifier {

// Grows with every notification of the process: who has seen its value need not ask.
[[nodiscard]] std::atomic<uint32_t>& posted();

// For the handler, after the entry is written.
void post(Notifier& notifier);

// True when there is something to take. What comes from here on rings again.
bool take(Notifier& notifier);

}  // namespace notifier
}  // namespace memmap
