// What attention needs before its first call.

#include <algorithm>
#include <cmath>
#include <string>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_common.cuh"
#include "cuda/kernels/attention_decode.cuh"

namespace permafrost::cuda {

size_t attention_scratch_bytes(const core::StepShapes& shapes, int num_multiprocessors) {
  size_t bytes = 0;
  for (int32_t rows = 1; rows <= shapes.max_decode_rows; ++rows) {
    const DecodePlan plan = DecodePlan::make(shapes.attention, rows, num_multiprocessors);
    bytes = std::max(bytes, DecodePartials::bytes(shapes.attention, plan, rows));
  }
  return (bytes + 255) / 256 * 256;
}

void prepare_attention(const core::AttentionShape& shape, int32_t block_size) {
  const auto refuse = [](const std::string& what) {
    throw core::Error("ERR_UNSUPPORTED", "attention on CUDA doesn't take " + what);
  };
  if (shape.head_dim <= 0 || shape.head_dim % 8 != 0 || shape.head_dim > kMaxHeadDim) {
    refuse("heads of " + std::to_string(shape.head_dim) + "; multiples of 8 up to " +
           std::to_string(kMaxHeadDim) + " work");
  }
  if (shape.num_kv_heads <= 0 || shape.num_heads <= 0 ||
      shape.num_heads % shape.num_kv_heads != 0) {
    refuse(std::to_string(shape.num_heads) + " heads over " + std::to_string(shape.num_kv_heads) +
           " KV heads");
  }
  if (!(shape.scale > 0) || !std::isfinite(shape.scale)) {
    refuse("a scale of " + std::to_string(shape.scale) + "; it must be positive");
  }
  if (block_size <= 0) refuse("KV blocks of " + std::to_string(block_size) + " positions");
  prepare_attention_decode(shape.head_dim);
  prepare_attention_prefill(shape.head_dim);
  if (takes_warpgroups(shape.head_dim)) prepare_attention_prefill_warpgroup(shape.head_dim);
}

}  // namespace permafrost::cuda
