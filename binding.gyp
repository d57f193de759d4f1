{
  "variables": {
    # A published tarball carries the headers in vendor/ (scripts/vendor-headers.mjs), so that
    # `npx node-gyp rebuild -C node_modules/memmap` needs nothing else; a clone has the devDependency.
    "node_addon_api_dir": "<!(node -p \"require('fs').existsSync('vendor/node-addon-api/napi.h') ? require('path').resolve('vendor/node-addon-api') : require('path').resolve(require('node-addon-api').include_dir)\")",
    # #include "..." names a file from native/ on.
    "own_headers": ["-iquote", "<(module_root_dir)/native"],
    # Headers that are not ours are system headers: -isystem silences them and leaves -Werror to us.
    # The compiler ignores an -I (which node-gyp adds) of a directory that is also an -isystem.
    "foreign_headers": [
      "-isystem", "<(node_addon_api_dir)",
      "-isystem", "<(node_root_dir)/include/node"
    ],
    "warnings": [
      "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"
    ]
  },
  "targets": [
    {
      "target_name": "memmap",
      "sources": [
        "native/addon/binding.cc",
        "native/addon/constants.cc",
        "native/addon/exports/data.cc",
        "native/addon/exports/digest.cc",
        "native/addon/exports/fault.cc",
        "native/addon/exports/inspect.cc",
        "native/addon/exports/map.cc",
        "native/addon/exports/shm.cc",
        "native/addon/exports/sync.cc",
        "native/addon/interpose_link.cc",
        "native/addon/js_result.cc",
        "native/addon/weak_refs.cc",
        "native/claims/claims.cc",
        "native/claims/map_count_budget.cc",
        "native/claims/reserves.cc",
        "native/faults/guard_policy.cc",
        "native/faults/handler/classify.cc",
        "native/faults/handler/fixup.cc",
        "native/faults/handler/guarded_range.cc",
        "native/faults/handler/install_page.cc",
        "native/faults/handler/notification.cc",
        "native/faults/handler/signal_handler.cc",
        "native/faults/handler/vma_reserve.cc",
        "native/faults/notifier.cc",
        "native/faults/repair.cc",
        "native/faults/writeback.cc",
        "native/loop/callback.cc",
        "native/space/map.cc",
        "native/space/ownership.cc",
        "native/space/protect.cc",
        "native/space/remap.cc",
        "native/space/reserve.cc",
        "native/space/view.cc",
        "native/sync/range_users.cc",
        "native/sync/robust_lock.cc",
        "native/sync/waiter_thread.cc",
        "native/sync/waiters.cc",
        "native/sys/background.cc",
        "native/sys/posix.cc",
        "native/views/array_buffer.cc",
        "native/views/quarantine.cc",
        "native/views/shared_array_buffer.cc"
      ],
      "defines": [
        "NAPI_VERSION=9",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "_FILE_OFFSET_BITS=64"
      ],
      "cflags_cc!": ["-std=gnu++17"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags!": ["-Wno-unused-parameter", "-O3"],
      "cflags": ["<@(warnings)", "<@(own_headers)", "<@(foreign_headers)", "-fvisibility=hidden", "-g"],
      # Here and not above: gyp puts a configuration's flags last, and Node's own asks for -O3.
      "configurations": {
        "Release": {
          "cflags": ["-O2"],
          "xcode_settings": { "GCC_OPTIMIZATION_LEVEL": "2" }
        }
      },
      # gyp ignores cflags on macOS.
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "CLANG_CXX_LIBRARY": "libc++",
        "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
        "GCC_ENABLE_CPP_RTTI": "NO",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "GCC_GENERATE_DEBUGGING_SYMBOLS": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "WARNING_CFLAGS!": ["-Wno-unused-parameter"],
        "WARNING_CFLAGS": ["<@(warnings)"],
        "OTHER_CFLAGS": ["<@(own_headers)", "<@(foreign_headers)"]
      },
      "conditions": [
        ["OS=='linux'", {
          "sources": [
            "native/sys/linux.cc", "native/sys/linux_reaper.cc", "native/sys/linux_shm.cc", "native/sys/linux_signal.cc",
            "native/sys/linux_survey.cc", "native/sys/linux_sync.cc"
          ],
          "defines": ["_GNU_SOURCE"],
          # nodelete: a worker that alone loaded the addon must not unmap its code when it ends.
          # now: a signal handler must not be the first to ask the loader where a function is.
          "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now"]
        }],
        ["OS=='mac'", {
          "sources": [
            "native/sys/darwin.cc", "native/sys/darwin_shm.cc", "native/sys/darwin_signal.cc",
            "native/sys/darwin_survey.cc", "native/sys/darwin_sync.cc"
          ],
          "defines": ["_DARWIN_C_SOURCE"]
        }]
      ]
    }
  ],
  "conditions": [
    ["OS=='linux'", {
      "targets": [
        {
          # The LD_PRELOAD helper of `memmap run`. It needs nothing that the program has not loaded
          # already, and so fits glibc and musl: no C++ library, no version of the C library.
          "target_name": "memmap-interpose",
          # node-gyp itself calls every module .node, in a condition of this kind.
          "target_conditions": [["_type=='loadable_module'", { "product_extension": "so" }]],
          "sources": [
            "native/interpose/call_site.cc",
            "native/interpose/calls.cc",
            "native/interpose/placement.cc",
            "native/interpose/process.cc",
            "native/interpose/protection.cc",
            "native/interpose/ranges.cc",
            "native/interpose/recording.cc",
            "native/interpose/snapshot.cc",
            "native/interpose/trace.cc"
          ],
          # With it, mmap is another name for mmap64.
          "defines!": ["_FILE_OFFSET_BITS=64"],
          "defines": ["_GNU_SOURCE"],
          "cflags_cc!": ["-std=gnu++17"],
          "cflags_cc": [
            "-std=c++20", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics",
            "-ftls-model=initial-exec", "-fno-stack-protector"
          ],
          "cflags!": ["-Wno-unused-parameter", "-O3"],
          "cflags": ["<@(warnings)", "<@(own_headers)", "-fvisibility=hidden", "-g"],
          "configurations": { "Release": { "cflags": ["-O2"] } },
          # now: a signal handler must not be the first to ask the loader where a function is.
          "ldflags": ["-nostdlib", "-Wl,-z,now", "-Wl,-z,nodelete"],
          "conditions": [
            ["target_arch=='arm64'", { "cflags_cc": ["-mno-outline-atomics"] }]
          ]
        },
        {
          # Waits for the users of a shared object of lifetime 'processes' and removes its name. A
          # process of a few pages: no C library at all.
          "target_name": "memmap-reaper",
          "type": "executable",
          "sources": ["native/reaper/reaper.cc"],
          "defines": ["_GNU_SOURCE"],
          "cflags_cc!": ["-std=gnu++17"],
          "cflags_cc": [
            "-std=c++20", "-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-fno-pie",
            "-fno-asynchronous-unwind-tables", "-ffreestanding"
          ],
          "cflags!": ["-Wno-unused-parameter", "-O3", "-fPIC"],
          "cflags": ["<@(warnings)", "<@(own_headers)", "-fvisibility=hidden"],
          "configurations": { "Release": { "cflags": ["-O2"] } },
          "ldflags": ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack"]
        }
      ]
    }]
  ]
}
