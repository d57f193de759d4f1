#include "weak.h"

#include "args.h"
#include "space.h"

namespace memmap::weak {

namespace {
std::vector<napi_ref>& table(const Napi::CallbackInfo& info) {
  return static_cast<space::Environment*>(info.Data())->weak;
}
}  // namespace

Napi::Value weaken(const Napi::CallbackInfo& info) {
  auto* environment = static_cast<space::Environment*>(info.Data());
  napi_ref reference = nullptr;
  if (!info[0].IsObject() ||
      napi_create_reference(info.Env(), info[0], 0, &reference) != napi_ok) {
    return to_failure(info.Env(), {Refusal::kArgument, 0});
  }
  size_t handle = environment->weak.size();
  if (environment->free_weak.empty()) {
    environment->weak.push_back(reference);
  } else {
    handle = environment->free_weak.back();
    environment->free_weak.pop_back();
    environment->weak[handle] = reference;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(handle));
}

Napi::Value strengthen(const Napi::CallbackInfo& info) {
  Args args(info);
  const size_t handle = args.size(0);
  napi_value object = nullptr;
  if (args.ok() && handle < table(info).size() && table(info)[handle] != nullptr) {
    napi_get_reference_value(info.Env(), table(info)[handle], &object);
  }
  return object == nullptr ? info.Env().Undefined() : Napi::Value(info.Env(), object);
}

Napi::Value forget(const Napi::CallbackInfo& info) {
  Args args(info);
  const size_t handle = args.size(0);
  auto* environment = static_cast<space::Environment*>(info.Data());
  if (args.ok() && handle < environment->weak.size() && environment->weak[handle] != nullptr) {
    napi_delete_reference(info.Env(), environment->weak[handle]);
    environment->weak[handle] = nullptr;
    environment->free_weak.push_back(handle);
  }
  return info.Env().Undefined();
}

}  // namespace memmap::weak
