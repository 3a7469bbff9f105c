#pragma once
// Attention over the paged KV cache. See core::Backend.

#include <cstddef>

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

// What attention works with besides its arguments: device memory, zeroed once, aligned to 256
// bytes.
struct AttentionScratch {
  void* data = nullptr;
  size_t bytes = 0;
  int num_multiprocessors = 0;
  bool warpgroups = false;  // takes_warpgroups() for the head_dim
};

size_t attention_scratch_bytes(const core::StepShapes& shapes, int num_multiprocessors);

// Once per device and before the first call: lets the kernels of this shape use their memory.
// Throws ERR_UNSUPPORTED for a shape that no kernel takes.
void prepare_attention(const core::AttentionShape& shape, int32_t block_size);

// Whether attention_prefill() of this head_dim runs on the matrix units of warpgroups, on the
// current device and as the kernels were compiled. Throws core::Error.
bool takes_warpgroups(int32_t head_dim);

// With rope.cos_sin also what rope_write_kv() does, except that qkv stays as it is. The stream's
// last launch has to be what made qkv, and no part of what made the rest of the arguments.
void attention_decode(Stream stream, const core::Rows& rows, const core::Matrix& qkv,
                      const core::AttentionShape& shape, const core::SlotState& state,
                      const core::KvCache& kv, int32_t layer, const core::Matrix& out,
                      const AttentionScratch& scratch, const core::Rope& rope);

// segments: device memory; host_segments: the same on the host, read before the call returns.
void attention_prefill(Stream stream, const core::Rows& rows, const core::Segment* host_segments,
                       const core::Segment* segments, int32_t num_segments, const core::Matrix& qkv,
                       const core::AttentionShape& shape, const core::SlotState& state,
                       const core::KvCache& kv, int32_t layer, const core::Matrix& out,
                       const AttentionScratch& scratch);

}  // namespace permafrost::cuda
