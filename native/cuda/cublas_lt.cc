#include "cuda/cublas_lt.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace permafrost::cuda {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw core::Error("ERR_NO_DEVICE",
                    what + "; install cuBLAS " + std::to_string(CUDART_VERSION / 1000) +
                        " (it comes with the CUDA toolkit; Debian, Ubuntu: apt install libcublas-" +
                        std::to_string(CUDART_VERSION / 1000) + "-" +
                        std::to_string(CUDART_VERSION % 1000 / 10) +
                        ") or name its folder in LD_LIBRARY_PATH");
}

// The major version that this was built with first, then the other that has the same interface.
std::vector<std::string> library_names() {
  const std::string newest = "libcublasLt.so.13";
  const std::string older = "libcublasLt.so.12";
  if (CUDART_VERSION >= 13000) return {newest, older};
  return {older, newest};
}

// "" is the loader's own search: LD_LIBRARY_PATH, then what ldconfig knows.
std::vector<std::string> library_folders() {
  std::vector<std::string> folders{""};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* home = std::getenv(variable);
    if (home != nullptr && *home != '\0') folders.push_back(std::string(home) + "/lib64/");
  }
  folders.emplace_back("/usr/local/cuda/lib64/");
  return folders;
}

void* open_library() {
  std::string reason;
  for (const std::string& folder : library_folders()) {
    for (const std::string& name : library_names()) {
      if (void* library = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
      if (reason.empty()) reason = dlerror();
    }
  }
  refuse("cublasLt does not load (" + reason + ")");
}

CublasLt load() {
  void* const library = open_library();
  CublasLt functions;
  const auto find = [library](auto& function, const char* name) {
    void* const address = dlsym(library, name);
    if (address == nullptr) refuse(std::string("the installed cublasLt has no ") + name);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
#define PERMAFROST_FIND(name) find(functions.name, #name)
  PERMAFROST_FIND(cublasLtGetVersion);
  PERMAFROST_FIND(cublasLtGetStatusName);
  PERMAFROST_FIND(cublasLtCreate);
  PERMAFROST_FIND(cublasLtDestroy);
  PERMAFROST_FIND(cublasLtMatrixLayoutCreate);
  PERMAFROST_FIND(cublasLtMatrixLayoutDestroy);
  PERMAFROST_FIND(cublasLtMatrixLayoutSetAttribute);
  PERMAFROST_FIND(cublasLtMatmulDescCreate);
  PERMAFROST_FIND(cublasLtMatmulDescDestroy);
  PERMAFROST_FIND(cublasLtMatmulDescSetAttribute);
  PERMAFROST_FIND(cublasLtMatmulPreferenceCreate);
  PERMAFROST_FIND(cublasLtMatmulPreferenceDestroy);
  PERMAFROST_FIND(cublasLtMatmulPreferenceSetAttribute);
  PERMAFROST_FIND(cublasLtMatmulAlgoGetHeuristic);
  PERMAFROST_FIND(cublasLtMatmulAlgoCheck);
  PERMAFROST_FIND(cublasLtMatmul);
#undef PERMAFROST_FIND
  return functions;
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt functions = load();
  return functions;
}

}  // namespace permafrost::cuda
