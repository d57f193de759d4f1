// What belongs to one JavaScript registry: a thread, or one more context in a thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

// As Node-API declares them: what is below addon/ and views/ only hands them on.
typedef struct napi_env__* napi_env;      // NOLINT: the same typedef
typedef struct napi_ref__* napi_ref;      // NOLINT
typedef struct napi_value__* napi_value;  // NOLINT

namespace memmap {

struct Notifier;
struct CompletionQueue;
struct View;

// Owner ids that a call names.
using Owners = std::span<const double>;
inline bool names(Owners owners, double id) {
  return std::find(owners.begin(), owners.end(), id) != owners.end();
}

struct Environment {
  napi_env env = nullptr;
  std::vector<napi_ref> weak;  // weak_refs.h; a handle is an index
  std::vector<size_t> free_weak;
  napi_ref kept = nullptr;  // strong
  // array_buffer.h: what was detached and may still be reachable, and when to look through it.
  std::vector<View*> detached_views;
  size_t detached_bytes = 0;
  size_t sweep_at = 5'000;
  size_t sweep_at_bytes = size_t{1} << 40;
  // Where faults are told, by registry: test runners load the JavaScript more than once. An owner's
  // id says which registry it is of.
  std::vector<Notifier*> notifiers;
  // waiters.h: where woken sleepers are told, by registry too.
  std::vector<CompletionQueue*> completion_queues;
  static constexpr double kOwnersPerRegistry = 4294967296.0;  // 2^32
  [[nodiscard]] Notifier* notifier_of(double owner) const {
    const auto registry = static_cast<size_t>(owner / kOwnersPerRegistry);
    return registry < notifiers.size() ? notifiers[registry] : nullptr;
  }
};

}  // namespace memmap
