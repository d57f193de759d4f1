#include "addon/interpose_link.h"

#include <algorithm>
#include <cstring>

#include "addon/call.h"
#include "interpose/trace_buffer.h"

namespace memmap::interpose_link {

void announce() {
  using RegisterAddon = void (*)(const void*);
  const auto register_addon =
      reinterpret_cast<RegisterAddon>(sys::find_symbol("memmap_interpose_enroll"));
  if (register_addon != nullptr) register_addon(reinterpret_cast<const void*>(&announce));
}

namespace {

// What is in use of the helper's table.
Args::Bytes table() {
  using Table = uint8_t* (*)();
  const auto find = reinterpret_cast<Table>(sys::find_symbol("memmap_interpose_table"));
  uint8_t* const found = find == nullptr ? nullptr : find();
  if (found == nullptr) return {};
  const auto* header = reinterpret_cast<const interpose::Header*>(found);
  if (header->version != interpose::kVersion) return {};
  const uint64_t records = std::min(header->next.load(), header->ready.load());
  return {found, interpose::kRecords + records * sizeof(interpose::Record)};
}

// traceTable() -> a copy of it, an ArrayBuffer; undefined without the helper
napi_value trace_table(Args& args) {
  const Args::Bytes found = table();
  if (found.data == nullptr) return nullptr;
  void* data = nullptr;
  napi_value copy = nullptr;
  if (napi_create_arraybuffer(args.env(), found.length, &data, &copy) != napi_ok) return nullptr;
  std::memcpy(data, found.data, found.length);
  return copy;
}

}  // namespace

void add_to(Napi::Object exports, Environment* own) {
  exports::add<trace_table>(exports, "traceTable", own);
}

}  // namespace memmap::interpose_link
