// The platform's own numbers, by the platform's own names.
#pragma once

#include <napi.h>

namespace memmap {

// { PROT_READ: 1, ... }: every constant of the mmap family that this platform has.
Napi::Object constants(Napi::Env env);

}  // namespace memmap
