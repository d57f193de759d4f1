// One short function per export: decode the arguments, call space or sys, hand the result back.
// Must not decide anything.
#pragma once

#include <napi.h>

#include "base/environment.h"

namespace memmap::exports {

// Adds every export. `environment` outlives them.
void add_to(Napi::Object exports, Environment* environment);
void add_guard_to(Napi::Object exports, Environment* own);
void add_data_to(Napi::Object exports, Environment* environment);
void add_digests_to(Napi::Object exports, Environment* own);
void add_shm_to(Napi::Object exports, Environment* own);
void add_survey_to(Napi::Object exports, Environment* own);
void add_sync_to(Napi::Object exports, Environment* own);

}  // namespace memmap::exports
