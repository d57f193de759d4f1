// A view as the table keeps it: which bytes, and what has become of its ArrayBuffer. Must not know
// Node-API: views/array_buffer.h makes and detaches them.
#pragma once

#include "base/environment.h"
#include "base/range.h"

namespace memmap {

struct View {
  Range bytes;
  Environment* own;           // valid until its environment ends
  napi_ref buffer = nullptr;  // weak
  View* next = nullptr;       // in the owned range's list
  View* previous = nullptr;
  bool linked = false;
  bool over_reserve = false;  // over several owned ranges of a reserve: in no owned range's list
  bool detached = false;
  bool orphaned = false;
  bool escaped = false;  // orphaned, and known to be shown by an ArrayBuffer that nobody can detach
  bool collected = false;
  bool finalized = false;
  bool detaching = false;  // some runtimes call the finalizer inside of the call that detaches
};

// Puts a view at the head of an owned range's list.
inline void push(View*& list, View* view) {
  view->previous = nullptr;
  view->next = list;
  if (list != nullptr) list->previous = view;
  list = view;
}

}  // namespace memmap
