#include "sys/background.h"

#include <pthread.h>
#include <signal.h>

#include <cstddef>

namespace memmap {

bool start_background(void* (*life)(void*), void* data) {
  sigset_t all;
  sigset_t own;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  constexpr size_t kStack = size_t{256} << 10;
  pthread_attr_setstacksize(&attributes, kStack);
  // A thread begins with the signals blocked that its maker has blocked.
  pthread_sigmask(SIG_SETMASK, &all, &own);
  pthread_t thread;
  const bool started = pthread_create(&thread, &attributes, life, data) == 0;
  pthread_sigmask(SIG_SETMASK, &own, nullptr);
  pthread_attr_destroy(&attributes);
  return started;
}

}  // namespace memmap
