#include "cpu/transfers.h"

#include <algorithm>
#include <cstring>

#include "cpu/checks.h"

namespace permafrost::cpu {

void CopyOp::run(Executor&) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void FillOp::run(Executor&) const { std::fill_n(words, count, value); }

void CopyBlocksOp::run(Executor&) const {
  for (int32_t i = 0; i < 2 * count; ++i) check_index(pairs[i], kv.num_blocks, "KV block");
  const int64_t block_floats = int64_t{kv.num_kv_heads} * kv.block_size * kv.head_dim;
  for (void* cache : {kv.k, kv.v}) {
    for (int64_t layer = 0; layer < kv.num_layers; ++layer) {
      float* blocks = static_cast<float*>(cache) + layer * kv.num_blocks * block_floats;
      for (int32_t i = 0; i < count; ++i) {
        std::copy_n(blocks + pairs[2 * i] * block_floats, block_floats,
                    blocks + pairs[2 * i + 1] * block_floats);
      }
    }
  }
}

}  // namespace permafrost::cpu
