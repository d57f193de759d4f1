// The other side of a lock or a word, in C: maps a file, and does what the lines of its input say, each answered by a line.
// locker FILE
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *name_of(int error) {
  switch (error) {
    case 0: return "ok";
    case EBUSY: return "EBUSY";
    case EOWNERDEAD: return "EOWNERDEAD";
    case ENOTRECOVERABLE: return "ENOTRECOVERABLE";
    case ETIMEDOUT: return "ETIMEDOUT";
    case EPERM: return "EPERM";
    case EDEADLK: return "EDEADLK";
    case EAGAIN: return "EAGAIN";
    case EINVAL: return "EINVAL";
  }
  return "another error";
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  int fd = open(arguments[1], O_RDWR);
  struct stat found;
  if (fd < 0 || fstat(fd, &found) != 0) return 3;
  char *memory = mmap(NULL, (size_t)found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return 4;
  char line[200];
  char what[50];
  long offset, number, other;
  while (fgets(line, sizeof line, stdin)) {
    offset = number = other = 0;
    if (sscanf(line, "%49s %ld %ld %ld", what, &offset, &number, &other) < 1) return 5;
    pthread_mutex_t *mutex = (pthread_mutex_t *)(memory + offset);
    int *word = (int *)(memory + offset);
    const char *answer = NULL;
    long result = 0;
    if (strcmp(what, "init") == 0) {
      pthread_mutexattr_t attributes;
      pthread_mutexattr_init(&attributes);
      pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
      pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
      answer = name_of(pthread_mutex_init(mutex, &attributes));
    } else if (strcmp(what, "lock") == 0) {
      answer = name_of(pthread_mutex_lock(mutex));
    } else if (strcmp(what, "trylock") == 0) {
      answer = name_of(pthread_mutex_trylock(mutex));
    } else if (strcmp(what, "unlock") == 0) {
      answer = name_of(pthread_mutex_unlock(mutex));
    } else if (strcmp(what, "consistent") == 0) {
      answer = name_of(pthread_mutex_consistent(mutex));
    } else if (strcmp(what, "count") == 0) {
      // `number` times: one more in the plain counter at `other`, under the lock.
      volatile long *counter = (volatile long *)(memory + other);
      for (long i = 0; i < number; i++) {
        int locked = pthread_mutex_lock(mutex);
        if (locked == EOWNERDEAD) locked = pthread_mutex_consistent(mutex);
        if (locked != 0) return 6;
        long before = *counter;
        if (i % 64 == 0) sched_yield();
        *counter = before + 1;
        if (pthread_mutex_unlock(mutex) != 0) return 7;
      }
    } else if (strcmp(what, "wait") == 0) {
      // A word, while it is `number`, at most `other` milliseconds.
      struct timespec limit = {other / 1000, other % 1000 * 1000000};
      result = syscall(SYS_futex, word, FUTEX_WAIT, (int)number, &limit, NULL, 0);
      answer = name_of(result == 0 ? 0 : errno);
    } else if (strcmp(what, "wake") == 0) {
      result = syscall(SYS_futex, word, FUTEX_WAKE, (int)number, NULL, NULL, 0);
    } else if (strcmp(what, "rouse") == 0) {
      // The same, as often as it takes until somebody was asleep.
      const struct timespec moment = {0, 1000000};
      while ((result = syscall(SYS_futex, word, FUTEX_WAKE, (int)number, NULL, NULL, 0)) == 0) nanosleep(&moment, NULL);
    } else if (strcmp(what, "set") == 0) {
      __atomic_store_n(word, (int)number, __ATOMIC_SEQ_CST);
    } else if (strcmp(what, "get") == 0) {
      result = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    } else if (strcmp(what, "die") == 0) {
      raise(SIGKILL);
    } else {
      return 8;
    }
    if (answer != NULL) printf("%s\n", answer);
    else printf("%ld\n", result);
    fflush(stdout);
  }
  return 0;
}
