// The exports that compute message digests of mapped bytes on the thread pool, with the OpenSSL of
// the runtime: its symbols are looked up, never linked.
#include <algorithm>
#include <memory>
#include <new>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "addon/work.h"
#include "space/space.h"

namespace memmap::exports {

namespace {

// A constant of our own: an external of another addon is not a digest.
constexpr napi_type_tag kDigest = {0x6d656d6d61702d64, 0x69676573742d6576};

struct OpenSsl {
  const void* (*by_name)(const char*);
  void* (*create)();
  void (*destroy)(void*);
  int (*begin)(void*, const void*, void*);
  int (*update)(void*, const void*, size_t);
  int (*finish)(void*, unsigned char*, unsigned int*);

  [[nodiscard]] bool complete() const {
    return by_name != nullptr && create != nullptr && destroy != nullptr && begin != nullptr &&
           update != nullptr && finish != nullptr;
  }
};

template <typename Function>
void look_up(const char* name, Function* function) {
  *function = reinterpret_cast<Function>(sys::find_symbol(name));
}

const OpenSsl& openssl() {
  static const OpenSsl found = [] {
    OpenSsl symbols{};
    look_up("EVP_get_digestbyname", &symbols.by_name);
    look_up("EVP_MD_CTX_new", &symbols.create);
    look_up("EVP_MD_CTX_free", &symbols.destroy);
    look_up("EVP_DigestInit_ex", &symbols.begin);
    look_up("EVP_DigestUpdate", &symbols.update);
    look_up("EVP_DigestFinal_ex", &symbols.finish);
    return symbols;
  }();
  return found;
}

void destroy_digest(napi_env, void* data, void*) { openssl().destroy(data); }

void* digest_of(Args& args, size_t index) {
  const napi_value handle = args.value(index);
  napi_valuetype type = napi_undefined;
  bool ours = false;
  void* data = nullptr;
  napi_typeof(args.env(), handle, &type);
  if (type == napi_external) napi_check_object_type_tag(args.env(), handle, &kDigest, &ours);
  if (!ours || napi_get_value_external(args.env(), handle, &data) != napi_ok) data = nullptr;
  if (data == nullptr) args.refuse(index);
  return data;
}

// openDigest(name) -> a handle, or undefined where OpenSSL is hidden or has no such digest
napi_value open_digest(Args& args) {
  const Args::Text name = args.text(0);
  if (!args.ok()) return args.failure();
  if (!openssl().complete()) return nullptr;
  const void* const kind = openssl().by_name(name.data);
  if (kind == nullptr) return nullptr;
  void* const digest = openssl().create();
  if (digest == nullptr) return to_failure(args.env(), Outcome(sys::Status{ENOMEM, "malloc"}));
  napi_value handle = nullptr;
  if (openssl().begin(digest, kind, nullptr) != 1 ||
      napi_create_external(args.env(), digest, destroy_digest, nullptr, &handle) != napi_ok) {
    openssl().destroy(digest);
    return nullptr;
  }
  napi_type_tag_object(args.env(), handle, &kDigest);
  return handle;
}

// Through a copy: the digest itself must never meet a page that cannot be read.
Done update(void* digest, Range mapped, Range pages) {
  constexpr size_t kPiece = 256 * 1024;
  const std::unique_ptr<uint8_t[]> piece(new (std::nothrow) uint8_t[kPiece]);
  if (piece == nullptr) return {sys::Status{ENOMEM, "malloc"}};
  for (uintptr_t at = mapped.begin; at < mapped.end;) {
    const size_t length = std::min(kPiece, mapped.end - at);
    const auto copied = sys::copy(piece.get(), reinterpret_cast<const void*>(at), length, true);
    if (!copied.ok()) return {copied.status()};
    if (openssl().update(digest, piece.get(), length) != 1) {
      return {sys::Status{EINVAL, "EVP_DigestUpdate"}};
    }
    at += length;
  }
  return {space::check_copied(pages, true)};
}

// updateDigestAsync(digest, base, offset, length)
napi_value update_digest(Args& args) {
  void* const digest = digest_of(args, 0);
  const uintptr_t base = args.address(1);
  const size_t offset = args.size(2);
  const size_t length = args.size(3);
  if (!args.ok()) return args.failure();
  Range start;
  Range mapped;
  Range pages;
  if (!make_range(base, offset, &start) || !make_range(start.end, length, &mapped) ||
      !outward(mapped, sys::page_size(), &pages)) {
    return to_failure(args.env(), Outcome(sys::Status{EFAULT, "process_vm_readv"}));
  }
  const auto checked = space::check_copy(args.environment(), {pages, Range{}, true});
  if (!checked.outcome.ok()) return to_failure(args.env(), checked.outcome);
  return queue_work(args.env(), args.value(0), [=] { return update(digest, mapped, pages); });
}

// finishDigest(digest) -> Uint8Array
napi_value finish_digest(Args& args) {
  void* const digest = digest_of(args, 0);
  if (!args.ok()) return args.failure();
  unsigned char bytes[64];  // EVP_MAX_MD_SIZE
  unsigned int length = 0;
  if (openssl().finish(digest, bytes, &length) != 1) {
    return to_failure(args.env(), Outcome(sys::Status{EINVAL, "EVP_DigestFinal_ex"}));
  }
  void* data = nullptr;
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  if (napi_create_arraybuffer(args.env(), length, &data, &buffer) != napi_ok) return nullptr;
  std::copy(bytes, bytes + length, static_cast<unsigned char*>(data));
  napi_create_typedarray(args.env(), napi_uint8_array, length, buffer, 0, &array);
  return array;
}

}  // namespace

void add_digests_to(Napi::Object exports, Environment* own) {
  add<open_digest>(exports, "openDigest", own);
  add<update_digest>(exports, "updateDigestAsync", own);
  add<finish_digest>(exports, "finishDigest", own);
}

}  // namespace memmap::exports
