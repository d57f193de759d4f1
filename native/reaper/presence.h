// Where the users of an object of lifetime 'processes' lock it: a byte that no file has, so that it
// is in nobody's way who locks the bytes that there are.
#pragma once

#include <cstdint>

namespace memmap {

constexpr int64_t kPresenceByte = int64_t{1} << 62;

}  // namespace memmap
