{
  "variables": {
    "sources_of": "node tools/build/list-sources.js",
    "cuda": "node tools/build/cuda-toolkit.js",
    # Empty without a CUDA toolkit: the addon then has the CPU backend alone.
    "nvcc": "<!(node tools/build/cuda-toolkit.js nvcc)",
    # Programs that only tests run; install and publish build none.
    "with_tests": "<!(node -p \"process.env.PERMAFROST_BUILD_TESTS ? 1 : 0\")"
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
        "<!@(<(sources_of) native/core native/model native/model/layers native/model/families native/runtime native/cpu native/addon)"
      ],
      "cflags_cc": ["-DNAPI_CPP_EXCEPTIONS"],
      "libraries": ["-lpthread"],
      "ldflags": ["-Wl,--gc-sections"],
      "conditions": [["'<(nvcc)'!=''", {"dependencies": ["cuda"], "defines": ["PERMAFROST_CUDA=1"]}]]
    }
  ],
  "conditions": [
    ["'<(nvcc)'!=''", {
      "targets": [
        {
          "target_name": "cuda",
          "type": "static_library",
          "include_dirs": ["<!(<(cuda) include)"],
          "sources": ["<!@(<(sources_of) --ext=.cc,.cu native/cuda native/cuda/kernels)"],
          "rules": [
            {
              "rule_name": "nvcc",
              "extension": "cu",
              "message": "nvcc <(RULE_INPUT_PATH)",
              "inputs": ["<!@(<(sources_of) --ext=.h,.cuh native/core native/cuda native/cuda/kernels)"],
              "outputs": ["<(INTERMEDIATE_DIR)/<(RULE_INPUT_ROOT).cu.o"],
              "process_outputs_as_sources": 1,
              "action": [
                "<(nvcc)", "-std=c++20", "-O3", "-Inative", "<!@(<(cuda) archs)", "--threads=2",
                "-Xcompiler=-fPIC,-fvisibility=hidden",
                "-c", "<(RULE_INPUT_PATH)", "-o", "<@(_outputs)"
              ]
            }
          ],
          "link_settings": {"libraries": ["<!(<(cuda) runtime)", "-ldl", "-lrt", "-lpthread"]}
        }
      ]
    }],
    ["'<(nvcc)'!='' and <(with_tests)==1", {
      "targets": [
        {
          "target_name": "cuda_conformance",
          "type": "executable",
          "dependencies": ["cpu_avx2", "cpu_avx512", "cuda"],
          "sources": [
            "<!@(<(sources_of) native/core native/model native/model/layers native/model/families native/runtime native/cpu)",
            "<!@(ls test/native/conformance*.cc)"
          ]
        },
        {
          "target_name": "cuda_stages",
          "type": "executable",
          "dependencies": ["cuda"],
          "include_dirs": ["<!(<(cuda) include)"],
          "sources": ["<!@(<(sources_of) native/core)", "<!@(ls test/native/cuda_stages*.cc)"]
        }
      ]
    }]
  ]
}
