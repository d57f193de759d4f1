// Export table, per-environment data, cleanup: nothing else.
#include <napi.h>

#include "addon/constants.h"
#include "addon/exports/exports.h"
#include "addon/interpose_link.h"
#include "faults/notifier.h"
#include "space/space.h"
#include "sync/range_users.h"

namespace memmap {
namespace {

void cleanup(void* data) {
  auto* environment = static_cast<Environment*>(data);
  range_users::clean_up(*environment);
  space::clean_up(*environment);
  for (Notifier* notifier : environment->notifiers) notifier::close(notifier);
  delete environment;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment();
  environment->env = env;
  napi_add_env_cleanup_hook(env, cleanup, environment);
  exports::add_to(exports, environment);
  interpose_link::announce();
  interpose_link::add_to(exports, environment);
  exports.Set("constants", constants(env));
  exports.Set("pageSize", Napi::Number::New(env, static_cast<double>(sys::page_size())));
  return exports;
}

}  // namespace
}  // namespace memmap

Napi::Object init_memmap(Napi::Env env, Napi::Object exports) { return memmap::init(env, exports); }

NODE_API_MODULE(memmap, init_memmap)
