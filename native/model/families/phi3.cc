// Phi-3 and Phi-4: projections of the same input are stored as one, and part of a head may stay
// unrotated.

#include "model/families/config_readers.h"
#include "model/families/families.h"
#include "model/families/model_builder.h"

namespace permafrost::model {

Model build_phi3(const JsonFields& config) {
  ModelBuilder builder(config, "Phi3ForCausalLM");
  const Heads heads = read_heads(config, builder.hidden_size(), {});
  const int32_t inner = read_intermediate_size(config);
  const core::Activation activation =
      read_activation(config, "hidden_act", core::Activation::kSilu);
  const RopeConfig rope = read_rope(config, builder.max_positions(), {.may_be_partial = true});
  const int32_t window = read_window(config, 0);
  check_layer_types(config, window > 0 ? kSlidingAttention : kFullAttention);

  for (int32_t i = 0; i < builder.num_layers(); ++i) {
    builder.add_attention(i, {.shape = {heads.num_heads, heads.num_kv_heads, heads.head_dim,
                                        usual_scale(heads.head_dim), window},
                              .is_fused = true,
                              .rope = builder.rope(rope, heads.head_dim),
                              .rotary_dim = builder.rotary_dim(rope, heads.head_dim)});
    builder.add_gated_mlp(i,
                          {.intermediate_size = inner, .activation = activation, .is_fused = true});
  }
  return builder.finish();
}

}  // namespace permafrost::model
