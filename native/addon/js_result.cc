#include "addon/js_result.h"

namespace memmap {

namespace {
const char* text_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::kForeign:
      return "foreign";
    case Refusal::kRetired:
      return "retired";
    case Refusal::kUnnamed:
      return "unnamed";
    case Refusal::kArgument:
      return "argument";
    case Refusal::kNoShared:
      return "no-shared";
    case Refusal::kNoExternal:
      return "no-external";
    case Refusal::kBusy:
      return "busy";
    case Refusal::kLimit:
      return "limit";
    case Refusal::kUnreadable:
      return "unreadable";
    case Refusal::kFault:
      return "fault";
    case Refusal::kNoWayBack:
      return "no-way-back";
    case Refusal::kPrivate:
      return "private";
    case Refusal::kPlaced:
      return "placed";
    case Refusal::kNone:
      break;
  }
  return "none";
}
}  // namespace

napi_value to_failure(napi_env env, const Outcome& outcome) {
  if (outcome.ok()) return nullptr;
  Napi::Object failure = Napi::Object::New(env);
  failure.Set("errno", Napi::Number::New(env, -outcome.status.error));
  failure.Set("syscall", Napi::String::New(env, outcome.status.syscall));
  if (outcome.refusal != Refusal::kNone) {
    failure.Set("refusal", Napi::String::New(env, text_of(outcome.refusal)));
    failure.Set("at", Napi::Number::New(env, static_cast<double>(outcome.at)));
  }
  if (outcome.destroyed) failure.Set("destroyed", Napi::Boolean::New(env, true));
  return failure;
}

}  // namespace memmap
