#include "faults/handler/notification.h"

#include "sys/signal_safe.h"

namespace memmap::notifier {

std::atomic<uint32_t>& posted() {
  static std::atomic<uint32_t> count{0};
  return count;
}

bool take(Notifier& notifier) { return notifier.pending.exchange(false); }

void post(Notifier& notifier) {
  // In this order: whoever is rung up finds the count grown.
  const bool was_pending = notifier.pending.exchange(true);
  posted().fetch_add(1);
  if (!was_pending) sys::signal_safe::ring_doorbell();
}

}  // namespace memmap::notifier
