// Where the users of an object of lifetime 'processes' lock it: a byte that no file has, so that it
// is in nobody's way who locks the bytes that there are.
#pragma once

#include <cstdint>

namespace memmap {

constexpr int64_t kPresenceByte = int64_t{1} << 62;

// Who takes a name away has this one, from looking whose name it is until it is gone: nobody else
// can give it to a new object in between.
constexpr int64_t kRemovalByte = kPresenceByte + 1;

}  // namespace memmap
