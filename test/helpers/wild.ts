// Native code that knows nothing of memmap: it follows wild pointers, and has signal handlers of its own.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

// The declarations of Node-API that it needs: headers of Node need not be installed.
const SOURCE = `
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
typedef struct napi_env__ *env_t;
typedef struct napi_value__ *value_t;
typedef struct napi_info__ *info_t;
int napi_get_cb_info(env_t, info_t, size_t *, value_t *, value_t *, void **);
int napi_get_value_bigint_uint64(env_t, value_t, uint64_t *, _Bool *);
int napi_create_function(env_t, const char *, size_t, value_t (*)(env_t, info_t), void *, value_t *);
int napi_create_int32(env_t, int32_t, value_t *);

enum { MEND, JUMP, CHAIN, LEAVE };

static volatile int calls, last_signal, landed;
static volatile uintptr_t last_address, page_to_mend;
static volatile int way;
static sigjmp_buf back;
static struct sigaction before[65];

static void saw(int signo, uintptr_t address) {
  calls++;
  last_signal = signo;
  last_address = address;
  uintptr_t page = page_to_mend & ~(uintptr_t)4095;
  if (way == MEND) mprotect((void *)page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
  if (way == JUMP) siglongjmp(back, 1);
  if (way == LEAVE) {
    static const char words[] = "the other handler was called\\n";
    if (write(1, words, sizeof words - 1) < 0) _exit(78);
    _exit(77);
  }
}
static void plain(int signo) { saw(signo, 0); }
static void with_info(int signo, siginfo_t *info, void *context) {
  saw(signo, (uintptr_t)info->si_addr);
  if (way != CHAIN) return;
  struct sigaction *old = &before[signo];
  if (old->sa_flags & SA_SIGINFO) old->sa_sigaction(signo, info, context);
  else if (old->sa_handler == SIG_DFL) sigaction(signo, old, NULL);
  else if (old->sa_handler != SIG_IGN) old->sa_handler(signo);
}

static int touch(uintptr_t address, int write_it) {
  if (way == JUMP && sigsetjmp(back, 1) != 0) return ++landed;
  volatile char *at = (volatile char *)address;
  if (write_it) *at = 1;
  return *at;
}

// As many regions as this process may have: pages that differ in turn. Then every stride-th page is touched.
static int at_the_brim(uintptr_t address, uintptr_t stride, int count, int write_it) {
  const size_t size = (size_t)1 << 30;
  const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
  char *filler = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (filler == MAP_FAILED) return -1;
  int full = 0;
  for (size_t at = page_size; at < size - page_size && !full; at += 2 * page_size)
    full = mprotect(filler + at, page_size, PROT_READ) != 0;
  // One more, if there is room for one and not for two.
  mprotect(filler + size - page_size, page_size, PROT_READ);
  int sum = 0;
  for (int i = 0; full && i < count; i++) sum += touch(address + i * stride, write_it);
  munmap(filler, size);
  return full ? sum : -1;
}

static value_t call(env_t env, info_t info) {
  size_t count = 4;
  value_t given[4], answer;
  uint64_t a[4] = {0, 0, 0, 0};
  _Bool exact;
  int32_t result = 0;
  napi_get_cb_info(env, info, &count, given, NULL, NULL);
  for (size_t i = 0; i < count; i++) napi_get_value_bigint_uint64(env, given[i], &a[i], &exact);
  if (a[0] == 0) {
    page_to_mend = (uintptr_t)a[1];
    result = touch((uintptr_t)a[1], (int)a[2]);
  }
  if (a[0] == 1) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    way = (int)a[3];
    if (a[2]) {
      action.sa_sigaction = with_info;
      action.sa_flags = SA_SIGINFO;
    } else {
      action.sa_handler = plain;
    }
    result = sigaction((int)a[1], &action, &before[a[1]]);
  }
  if (a[0] == 2) result = calls;
  if (a[0] == 3) result = last_signal;
  if (a[0] == 4) result = last_address == (uintptr_t)a[1];
  if (a[0] == 6 || a[0] == 7) result = at_the_brim(a[1], a[2], (int)a[3], a[0] == 7);
  if (a[0] == 5) {
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    result = sigaction((int)a[1], &ignore, NULL);
  }
  napi_create_int32(env, result, &answer);
  return answer;
}

value_t napi_register_module_v1(env_t env, value_t exports) {
  napi_create_function(env, "call", 4, call, NULL, &exports);
  return exports;
}
`;

/** Builds it in a folder, for children; `missing` says why where that cannot be done. */
export function buildWild(folder: string): { addon: string; missing: string | undefined } {
  const source = join(folder, 'wild.c');
  const addon = join(folder, 'wild.node');
  writeFileSync(source, SOURCE);
  const shared =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  try {
    execFileSync('cc', [...shared, '-fPIC', '-O1', '-o', addon, source], { stdio: 'pipe' });
    return { addon, missing: undefined };
  } catch (error) {
    const missing = `no C compiler for the test's own addon: ${(error as Error).message.trim()}`;
    return { addon, missing };
  }
}

/** In scope of a child: loadWild(). */
export const wildTools = (addon: string): string => `
const { signals } = require('node:os').constants;
// Where nobody maps anything.
const NOWHERE = 0x1000n;
function loadWild() {
  const call = require(${JSON.stringify(addon)});
  const ways = ['mend', 'jump', 'chain', 'leave'];
  return {
    read: (address) => call(0n, address, 0n),
    write: (address) => call(0n, address, 1n),
    // Its handler makes the page writable, jumps out, calls whoever was there before, or leaves with exit code 77.
    handle: (signal, form, way) =>
      assert.equal(call(1n, BigInt(signals[signal]), form === 'info' ? 1n : 0n, BigInt(ways.indexOf(way))), 0),
    ignore: (signal) => assert.equal(call(5n, BigInt(signals[signal])), 0),
    // While the process has as many regions as it may have: what it touched, added up, or -1.
    readAtTheBrim: (address, stride, count) => call(6n, address, BigInt(stride), BigInt(count)),
    writeAtTheBrim: (address, stride, count) => call(7n, address, BigInt(stride), BigInt(count)),
    calls: () => call(2n),
    lastSignal: () => call(3n),
    wasAt: (address) => call(4n, address) === 1,
  };
}
`;
