// Two processes in plain C: 64 bytes there and back through shared memory, again and again. Each line on
// stdin, `spin COUNT`, `sleep COUNT` or `word COUNT`, is a round; each is answered with one line of JSON,
// the nanoseconds of a round trip. spin and sleep go through two bounded rings, with messages of any
// length, one sender and one receiver each; word is a futex on a bare word and nothing else. The arguments
// are the processors of the two, if any. Linux only.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CAPACITY = 1 << 16, MOST = 1 << 20 };

// Positions count bytes and wrap; each has a cache line of its own. A message is its length in 4 bytes,
// then its bytes, and begins at a multiple of 4.
struct ring {
  _Alignas(64) _Atomic uint32_t tail;  // what was sent: the sender writes it, the receiver sleeps on it
  _Alignas(64) _Atomic uint32_t head;  // what was received
  _Alignas(64) _Atomic uint32_t sleepers;
  _Alignas(64) uint8_t bytes[CAPACITY];
};

struct shared {
  struct ring there, back;
  _Alignas(64) _Atomic uint32_t word;
};

struct command {
  char mode[8];
  uint32_t count;
};

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void futex_wait(_Atomic uint32_t* word, uint32_t seen) {
  syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t* word) {
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void rest(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void copy_in(struct ring* ring, uint32_t at, const void* source, uint32_t length) {
  const uint32_t begin = at % CAPACITY;
  const uint32_t first = length < CAPACITY - begin ? length : CAPACITY - begin;
  memcpy(ring->bytes + begin, source, first);
  memcpy(ring->bytes, (const uint8_t*)source + first, length - first);
}

static void copy_out(const struct ring* ring, uint32_t at, void* target, uint32_t length) {
  const uint32_t begin = at % CAPACITY;
  const uint32_t first = length < CAPACITY - begin ? length : CAPACITY - begin;
  memcpy(target, ring->bytes + begin, first);
  memcpy((uint8_t*)target + first, ring->bytes, length - first);
}

static void send_message(struct ring* ring, const void* message, uint32_t length, int sleeps) {
  const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  const uint32_t size = 4 + ((length + 3) & ~3u);
  while (CAPACITY - (tail - atomic_load_explicit(&ring->head, memory_order_acquire)) < size) rest();
  copy_in(ring, tail, &length, 4);
  copy_in(ring, tail + 4, message, length);
  if (!sleeps) {
    atomic_store_explicit(&ring->tail, tail + size, memory_order_release);
    return;
  }
  atomic_store(&ring->tail, tail + size);
  if (atomic_load(&ring->sleepers) != 0) futex_wake(&ring->tail);
}

static uint32_t receive_message(struct ring* ring, void* message, uint32_t room, int sleeps) {
  const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  while (atomic_load_explicit(&ring->tail, memory_order_acquire) == head) {
    if (!sleeps) {
      rest();
      continue;
    }
    atomic_fetch_add(&ring->sleepers, 1);
    futex_wait(&ring->tail, head);
    atomic_fetch_sub(&ring->sleepers, 1);
  }
  uint32_t length;
  copy_out(ring, head, &length, 4);
  if (length > room) fail("a message that is too long");
  copy_out(ring, head + 4, message, length);
  atomic_store_explicit(&ring->head, head + 4 + ((length + 3) & ~3u), memory_order_release);
  return length;
}

// Waits until the word has the parity of this side, and makes it the other's turn.
static void take_turn(_Atomic uint32_t* word, uint32_t mine) {
  uint32_t seen;
  while (((seen = atomic_load(word)) & 1) != mine) futex_wait(word, seen);
  atomic_store(word, seen + 1);
  futex_wake(word);
}

static void echo(struct shared* shared, const struct command* command) {
  const int sleeps = strcmp(command->mode, "sleep") == 0;
  uint8_t message[MESSAGE];
  for (uint32_t i = 0; i < command->count; i++) {
    if (strcmp(command->mode, "word") == 0) {
      take_turn(&shared->word, 1);
    } else {
      const uint32_t length = receive_message(&shared->there, message, sizeof message, sleeps);
      send_message(&shared->back, message, length, sleeps);
    }
  }
}

static double samples[MOST];

static void measure(struct shared* shared, const struct command* command) {
  const int sleeps = strcmp(command->mode, "sleep") == 0;
  uint8_t message[MESSAGE];
  memset(message, 7, sizeof message);
  double before = now();
  for (uint32_t i = 0; i < command->count; i++) {
    if (strcmp(command->mode, "word") == 0) {
      take_turn(&shared->word, 0);
      uint32_t seen;
      while (((seen = atomic_load(&shared->word)) & 1) != 0) futex_wait(&shared->word, seen);
    } else {
      send_message(&shared->there, message, sizeof message, sleeps);
      receive_message(&shared->back, message, sizeof message, sleeps);
    }
    const double after = now();
    samples[i] = after - before;
    before = after;
  }
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void answer(uint32_t count) {
  qsort(samples, count, sizeof samples[0], ascending);
  const double part[] = {0.5, 0.99, 0.999};
  double found[3];
  for (int i = 0; i < 3; i++) found[i] = samples[(uint32_t)(part[i] * (count - 1))];
  printf("{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f}\n", found[0], found[1], found[2]);
  fflush(stdout);
}

static void stay_on(const char* processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(atoi(processor), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
}

int main(int count, char** arguments) {
  struct shared* const shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int commands[2];
  if (shared == MAP_FAILED || pipe(commands) != 0) fail("the shared memory");
  struct command command;
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(commands[1]);
    if (count == 3) stay_on(arguments[2]);
    while (read(commands[0], &command, sizeof command) == sizeof command) echo(shared, &command);
    return 0;
  }
  close(commands[0]);
  if (count == 3) stay_on(arguments[1]);
  while (scanf("%7s %u", command.mode, &command.count) == 2) {
    if (command.count == 0 || command.count > MOST) fail("the count");
    if (write(commands[1], &command, sizeof command) != sizeof command) fail("the other process");
    measure(shared, &command);
    answer(command.count);
  }
  return 0;
}
