// Qwen2 and Qwen2.5: queries, keys and values have biases.

#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {

Model build_qwen2(const JsonFields& config) {
  ModelBuilder builder(config, "Qwen2ForCausalLM");
  const Heads heads = read_heads(config, builder.hidden_size(), {.num_kv_heads = 32});
  const int32_t inner = read_intermediate_size(config);
  const core::Activation activation =
      read_activation(config, "hidden_act", core::Activation::kSilu);
  const int32_t rope = builder.rope(read_rope(config, builder.max_positions()), heads.head_dim);
  const std::vector<int32_t> windows = read_qwen_windows(config, builder.num_layers());

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    builder.add_attention(i,
                          {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim,
                                     usual_scale(heads.head_dim), windows[static_cast<size_t>(i)]},
                           .qkv_bias = true,
                           .rope = rope});
    builder.add_gated_mlp(i, {.intermediate_size = inner, .activation = activation});
  }
  return builder.finish();
}

}  // namespace permafrost::model
