// Qwen3: queries and keys are normalised head by head.

#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {

Model build_qwen3(const JsonFields& config) {
  ModelBuilder builder(config, "Qwen3ForCausalLM");
  const Heads heads =
      read_heads(config, builder.hidden_size(), {.num_kv_heads = 32, .head_dim = 128});
  const int32_t inner = read_intermediate_size(config);
  const core::Activation activation =
      read_activation(config, "hidden_act", core::Activation::kSilu);
  const int32_t rope = builder.rope(read_rope(config, builder.max_positions()), heads.head_dim);
  const bool is_biased = config.flag_or("attention_bias", false);
  const std::vector<int32_t> windows = read_qwen_windows(config, builder.num_layers());
  for (const char* key : {"use_qk_norm", "qk_norm", "qk_layernorm"}) config.flag_or(key, true);

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    builder.add_attention(i,
                          {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim,
                                     usual_scale(heads.head_dim), windows[static_cast<size_t>(i)]},
                           .head_norm = builder.norm(),
                           .qkv_bias = is_biased,
                           .output_bias = is_biased,
                           .rope = rope});
    builder.add_gated_mlp(i, {.intermediate_size = inner, .activation = activation});
  }
  return builder.finish();
}

}  // namespace permafrost::model
