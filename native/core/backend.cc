#include "core/backend.h"

namespace permafrost::core {

Matrix Backend::multiply(const Product& product) {
  const Norm& norm = product.norm;
  if (norm.weight != nullptr) {
    rms_norm(product.x, norm.delta, norm.weight, norm.eps, norm.normed);
  }
  const Matrix& x = norm.weight != nullptr ? norm.normed : product.x;
  if (product.epilogue == Epilogue::kStore) {
    gemm(x, *product.linear, product.out);
    return {};
  }
  gemm(x, *product.linear, product.stored);
  if (product.epilogue == Epilogue::kAdd) return product.stored;
  silu_mul(product.stored, product.out);
  return {};
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
