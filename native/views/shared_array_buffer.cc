#include "views/shared_array_buffer.h"

namespace memmap::views {

namespace {

// node_api.h has it only for experimental addons; Node has it from 22.23, 24.21 and 26.7 on.
using Finalize = void (*)(void* data, void* hint);
using Create = napi_status (*)(napi_env env, void* data, size_t length, Finalize finalize,
                               void* hint, napi_value* result);

Create create_call() {
  static const auto call =
      reinterpret_cast<Create>(sys::find_symbol("node_api_create_external_sharedarraybuffer"));
  return call;
}

// On whichever thread was the last to have it, which may have no environment of ours.
void finalize(void* /*data*/, void* hint) {
  OwnedRanges& owned_ranges = OwnedRanges::process();
  const auto lock = owned_ranges.lock();
  delete_orphan(owned_ranges, static_cast<View*>(hint));
}

}  // namespace

bool can_share() { return create_call() != nullptr; }

napi_value make_shared(Environment& own, Range bytes, Outcome* outcome) {
  const Create create = create_call();
  OwnedRanges& owned_ranges = OwnedRanges::process();
  View* view = nullptr;
  {
    const auto lock = owned_ranges.lock();
    view = new_orphan(own, bytes);
  }
  napi_value buffer = nullptr;
  if (create(own.env, bytes.data(), bytes.size(), finalize, view, &buffer) == napi_ok) {
    return buffer;
  }
  napi_value ignored = nullptr;
  bool pending = false;
  napi_is_exception_pending(own.env, &pending);
  if (pending) napi_get_and_clear_last_exception(own.env, &ignored);
  const auto lock = owned_ranges.lock();
  delete_orphan(owned_ranges, view);
  *outcome = {Refusal::kNoExternal, bytes.begin};
  return nullptr;
}

}  // namespace memmap::views
