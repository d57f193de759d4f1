#include "faults/handler/signal_handler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <atomic>

#include "faults/handler/fixup.h"
#include "faults/handler/guarded_range.h"
#include "faults/handler/notification.h"
#include "faults/handler/vma_reserve.h"
#include "sys/signal_safe.h"

namespace memmap::signal_handler {

namespace {

namespace signal_safe = sys::signal_safe;

constexpr int kSignals[] = {SIGBUS, SIGSEGV};
constexpr size_t kCount = sizeof kSignals / sizeof kSignals[0];

// Whom we pass signals on to. Written before ours is installed on top of it, and again when
// somebody else was on top in between: the two slots of each take turns, so that a handler never
// reads one that is being written.
struct Before {
  struct sigaction actions[2]{};
  std::atomic<unsigned> current{0};
  std::atomic<bool> used{false};  // called once: enough for one with SA_RESETHAND
  struct sigaction first {};      // before ours was ever installed
  [[nodiscard]] const struct sigaction& action() const { return actions[current.load() & 1]; }
};
Before before[kCount];
std::atomic<bool> ever{false};

size_t index_of(int signo) { return signo == SIGBUS ? 0 : 1; }

// Threads that are in an old handler, which may call ours again: it passes signals on as we do, and
// was installed after ours was, and we again on top of it. Then the first one of all is asked.
// An entry whose frame is not above ours is of a call that was left by a jump.
struct Forwarding {
  std::atomic<int> thread{0};
  std::atomic<const void*> context{nullptr};
  std::atomic<uintptr_t> frame{0};
  std::atomic<int> depth{0};
};
constexpr size_t kMostForwarding = 64;
Forwarding forwarding[kMostForwarding];

Forwarding* forwarding_of(int thread) {
  for (Forwarding& entry : forwarding) {
    if (entry.thread.load() == thread) return &entry;
  }
  return nullptr;
}

// Null when all are taken: then a chain that is a ring is not noticed.
Forwarding* enter(int thread) {
  for (Forwarding& entry : forwarding) {
    int nobody = 0;
    if (entry.thread.compare_exchange_strong(nobody, thread)) return &entry;
  }
  return nullptr;
}

// A fault happens again on return, and then kills with the right address in the core; a signal
// that was sent has to be sent again.
void raise_default(int signo, const siginfo_t* info) {
  struct sigaction fatal {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signo, &fatal, nullptr);
  if (info->si_code <= 0) raise(signo);
}

void call(const struct sigaction& old, int signo, siginfo_t* info, void* context) {
  // As the kernel would have called it: with its own mask on top of the interrupted one.
  sigset_t mask = static_cast<const ucontext_t*>(context)->uc_sigmask;
  for (int other = 1; other < NSIG; ++other) {
    if (sigismember(&old.sa_mask, other) == 1) sigaddset(&mask, other);
  }
  if ((old.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, signo);
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, &mask, &own);
  if ((old.sa_flags & SA_SIGINFO) != 0) {
    old.sa_sigaction(signo, info, context);
  } else {
    old.sa_handler(signo);
  }
  pthread_sigmask(SIG_SETMASK, &own, nullptr);
}

// How often this signal has come round to us already: 0 for the first time.
int reentry_count(Forwarding* entry, const void* context) {
  const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const bool same = entry->context.load() == context && frame < entry->frame.load();
  if (!same) {
    entry->context = context;
    entry->frame = frame;
    entry->depth = 0;
    return 0;
  }
  return ++entry->depth;
}

void forward_signal(int signo, siginfo_t* info, void* context) {
  const int thread = signal_safe::thread_id();
  Forwarding* entry = forwarding_of(thread);
  const bool inside = entry != nullptr;
  if (entry == nullptr) entry = enter(thread);
  const int round = entry == nullptr ? 0 : reentry_count(entry, context);
  Before& known = before[index_of(signo)];
  // Also where the last of them was reset: libuv does that, and forgets what Node had before.
  const bool was_reset = known.action().sa_handler == SIG_DFL;
  const struct sigaction old = round == 0 && !was_reset ? known.action() : known.first;
  const bool takes_info = (old.sa_flags & SA_SIGINFO) != 0;
  const bool ignored = !takes_info && old.sa_handler == SIG_IGN;
  const bool is_default = !takes_info && old.sa_handler == SIG_DFL;
  const bool once = (static_cast<unsigned>(old.sa_flags) & SA_RESETHAND) != 0;
  const bool spent = once && known.used.exchange(true);
  if (ignored && info->si_code <= 0) {
    // As if it had never come.
  } else if (ignored || is_default || spent || round > 1) {
    raise_default(signo, info);
  } else {
    call(old, signo, info, context);
  }
  if (entry != nullptr && !(inside && round > 0)) entry->thread = 0;
}

// True when the signal needs nobody else.
bool handle(int signo, const siginfo_t* info, const void* context) {
#ifdef __APPLE__
  const bool lost = signo == SIGBUS;
  const bool denied = signo == SIGBUS || signo == SIGSEGV;
#else
  const bool lost = signo == SIGBUS && info->si_code == BUS_ADRERR;
  // SEGV_MAPERR in mapped pages: guard pages that madvise installed.
  const bool denied =
      signo == SIGSEGV && (info->si_code == SEGV_ACCERR || info->si_code == SEGV_MAPERR);
#endif
  if (!lost && !denied) return false;
  const signal_safe::FaultAccess access = signal_safe::access_of(info, context);
  GuardedRange* guard = guarded_ranges::find(access.address);
  if (guard == nullptr) return false;
  if (!guarded_ranges::try_lock(*guard)) {
    // Somebody is at it: the instruction faults again until they are done.
    signal_safe::yield();
    return true;
  }
  auto verdict = fixup::Verdict::kAgain;
  if (guard->pages().contains(access.address)) {
#ifdef __APPLE__
    // One signal for both: a write that the pages do not allow is what it is.
    verdict = fixup::stray_write(*guard, access);
    if (verdict != fixup::Verdict::kFixed) verdict = fixup::lost_page(*guard, access);
#else
    if (lost) {
      verdict = fixup::lost_page(*guard, access);
    } else if (info->si_code == SEGV_MAPERR) {
      verdict = fixup::guard_page(*guard, access);
    } else {
      verdict = fixup::stray_write(*guard, access);
    }
#endif
  }
  Notifier* notifier = verdict == fixup::Verdict::kFixed ? guard->notifier.load() : nullptr;
  guarded_ranges::unlock(*guard);
  if (notifier != nullptr) notifier::post(*notifier);
  return verdict != fixup::Verdict::kForeign;
}

void on_signal(int signo, siginfo_t* info, void* context) {
  const int saved = errno;
  if (!handle(signo, info, context)) forward_signal(signo, info, context);
  errno = saved;
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_signal;
}

void in_forked_child() {
  guarded_ranges::unlock_all();
  signal_safe::forget_parent();
}

void install_one(int signo) {
  struct sigaction now {};
  if (sigaction(signo, nullptr, &now) != 0 || is_ours(now)) return;
  Before& known = before[index_of(signo)];
  if (known.current.load() == 0) known.first = now;
  known.used = false;
  known.actions[(known.current.load() + 1) & 1] = now;
  known.current.fetch_add(1);
  struct sigaction ours {};
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  // No other handler may run in the middle of a repair.
  sigfillset(&ours.sa_mask);
  sigaction(signo, &ours, nullptr);
}

}  // namespace

void install() {
  if (!ever.load()) {
    signal_safe::prepare();
    vma_reserve::prepare();
    pthread_atfork(nullptr, nullptr, in_forked_child);
    ever = true;
  }
  for (const int signo : kSignals) install_one(signo);
}

Installed installed() {
  Installed found{ever.load(), false, false};
  struct sigaction now {};
  if (sigaction(SIGBUS, nullptr, &now) == 0) found.bus = is_ours(now);
  if (sigaction(SIGSEGV, nullptr, &now) == 0) found.segmentation = is_ours(now);
  return found;
}

}  // namespace memmap::signal_handler
