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

void Backend::rope_attention_decode(const Rows& rows, const Matrix& qkv,
                                    const AttentionShape& shape, const Rope& rope,
                                    const SlotState& state, const KvCache& kv, int32_t layer,
                                    const Matrix& out) {
  rope_write_kv(rows, qkv, shape, rope.q_norm, rope.k_norm, rope.eps, rope.cos_sin, state, kv,
                layer);
  attention_decode(rows, qkv, shape, state, kv, layer, out);
}

}  // namespace permafrost::core
