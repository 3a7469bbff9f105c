// Gemma 3, its text part: norms around attention and MLP on both sides, weights of norms stored as
// their distance from 1, most layers with a window and a rotation of their own, embeddings scaled.

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/bf16.h"
#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {
namespace {

// Every n-th layer sees all positions where layer_types doesn't say which.
std::vector<bool> read_sliding(const JsonFields& config, int32_t num_layers) {
  const int32_t pattern = config.integer_or("sliding_window_pattern", 6, 1, INT32_MAX);
  const std::vector<std::string> types = read_layer_types(config, num_layers);
  std::vector<bool> sliding;
  for (int32_t i = 0; i < num_layers; ++i) {
    sliding.push_back(types.empty() ? (i + 1) % pattern != 0
                                    : types[static_cast<size_t>(i)] == kSlidingAttention);
  }
  return sliding;
}

}  // namespace

Model build_gemma3(const JsonFields& config) {
  ModelBuilder builder(config, "Gemma3ForCausalLM", 1);
  const Heads heads =
      read_heads(config, builder.hidden_size(), {.num_kv_heads = 4, .head_dim = 256});
  const int32_t inner = read_intermediate_size(config);
  config.find("hidden_act");  // transformers doesn't look at it either
  const core::Activation activation =
      read_activation(config, "hidden_activation", core::Activation::kGeluTanh);
  const RopeByLayerType ropes = read_rope_by_layer_type(
      config, builder.max_positions(), "rope_local_base_freq", 10000, {.theta = 1e6});
  const int32_t rope = builder.rope(ropes.full, heads.head_dim);
  const int32_t sliding_rope = builder.rope(ropes.sliding, heads.head_dim);
  const int32_t window = read_window(config, 4096);
  const bool is_biased = config.flag_or("attention_bias", false);
  const std::vector<bool> sliding = read_sliding(config, builder.num_layers());
  const double scalar = config.number_or("query_pre_attn_scalar", 256, 1e-6, 1e6);
  const auto scale = static_cast<float>(1 / std::sqrt(scalar));
  // As the model was trained: in bf16.
  builder.set_embedding_scale(
      rounded_to_bf16(static_cast<float>(std::sqrt(builder.hidden_size()))));

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    const bool slides = sliding[static_cast<size_t>(i)];
    const std::string layer = "layers." + std::to_string(i) + ".";
    builder.add_attention(i, {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim, scale,
                                        slides ? window : 0},
                              .post_norm = builder.norm(layer + "post_attention_layernorm"),
                              .head_norm = builder.norm(),
                              .qkv_bias = is_biased,
                              .output_bias = is_biased,
                              .rope = slides ? sliding_rope : rope});
    builder.add_gated_mlp(i, {.intermediate_size = inner,
                              .activation = activation,
                              .input_norm = builder.norm(layer + "pre_feedforward_layernorm"),
                              .post_norm = builder.norm(layer + "post_feedforward_layernorm")});
  }
  return builder.finish(true);
}

}  // namespace permafrost::model
