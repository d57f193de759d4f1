// Checked input: every number, buffer and flag that crosses into C++ is read here and nowhere else.
// Never calls back into JavaScript: no getters, no valueOf.
#pragma once

#include <napi.h>

#include <cmath>

#include "failure.h"

namespace memmap {

class Args {
 public:
  explicit Args(const Napi::CallbackInfo& info) : info_(info) {}

  [[nodiscard]] bool ok() const { return bad_ < 0; }

  // A whole number from 0 to `most`; page-aligned addresses above 2^53 are exact as doubles.
  uintptr_t address(size_t index) { return static_cast<uintptr_t>(whole(index, kMostAddress)); }
  size_t size(size_t index) { return static_cast<size_t>(whole(index, kMostSafe)); }
  uint64_t offset(size_t index) { return static_cast<uint64_t>(whole(index, kMostSafe)); }
  double id(size_t index) { return whole(index, kMostSafe); }

  int integer(size_t index) {
    const double value = number(index);
    if (!(value >= -2147483648.0 && value <= 2147483647.0) || std::trunc(value) != value) {
      return fail(index);
    }
    return static_cast<int>(value);
  }

  bool boolean(size_t index) {
    bool value = false;
    if (napi_get_value_bool(info_.Env(), info_[index], &value) != napi_ok) return fail(index) != 0;
    return value;
  }

  // The bytes of a Uint8Array. A detached one has length 0.
  struct Bytes {
    uint8_t* data = nullptr;
    size_t length = 0;
  };
  Bytes bytes(size_t index) {
    napi_typedarray_type type = napi_uint8_array;
    size_t length = 0;
    void* data = nullptr;
    const napi_status got = napi_get_typedarray_info(info_.Env(), info_[index], &type, &length,
                                                     &data, nullptr, nullptr);
    if (got != napi_ok || type != napi_uint8_array) {
      fail(index);
      return {};
    }
    return {static_cast<uint8_t*>(data), length};
  }

  // Owner ids, as a Float64Array.
  struct Ids {
    const double* data = nullptr;
    size_t count = 0;
    [[nodiscard]] bool has(double id) const {
      for (size_t i = 0; i < count; ++i) {
        if (data[i] == id) return true;
      }
      return false;
    }
  };
  Ids ids(size_t index) {
    napi_typedarray_type type = napi_float64_array;
    size_t count = 0;
    void* data = nullptr;
    const napi_status got = napi_get_typedarray_info(info_.Env(), info_[index], &type, &count,
                                                     &data, nullptr, nullptr);
    if (got != napi_ok || type != napi_float64_array) {
      fail(index);
      return {};
    }
    return {static_cast<const double*>(data), count};
  }

  Napi::Value failure() {
    return to_failure(info_.Env(), Outcome(Refusal::kArgument, static_cast<uintptr_t>(bad_)));
  }

 private:
  static constexpr double kMostSafe = 9007199254740991.0;          // 2^53 - 1
  static constexpr double kMostAddress = 9223372036854775807.0;    // 2^63: above any user space

  double number(size_t index) {
    double value = 0;
    if (napi_get_value_double(info_.Env(), info_[index], &value) != napi_ok) fail(index);
    return value;
  }

  double whole(size_t index, double most) {
    const double value = number(index);
    if (!(value >= 0 && value < most) || std::trunc(value) != value) return fail(index);
    return value;
  }

  int fail(size_t index) {
    if (bad_ < 0) bad_ = static_cast<int>(index);
    return 0;
  }

  const Napi::CallbackInfo& info_;
  int bad_ = -1;
};

}  // namespace memmap
