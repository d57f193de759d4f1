// The system's calls made behind memmap's back, by an addon of a few lines that knows nothing of it.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The declarations of Node-API that it needs: headers of Node need not be installed.
const SOURCE = `
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
typedef struct napi_env__ *env_t;
typedef struct napi_value__ *value_t;
typedef struct napi_info__ *info_t;
int napi_get_cb_info(env_t, info_t, size_t *, value_t *, value_t *, void **);
int napi_get_value_bigint_uint64(env_t, value_t, uint64_t *, _Bool *);
int napi_create_function(env_t, const char *, size_t, value_t (*)(env_t, info_t), void *, value_t *);
int napi_create_int32(env_t, int32_t, value_t *);

static value_t call(env_t env, info_t info) {
  size_t count = 4;
  value_t given[4], answer;
  uint64_t a[4];
  _Bool exact;
  int32_t result = -1;
  napi_get_cb_info(env, info, &count, given, NULL, NULL);
  for (int i = 0; i < 4; i++) napi_get_value_bigint_uint64(env, given[i], &a[i], &exact);
  void *at = (void *)(uintptr_t)a[1];
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (a[0] == 0) result = munmap(at, a[2]);
  if (a[0] == 1) result = mprotect(at, a[2], (int)a[3]);
  if (a[0] == 2) result = mmap(at, a[2], (int)a[3], flags, -1, 0) == at ? 0 : -1;
  napi_create_int32(env, result, &answer);
  return answer;
}

value_t napi_register_module_v1(env_t env, value_t exports) {
  napi_create_function(env, "call", 4, call, NULL, &exports);
  return exports;
}
`;

export interface Outside {
  munmap(address: bigint, length: number): void;
  mprotect(address: bigint, length: number, protection: number): void;
  /** Private zero pages over whatever is there. */
  mmapFixed(address: bigint, length: number, protection: number): void;
}

/** Builds and loads it; the reason where that cannot be done. */
export function buildOutside(folder: string): Outside | string {
  const source = join(folder, 'outside.c');
  const addon = join(folder, 'outside.node');
  writeFileSync(source, SOURCE);
  const shared =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  try {
    execFileSync('cc', [...shared, '-fPIC', '-o', addon, source], { stdio: 'pipe' });
  } catch (error) {
    return `no C compiler for the test's own addon: ${(error as Error).message.trim()}`;
  }
  type Call = (what: bigint, address: bigint, length: bigint, protection: bigint) => number;
  const call = createRequire(__filename)(addon) as Call;
  const done = (result: number): void => {
    if (result !== 0) throw new Error('a call from outside failed');
  };
  return {
    munmap: (address, length) => done(call(0n, address, BigInt(length), 0n)),
    mprotect: (address, length, protection) =>
      done(call(1n, address, BigInt(length), BigInt(protection))),
    mmapFixed: (address, length, protection) =>
      done(call(2n, address, BigInt(length), BigInt(protection))),
  };
}
