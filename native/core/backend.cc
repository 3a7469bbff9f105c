#include "core/backend.h"

namespace permafrost::core {

Matrix Backend::multiply(const Product& product) {
  const InputNorm& input = product.input_norm;
  const bool normed = input.norm.weight != nullptr;
  if (normed) rms_norm(product.x, input.delta, input.norm, input.normed);
  const Matrix& x = normed ? input.normed : product.x;
  if (product.epilogue == Epilogue::kStore) {
    gemm(x, *product.linear, product.out);
    return {};
  }
  gemm(x, *product.linear, product.stored);
  if (product.epilogue == Epilogue::kAdd) return product.stored;
  gated(product.stored, product.activation, product.out);
  return {};
}

void Backend::rope_attention_decode(const Rows& rows, const Matrix& qkv,
                                    const AttentionShape& shape, const Rope& rope,
                                    const SlotState& state, const KvCache& kv, int32_t layer,
                                    const Matrix& out) {
  rope_write_kv(rows, qkv, shape, rope, state, kv, layer);
  attention_decode(rows, qkv, shape, state, kv, layer, out);
}

}  // namespace permafrost::core
