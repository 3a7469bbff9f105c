#pragma once
// Self-attention over the paged KV cache: norm, query, key and value in one product, rotation,
// attention, and the output's product.

#include <cstdint>
#include <optional>
#include <string>

#include "core/backend.h"
#include "model/layers/layer.h"
#include "model/tensor_list.h"

namespace permafrost::model {

// How a family's attention is made.
struct AttentionOptions {
  core::AttentionShape shape = {};  // with its scale and window
  const core::RmsNorm* input_norm = nullptr;
  const core::RmsNorm* post_norm = nullptr;  // of the output, before it is added; or none
  std::optional<core::RmsNorm> head_norm =
      {};  // of queries and keys: eps and offset; none: no norm
  bool qkv_bias = false;
  bool output_bias = false;
  bool is_fused = false;   // qkv_proj instead of q_proj, k_proj and v_proj
  int32_t rope = 0;        // which of the model's rotary tables
  int32_t rotary_dim = 0;  // how much of each head is rotated; the rest follows
};

class Attention : public Layer {
 public:
  // prefix: of its tensors, "layers.0.self_attn."; kv_layer: its place in the KV cache.
  Attention(TensorList& tensors, const std::string& prefix, int32_t hidden_size, int32_t kv_layer,
            const AttentionOptions& options);

  void enqueue(const Step& step, ResidualStream& stream) const override;

 private:
  core::AttentionShape shape_;
  const core::RmsNorm* input_norm_;
  const core::RmsNorm* post_norm_;
  const core::Linear* qkv_;     // [(num_heads + 2 num_kv_heads) * head_dim, hidden]
  const core::Linear* output_;  // [hidden, num_heads * head_dim]
  const core::RmsNorm* q_norm_ = nullptr;
  const core::RmsNorm* k_norm_ = nullptr;
  int32_t rope_;
  int32_t kv_layer_;
};

}  // namespace permafrost::model
