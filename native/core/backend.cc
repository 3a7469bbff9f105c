#include "core/backend.h"

namespace permafrost::core {

Matrix Backend::gemm_to_residual(const Matrix& x, const Matrix& weight, const void* bias,
                                 const Matrix& /*residual*/, const Matrix& delta) {
  gemm(x, weight, bias, delta);
  return delta;
}

void Backend::norm_gemm(const NormedInput& in, const Matrix& weight, const void* bias,
                        const Matrix& out) {
  rms_norm(in.residual, in.delta, in.weight, in.eps, in.normed);
  gemm(in.normed, weight, bias, out);
}

void Backend::norm_gemm_silu(const NormedInput& in, const Matrix& weight, const void* bias,
                             const Matrix& gate_up, const Matrix& out) {
  norm_gemm(in, weight, bias, gate_up);
  silu_mul(gate_up, out);
}

}  // namespace permafrost::core
