#include "addon/constants.h"

#include <sys/mman.h>

namespace memmap {

// What the headers of the machine that builds this know, and, on Linux, what newer kernels than
// those headers added: a prebuilt binary must not be poorer than the kernel it runs on.
Napi::Object constants(Napi::Env env) {
  Napi::Object table = Napi::Object::New(env);
  const auto add = [&](const char* name, int value) {
    table.Set(name, Napi::Number::New(env, value));
  };
#ifdef PROT_NONE
  add("PROT_NONE", PROT_NONE);
#endif
#ifdef PROT_READ
  add("PROT_READ", PROT_READ);
#endif
#ifdef PROT_WRITE
  add("PROT_WRITE", PROT_WRITE);
#endif
#ifdef PROT_EXEC
  add("PROT_EXEC", PROT_EXEC);
#endif
#ifdef PROT_GROWSDOWN
  add("PROT_GROWSDOWN", PROT_GROWSDOWN);
#endif
#ifdef PROT_GROWSUP
  add("PROT_GROWSUP", PROT_GROWSUP);
#endif
#ifdef PROT_SEM
  add("PROT_SEM", PROT_SEM);
#endif
#ifdef PROT_BTI
  add("PROT_BTI", PROT_BTI);
#endif
#ifdef PROT_MTE
  add("PROT_MTE", PROT_MTE);
#endif
#ifdef MAP_SHARED
  add("MAP_SHARED", MAP_SHARED);
#endif
#ifdef MAP_PRIVATE
  add("MAP_PRIVATE", MAP_PRIVATE);
#endif
#ifdef MAP_SHARED_VALIDATE
  add("MAP_SHARED_VALIDATE", MAP_SHARED_VALIDATE);
#endif
#ifdef MAP_TYPE
  add("MAP_TYPE", MAP_TYPE);
#endif
#ifdef MAP_FIXED
  add("MAP_FIXED", MAP_FIXED);
#endif
#ifdef MAP_ANONYMOUS
  add("MAP_ANONYMOUS", MAP_ANONYMOUS);
#endif
#ifdef MAP_ANON
  add("MAP_ANON", MAP_ANON);
#endif
#ifdef MAP_FILE
  add("MAP_FILE", MAP_FILE);
#endif
#ifdef MAP_GROWSDOWN
  add("MAP_GROWSDOWN", MAP_GROWSDOWN);
#endif
#ifdef MAP_DENYWRITE
  add("MAP_DENYWRITE", MAP_DENYWRITE);
#endif
#ifdef MAP_EXECUTABLE
  add("MAP_EXECUTABLE", MAP_EXECUTABLE);
#endif
#ifdef MAP_LOCKED
  add("MAP_LOCKED", MAP_LOCKED);
#endif
#ifdef MAP_NORESERVE
  add("MAP_NORESERVE", MAP_NORESERVE);
#endif
#ifdef MAP_POPULATE
  add("MAP_POPULATE", MAP_POPULATE);
#endif
#ifdef MAP_NONBLOCK
  add("MAP_NONBLOCK", MAP_NONBLOCK);
#endif
#ifdef MAP_STACK
  add("MAP_STACK", MAP_STACK);
#endif
#ifdef MAP_HUGETLB
  add("MAP_HUGETLB", MAP_HUGETLB);
#endif
#ifdef MAP_SYNC
  add("MAP_SYNC", MAP_SYNC);
#endif
#ifdef MAP_32BIT
  add("MAP_32BIT", MAP_32BIT);
#endif
#ifdef MAP_ABOVE4G
  add("MAP_ABOVE4G", MAP_ABOVE4G);
#endif
#ifdef MAP_UNINITIALIZED
  add("MAP_UNINITIALIZED", MAP_UNINITIALIZED);
#endif
#ifdef MAP_COPY
  add("MAP_COPY", MAP_COPY);
#endif
#ifdef MAP_RENAME
  add("MAP_RENAME", MAP_RENAME);
#endif
#ifdef MAP_NOEXTEND
  add("MAP_NOEXTEND", MAP_NOEXTEND);
#endif
#ifdef MAP_HASSEMAPHORE
  add("MAP_HASSEMAPHORE", MAP_HASSEMAPHORE);
#endif
#ifdef MAP_NOCACHE
  add("MAP_NOCACHE", MAP_NOCACHE);
#endif
#ifdef MAP_JIT
  add("MAP_JIT", MAP_JIT);
#endif
#ifdef MAP_RESILIENT_CODESIGN
  add("MAP_RESILIENT_CODESIGN", MAP_RESILIENT_CODESIGN);
#endif
#ifdef MAP_RESILIENT_MEDIA
  add("MAP_RESILIENT_MEDIA", MAP_RESILIENT_MEDIA);
#endif
#ifdef MAP_TRANSLATED_ALLOW_EXECUTE
  add("MAP_TRANSLATED_ALLOW_EXECUTE", MAP_TRANSLATED_ALLOW_EXECUTE);
#endif
#ifdef MAP_UNIX03
  add("MAP_UNIX03", MAP_UNIX03);
#endif
#ifdef MAP_TPRO
  add("MAP_TPRO", MAP_TPRO);
#endif
#ifdef MS_ASYNC
  add("MS_ASYNC", MS_ASYNC);
#endif
#ifdef MS_INVALIDATE
  add("MS_INVALIDATE", MS_INVALIDATE);
#endif
#ifdef MS_SYNC
  add("MS_SYNC", MS_SYNC);
#endif
#ifdef MS_KILLPAGES
  add("MS_KILLPAGES", MS_KILLPAGES);
#endif
#ifdef MS_DEACTIVATE
  add("MS_DEACTIVATE", MS_DEACTIVATE);
#endif
#ifdef MADV_NORMAL
  add("MADV_NORMAL", MADV_NORMAL);
#endif
#ifdef MADV_RANDOM
  add("MADV_RANDOM", MADV_RANDOM);
#endif
#ifdef MADV_SEQUENTIAL
  add("MADV_SEQUENTIAL", MADV_SEQUENTIAL);
#endif
#ifdef MADV_WILLNEED
  add("MADV_WILLNEED", MADV_WILLNEED);
#endif
#ifdef MADV_DONTNEED
  add("MADV_DONTNEED", MADV_DONTNEED);
#endif
#ifdef MADV_FREE
  add("MADV_FREE", MADV_FREE);
#endif
#ifdef MADV_REMOVE
  add("MADV_REMOVE", MADV_REMOVE);
#endif
#ifdef MADV_DONTFORK
  add("MADV_DONTFORK", MADV_DONTFORK);
#endif
#ifdef MADV_DOFORK
  add("MADV_DOFORK", MADV_DOFORK);
#endif
#ifdef MADV_HWPOISON
  add("MADV_HWPOISON", MADV_HWPOISON);
#endif
#ifdef MADV_SOFT_OFFLINE
  add("MADV_SOFT_OFFLINE", MADV_SOFT_OFFLINE);
#endif
#ifdef MADV_MERGEABLE
  add("MADV_MERGEABLE", MADV_MERGEABLE);
#endif
#ifdef MADV_UNMERGEABLE
  add("MADV_UNMERGEABLE", MADV_UNMERGEABLE);
#endif
#ifdef MADV_HUGEPAGE
  add("MADV_HUGEPAGE", MADV_HUGEPAGE);
#endif
#ifdef MADV_NOHUGEPAGE
  add("MADV_NOHUGEPAGE", MADV_NOHUGEPAGE);
#endif
#ifdef MADV_DONTDUMP
  add("MADV_DONTDUMP", MADV_DONTDUMP);
#endif
#ifdef MADV_DODUMP
  add("MADV_DODUMP", MADV_DODUMP);
#endif
#ifdef MADV_WIPEONFORK
  add("MADV_WIPEONFORK", MADV_WIPEONFORK);
#endif
#ifdef MADV_KEEPONFORK
  add("MADV_KEEPONFORK", MADV_KEEPONFORK);
#endif
#ifdef MADV_ZERO_WIRED_PAGES
  add("MADV_ZERO_WIRED_PAGES", MADV_ZERO_WIRED_PAGES);
#endif
#ifdef MADV_FREE_REUSABLE
  add("MADV_FREE_REUSABLE", MADV_FREE_REUSABLE);
#endif
#ifdef MADV_FREE_REUSE
  add("MADV_FREE_REUSE", MADV_FREE_REUSE);
#endif
#ifdef MADV_CAN_REUSE
  add("MADV_CAN_REUSE", MADV_CAN_REUSE);
#endif
#ifdef MADV_ZERO
  add("MADV_ZERO", MADV_ZERO);
#endif
#ifdef MREMAP_MAYMOVE
  add("MREMAP_MAYMOVE", MREMAP_MAYMOVE);
#endif
#ifdef MREMAP_FIXED
  add("MREMAP_FIXED", MREMAP_FIXED);
#endif
#ifdef MREMAP_MAYMOVE                    // there is no mremap without it: this is Linux
  add("MAP_FIXED_NOREPLACE", 0x100000);  // 4.17
  add("MAP_DROPPABLE", 0x08);            // 6.11
  add("MAP_HUGE_SHIFT", 26);             // 3.8
  add("MAP_HUGE_MASK", 0x3f);            // 3.8
  add("MAP_HUGE_2MB", (21 << 26));       // 3.8
  add("MAP_HUGE_1GB", (30 << 26));       // 3.8
  add("MADV_COLD", 20);                  // 5.4
  add("MADV_PAGEOUT", 21);               // 5.4
  add("MADV_POPULATE_READ", 22);         // 5.14
  add("MADV_POPULATE_WRITE", 23);        // 5.14
  add("MADV_DONTNEED_LOCKED", 24);       // 5.18
  add("MADV_COLLAPSE", 25);              // 6.1
  add("MADV_GUARD_INSTALL", 102);        // 6.13
  add("MADV_GUARD_REMOVE", 103);         // 6.13
  add("MREMAP_DONTUNMAP", 4);            // 5.7
#endif
  return table;
}

}  // namespace memmap
