// SharedArrayBuffers over owned ranges. Nobody can detach one: its pages stay readable until the
// last thread that has it lets it go.
#pragma once

#include "views/array_buffer.h"

namespace memmap::views {

// Over bytes of an owned range of `environment`. kNoShared where this Node has no such call.
napi_value make_shared(Environment& own, Range bytes, Outcome* outcome);

}  // namespace memmap::views
