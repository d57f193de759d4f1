// An addon that knows nothing of memmap: robust mutexes of the C library, in the thread that calls, and the kernel's list of
// them. call(what, address) -> a number.
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct napi_env__ *env_t;
typedef struct napi_value__ *value_t;
typedef struct napi_info__ *info_t;
int napi_get_cb_info(env_t, info_t, size_t *, value_t *, value_t *, void **);
int napi_get_value_bigint_uint64(env_t, value_t, uint64_t *, _Bool *);
int napi_create_function(env_t, const char *, size_t, value_t (*)(env_t, info_t), void *, value_t *);
int napi_create_int32(env_t, int32_t, value_t *);

static int init(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  return pthread_mutex_init(mutex, &attributes);
}

// How many locks the kernel would find; -1 where it would never come back to the head.
static int walk(void) {
  struct robust_list_head *head = NULL;
  size_t size = 0;
  if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || head == NULL) return -2;
  if (head->list_op_pending != NULL) return -3;
  int found = 0;
  for (struct robust_list *at = head->list.next; at != &head->list; at = at->next) {
    if (++found > 2048) return -1;
  }
  return found;
}

// From now on this thread may not ask for its list, as in a sandbox.
static int forbid(int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_get_robust_list, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static value_t call(env_t env, info_t info) {
  size_t count = 2;
  value_t given[2], answer;
  uint64_t a[2] = {0, 0};
  _Bool exact;
  int32_t result = -100;
  napi_get_cb_info(env, info, &count, given, NULL, NULL);
  for (int i = 0; i < 2; i++) napi_get_value_bigint_uint64(env, given[i], &a[i], &exact);
  pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)a[1];
  if (a[0] == 0) result = init(mutex);
  if (a[0] == 1) result = pthread_mutex_lock(mutex);
  if (a[0] == 2) result = pthread_mutex_unlock(mutex);
  if (a[0] == 3) result = walk();
  if (a[0] == 4) {
    char *arguments[] = {"sleep", "60", NULL};
    result = execvp(arguments[0], arguments);
  }
  if (a[0] == 5) result = forbid((int)a[1]);
  napi_create_int32(env, result, &answer);
  return answer;
}

value_t napi_register_module_v1(env_t env, value_t exports) {
  napi_create_function(env, "call", 4, call, NULL, &exports);
  return exports;
}
