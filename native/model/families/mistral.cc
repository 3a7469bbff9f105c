// Mistral: all layers see a window of positions, or all of them.

#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {

Model build_mistral(const JsonFields& config) {
  ModelBuilder builder(config, "MistralForCausalLM");
  const Heads heads = read_heads(config, builder.hidden_size(), {.num_kv_heads = 8});
  const int32_t inner = read_intermediate_size(config);
  const core::Activation activation =
      read_activation(config, "hidden_act", core::Activation::kSilu);
  const int32_t rope = builder.rope(read_rope(config, builder.max_positions()), heads.head_dim);
  const int32_t window = read_window(config, 4096);
  check_layer_types(config, window > 0 ? kSlidingAttention : kFullAttention);

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    builder.add_attention(i, {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim,
                                        usual_scale(heads.head_dim), window},
                              .rope = rope});
    builder.add_gated_mlp(i, {.intermediate_size = inner, .activation = activation});
  }
  return builder.finish();
}

}  // namespace permafrost::model
