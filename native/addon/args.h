// Checked input: every number, buffer and flag that crosses into C++ is read here and nowhere else.
// Never calls back into JavaScript: no getters, no valueOf.
#pragma once

#include <limits.h>
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "addon/js_result.h"
#include "base/environment.h"

namespace memmap {

class Args {
 public:
  Args(napi_env env, napi_callback_info info) : env_(env) {
    void* data = nullptr;
    size_t count = kMost;
    // What was not given is undefined.
    napi_get_cb_info(env, info, &count, values_, nullptr, &data);
    environment_ = static_cast<Environment*>(data);
  }

  [[nodiscard]] bool ok() const { return bad_ < 0; }
  [[nodiscard]] Napi::Env env() const { return Napi::Env(env_); }
  [[nodiscard]] Environment& environment() const { return *environment_; }
  [[nodiscard]] Napi::Value value(size_t index) const { return {env_, values_[index]}; }
  [[nodiscard]] napi_value number(double value) const { return Napi::Number::New(env_, value); }
  // A Float64Array. Null while the environment is being stopped: nobody reads it then.
  [[nodiscard]] napi_value numbers(const std::vector<double>& values) const {
    void* data = nullptr;
    napi_value buffer = nullptr;
    napi_value array = nullptr;
    const size_t size = values.size() * sizeof(double);
    if (napi_create_arraybuffer(env_, size, &data, &buffer) != napi_ok) return nullptr;
    std::copy(values.begin(), values.end(), static_cast<double*>(data));
    const napi_status made =
        napi_create_typedarray(env_, napi_float64_array, values.size(), buffer, 0, &array);
    return made == napi_ok ? array : nullptr;
  }

  // Whole numbers from 0; page-aligned ones above 2^53 are exact as doubles.
  uintptr_t address(size_t index) { return static_cast<uintptr_t>(whole(index, kMostAddress)); }
  size_t size(size_t index) { return static_cast<size_t>(whole(index, kMostAddress)); }
  uint64_t offset(size_t index) { return static_cast<uint64_t>(whole(index, kMostOffset)); }
  double id(size_t index) { return whole(index, kMostId); }

  int integer(size_t index) {
    const double value = read(index);
    if (!(value >= -2147483648.0 && value <= 2147483647.0) || std::trunc(value) != value) {
      return fail(index);
    }
    return static_cast<int>(value);
  }

  // A process id, 0 for this process.
  int pid(size_t index) {
    const int value = integer(index);
    return value < 0 ? fail(index) : value;
  }

  bool boolean(size_t index) {
    bool value = false;
    if (napi_get_value_bool(env_, values_[index], &value) != napi_ok) return fail(index) != 0;
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
    const napi_status got =
        napi_get_typedarray_info(env_, values_[index], &type, &length, &data, nullptr, nullptr);
    if (got != napi_ok || type != napi_uint8_array) {
      fail(index);
      return {};
    }
    return {static_cast<uint8_t*>(data), length};
  }

  // A Float64Array: owner ids, or numbers to fill in.
  using Numbers = std::span<double>;
  Numbers numbers(size_t index) {
    napi_typedarray_type type = napi_float64_array;
    size_t count = 0;
    void* data = nullptr;
    const napi_status got =
        napi_get_typedarray_info(env_, values_[index], &type, &count, &data, nullptr, nullptr);
    if (got != napi_ok || type != napi_float64_array) {
      fail(index);
      return {};
    }
    return {static_cast<double*>(data), count};
  }

  // A name or a path, terminated: no NUL in it, and shorter than the system allows.
  struct Text {
    char data[PATH_MAX] = "";
  };
  Text text(size_t index) {
    Text found;
    size_t length = 0;
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, values_[index], &type);
    const bool read =
        type == napi_string &&
        napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) == napi_ok &&
        length < sizeof found.data &&
        napi_get_value_string_utf8(env_, values_[index], found.data, sizeof found.data, &length) ==
            napi_ok;
    if (!read || strlen(found.data) != length) {
      fail(index);
      found.data[0] = '\0';
    }
    return found;
  }

  // For what is wrong in a way of the call's own.
  void refuse(size_t index) { fail(index); }

  napi_value failure() const {
    return to_failure(env_, Outcome(Refusal::kArgument, static_cast<uintptr_t>(bad_)));
  }

 private:
  static constexpr size_t kMost = 10;                            // arguments of the longest call
  static constexpr double kMostId = 9007199254740992.0;          // 2^53
  static constexpr double kMostAddress = 9223372036854775808.0;  // 2^63: above any user space
  static constexpr double kMostOffset = 18446744073709551616.0;  // 2^64

  double read(size_t index) {
    double value = 0;
    if (napi_get_value_double(env_, values_[index], &value) != napi_ok) fail(index);
    return value;
  }

  // From 0 to, not including, `limit`.
  double whole(size_t index, double limit) {
    const double value = read(index);
    if (!(value >= 0 && value < limit) || std::trunc(value) != value) return fail(index);
    return value;
  }

  int fail(size_t index) {
    if (bad_ < 0) bad_ = static_cast<int>(index);
    return 0;
  }

  napi_env env_;
  Environment* environment_ = nullptr;
  napi_value values_[kMost];
  int bad_ = -1;
};

}  // namespace memmap
