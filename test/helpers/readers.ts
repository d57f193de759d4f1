// Threads that read an address without a pause and without a lock: what they meet is what any native
// code would. An addon of a few lines that knows nothing of memmap.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The declarations of Node-API that it needs: headers of Node need not be installed.
const SOURCE = `
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
typedef struct napi_env__ *env_t;
typedef struct napi_value__ *value_t;
typedef struct napi_info__ *info_t;
int napi_get_cb_info(env_t, info_t, size_t *, value_t *, value_t *, void **);
int napi_get_value_bigint_uint64(env_t, value_t, uint64_t *, _Bool *);
int napi_create_function(env_t, const char *, size_t, value_t (*)(env_t, info_t), void *, value_t *);
int napi_create_double(env_t, double, value_t *);
int napi_set_named_property(env_t, value_t, const char *, value_t);

enum { THREADS = 2 };
static volatile const uint64_t *words;
static size_t count, stride;
static uint64_t allowed[4];
static atomic_int stopping;
static atomic_ulong reads, odd, changes;
static pthread_t threads[THREADS];

static void *run(void *unused) {
  uint64_t last = 0;
  unsigned long seen = 0, strange = 0, other = 0;
  while (!stopping) {
    for (size_t i = 0; i < count; i += stride, ++seen) {
      const uint64_t word = words[i];
      int known = 0;
      for (int k = 0; k < 4; ++k) known |= word == allowed[k];
      if (!known) ++strange;
      if (word != last) ++other;
      last = word;
    }
  }
  reads += seen; odd += strange; changes += other;
  return unused;
}

// start(address, bytes, stride in bytes, byte, byte, byte): words of one of these bytes, or of zeros
static value_t start(env_t env, info_t info) {
  size_t given = 6;
  value_t values[6];
  uint64_t a[6];
  _Bool exact;
  napi_get_cb_info(env, info, &given, values, NULL, NULL);
  for (int i = 0; i < 6; i++) napi_get_value_bigint_uint64(env, values[i], &a[i], &exact);
  words = (const uint64_t *)(uintptr_t)a[0];
  count = a[1] / 8; stride = a[2] / 8;
  for (int i = 0; i < 3; i++) allowed[i] = a[3 + i] * 0x0101010101010101u;
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run, NULL);
  return NULL;
}

static value_t stop(env_t env, info_t info) {
  value_t answer;
  (void)info;
  stopping = 1;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  napi_create_double(env, odd ? -(double)odd : changes < 10 ? 0 : (double)reads, &answer);
  return answer;
}

// hole(address, length): what a swap by munmap and mmap does, for a moment
static value_t hole(env_t env, info_t info) {
  size_t given = 2;
  value_t values[2];
  uint64_t a[2];
  _Bool exact;
  napi_get_cb_info(env, info, &given, values, NULL, NULL);
  for (int i = 0; i < 2; i++) napi_get_value_bigint_uint64(env, values[i], &a[i], &exact);
  munmap((void *)(uintptr_t)a[0], a[1]);
  mmap((void *)(uintptr_t)a[0], a[1], PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return NULL;
}

value_t napi_register_module_v1(env_t env, value_t exports) {
  value_t function;
  napi_create_function(env, "start", 5, start, NULL, &function);
  napi_set_named_property(env, exports, "start", function);
  napi_create_function(env, "stop", 4, stop, NULL, &function);
  napi_set_named_property(env, exports, "stop", function);
  napi_create_function(env, "hole", 4, hole, NULL, &function);
  napi_set_named_property(env, exports, "hole", function);
  return exports;
}
`;

/**
 * Builds it and gives its path. In a child: `start(address, bytes, stride, byte, byte, byte)`, all of
 * them bigints; `stop()` is how many words were read, 0 when they hardly ever changed, less than 0 when
 * a word was none of those; `hole(address, bytes)` is the swap that readers do meet.
 */
export function buildReaders(): string {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-'));
  const source = join(folder, 'readers.c');
  const addon = join(folder, 'readers.node');
  writeFileSync(source, SOURCE);
  const shared =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const args = [...shared, '-O2', '-fPIC', '-pthread', '-o', addon, source];
  execFileSync('cc', args, { stdio: 'pipe' });
  return addon;
}
