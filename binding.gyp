{
  "variables": {
    "sources_of": "node tools/build/list-sources.js"
  },
  "target_defaults": {
    "default_configuration": "Release",
    "include_dirs": ["native", "native/third_party"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": [
      "-std=c++20",
      "-O3",
      "-Wall",
      "-Wextra",
      "-Wno-unused-parameter",
      "-Wno-cast-function-type",
      "-fvisibility=hidden",
      "-fno-math-errno",
      "-ffp-contract=off"
    ],
    "cflags": ["-fPIC"]
  },
  "targets": [
    {
      "target_name": "cpu_avx2",
      "type": "static_library",
      "sources": ["native/cpu/isa/avx2.cc"],
      "conditions": [["target_arch=='x64'", {"cflags_cc": ["-mavx2", "-mfma", "-mf16c"]}]]
    },
    {
      "target_name": "cpu_avx512",
      "type": "static_library",
      "sources": ["native/cpu/isa/avx512.cc"],
      "conditions": [
        ["target_arch=='x64'", {"cflags_cc": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"]}]
      ]
    },
    {
      "target_name": "permafrost",
      "dependencies": ["cpu_avx2", "cpu_avx512"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "sources": [
        "<!@(<(sources_of) native/core native/model native/runtime native/cpu native/addon)"
      ],
      "cflags_cc": ["-DNAPI_CPP_EXCEPTIONS"],
      "libraries": ["-lpthread"],
      "ldflags": ["-Wl,--gc-sections"]
    }
  ]
}
