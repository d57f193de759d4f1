#include "addon/weak_refs.h"

namespace memmap::weak_refs {

napi_value create(Args& args) {
  Environment& own = args.environment();
  napi_ref reference = nullptr;
  if (!args.value(0).IsObject() ||
      napi_create_reference(args.env(), args.value(0), 0, &reference) != napi_ok) {
    return to_failure(args.env(), {Refusal::kArgument, 0});
  }
  size_t handle = own.weak.size();
  if (own.free_weak.empty()) {
    own.weak.push_back(reference);
  } else {
    handle = own.free_weak.back();
    own.free_weak.pop_back();
    own.weak[handle] = reference;
  }
  return args.number(static_cast<double>(handle));
}

napi_value deref(Args& args) {
  const std::vector<napi_ref>& weak = args.environment().weak;
  const size_t handle = args.size(0);
  napi_value object = nullptr;
  if (args.ok() && handle < weak.size() && weak[handle] != nullptr) {
    napi_get_reference_value(args.env(), weak[handle], &object);
  }
  return object;
}

napi_value remove(Args& args) {
  Environment& own = args.environment();
  const size_t handle = args.size(0);
  if (args.ok() && handle < own.weak.size() && own.weak[handle] != nullptr) {
    napi_delete_reference(args.env(), own.weak[handle]);
    own.weak[handle] = nullptr;
    own.free_weak.push_back(handle);
  }
  return nullptr;
}

napi_value set_strong(Args& args) {
  Environment& own = args.environment();
  if (own.kept != nullptr) napi_delete_reference(args.env(), own.kept);
  own.kept = nullptr;
  if (args.value(0).IsObject()) napi_create_reference(args.env(), args.value(0), 1, &own.kept);
  return nullptr;
}

}  // namespace memmap::weak_refs
