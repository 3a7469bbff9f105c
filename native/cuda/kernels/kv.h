#pragma once
// What writes the paged KV cache. See core::Backend.

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

void rope_write_kv(Stream stream, const core::Rows& rows, const core::Matrix& qkv,
                   const core::AttentionShape& shape, const core::Rope& rope,
                   const core::SlotState& state, const core::KvCache& kv, int32_t layer);
void copy_blocks(Stream stream, const core::KvCache& kv, const int32_t* pairs, int32_t count);

}  // namespace permafrost::cuda
