// What the exports have in common: page ranges out of arguments, and the way into a call.
#pragma once

#include <errno.h>

#include "addon/args.h"
#include "base/range.h"
#include "sys/sys.h"

namespace memmap::exports {

// The pages that hold [args[first], + args[first + 1]). False: they leave the address space.
struct Span {
  Range pages;
  Outcome outcome;
};
inline Span pages_of(Args& args, size_t first) {
  const uintptr_t address = args.address(first);
  const size_t length = args.size(first + 1);
  Span span;
  // No pages at all: the kernel judges the address as it is, and touches nothing.
  span.pages = {address, address};
  if (length == 0) return span;
  if (!make_range(address, length, &span.pages) ||
      !outward(span.pages, sys::page_size(), &span.pages)) {
    span.outcome = sys::Status{ENOMEM, ""};
  }
  return span;
}

// The same for what gives pages away: some pages, from the first byte of one.
inline Span pages_at(Args& args) {
  Span span = pages_of(args, 0);
  const bool aligned = args.address(0) == span.pages.begin;
  if (span.outcome.ok() && (!aligned || span.pages.empty())) {
    span.outcome = {Refusal::kArgument, 0};
  }
  return span;
}

template <napi_value (*call)(Args&)>
napi_value enter(napi_env env, napi_callback_info info) {
  Args args(env, info);
  return call(args);
}

template <napi_value (*call)(Args&)>
void add(Napi::Object exports, const char* name, Environment* own) {
  napi_value function = nullptr;
  napi_create_function(exports.Env(), name, NAPI_AUTO_LENGTH, enter<call>, own, &function);
  exports.Set(name, function);
}

}  // namespace memmap::exports
