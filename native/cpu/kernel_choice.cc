#include "cpu/kernel_choice.h"

#include "core/error.h"

namespace permafrost::cpu {
namespace {

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && has_avx2();
#else
  return false;
#endif
}

}  // namespace

const isa::Kernels& choose_kernels(const std::string& forced) {
#if defined(__x86_64__)
  if (has_avx512() && (forced.empty() || forced == "avx512")) return isa::avx512_kernels();
  if (has_avx2() && (forced.empty() || forced == "avx2")) return isa::avx2_kernels();
#endif
  if (forced.empty() || forced == "portable") return isa::portable_kernels();
  throw core::Error("ERR_UNSUPPORTED", "this machine can't run the CPU kernels '" + forced + "'");
}

}  // namespace permafrost::cpu
