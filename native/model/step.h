#pragma once
// What the layers of a model enqueue a step with.

#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "model/rope.h"
#include "model/scratch.h"

namespace permafrost::model {

// The chunks of prompts of a prefill; none in a decode step.
struct Chunks {
  const core::Segment* host_segments = nullptr;
  const core::Segment* segments = nullptr;  // their device copy
  int32_t count = 0;
};

struct Step {
  core::Backend& backend;
  const core::Rows& rows;
  const Chunks* chunks;  // null: a decode step
  const core::SlotState& state;
  const core::KvCache& kv;
  const std::vector<const float*>& ropes;  // the model's rotary tables
  Scratch& scratch;

  // [rows, cols] of the backend's activation dtype, for as long as the scope lasts.
  core::Matrix matrix(int64_t cols) const {
    return scratch.matrix(rows.count, cols, backend.activation_dtype());
  }

  // Rotates queries and keys, writes keys and values to the cache, attends.
  void attend(const core::Matrix& qkv, const core::AttentionShape& shape, const core::Rope& rope,
              int32_t kv_layer, const core::Matrix& out) const {
    if (chunks == nullptr) {
      backend.rope_attention_decode(rows, qkv, shape, rope, state, kv, kv_layer, out);
      return;
    }
    backend.rope_write_kv(rows, qkv, shape, rope, state, kv, kv_layer);
    backend.attention_prefill(rows, chunks->host_segments, chunks->segments, chunks->count, qkv,
                              shape, state, kv, kv_layer, out);
  }
};

}  // namespace permafrost::model
