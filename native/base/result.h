// What a system call answered: a value, or the errno and the name of the call that failed. Must not
// know which calls there are.
#pragma once

namespace memmap::sys {

struct [[nodiscard]] Status {
  int error = 0;
  const char* syscall = "";
  [[nodiscard]] bool ok() const { return error == 0; }
};

template <typename T>
struct [[nodiscard]] Result {
  T value{};
  int error = 0;
  const char* syscall = "";
  [[nodiscard]] bool ok() const { return error == 0; }
  [[nodiscard]] Status status() const { return {error, syscall}; }
};

}  // namespace memmap::sys
