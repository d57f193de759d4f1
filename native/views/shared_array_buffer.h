// SharedArrayBuffers over owned ranges. Nobody can detach one: its pages stay readable until the
// last thread that has it lets it go.
#pragma once

#include "views/array_buffer.h"

namespace memmap::views {

// False where this Node has no such call.
[[nodiscard]] bool can_share();
// Over bytes of an owned range that can be read: see space::open_view(). Needs can_share().
napi_value make_shared(Environment& own, Range bytes, Outcome* outcome);

}  // namespace memmap::views
