// Llama, and what was made after it.

#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {

Model build_llama(const JsonFields& config) {
  ModelBuilder builder(config, "LlamaForCausalLM");
  const Heads heads = read_heads(config, builder.hidden_size(), {});
  const int32_t inner = read_intermediate_size(config);
  const core::Activation activation =
      read_activation(config, "hidden_act", core::Activation::kSilu);
  const int32_t rope = builder.rope(read_rope(config, builder.max_positions()), heads.head_dim);
  const bool is_biased = config.flag_or("attention_bias", false);
  const bool has_mlp_bias = config.flag_or("mlp_bias", false);
  check_layer_types(config, kFullAttention);

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    builder.add_attention(i, {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim,
                                        usual_scale(heads.head_dim)},
                              .qkv_bias = is_biased,
                              .output_bias = is_biased,
                              .rope = rope});
    builder.add_gated_mlp(
        i, {.intermediate_size = inner, .activation = activation, .has_bias = has_mlp_bias});
  }
  return builder.finish();
}

}  // namespace permafrost::model
