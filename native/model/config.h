#pragma once
// What config.json says about a model, checked. The four families that Permafrost runs (Qwen3,
// Qwen2, Llama, Mistral) differ only in the flags below; nothing after load_config() knows a
// family's name.

#include <cstdint>
#include <string>
#include <vector>

#include "model/rope_config.h"

namespace permafrost::model {

struct ModelConfig {
  std::string architecture;  // "Qwen3ForCausalLM"
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_heads
  int32_t head_dim = 0;      // even
  int32_t max_positions = 0;
  float rms_norm_eps = 0;
  RopeConfig rope;
  bool qk_norm = false;      // RMS norm of each query and key head, before the rotation
  bool qkv_bias = false;     // q_proj, k_proj, v_proj have biases
  bool output_bias = false;  // o_proj has one
  bool mlp_bias = false;     // gate_proj, up_proj, down_proj have biases
  bool tie_word_embeddings = false;
  std::vector<int32_t> windows;  // [num_layers] a row sees positions > own - window; 0 = all

  int64_t query_size() const { return int64_t{num_heads} * head_dim; }
  int64_t kv_size() const { return int64_t{num_kv_heads} * head_dim; }
  int64_t qkv_size() const { return query_size() + 2 * kv_size(); }
};

// Reads `folder`/config.json. Throws ERR_MODEL_NOT_FOUND (no such folder or file), ERR_MODEL_CONFIG
// (malformed, out of range, contradictory) and ERR_UNSUPPORTED (architectures, quantization, rotary
// types, layer types, activations, and whatever else the model computes that Permafrost does not
// carry out), each with the field and its value.
ModelConfig load_config(const std::string& folder);

}  // namespace permafrost::model
