#pragma once
// What families have in common: the sizes that every config.json says, and the order in which a
// model's parts are declared.

#include <cstdint>
#include <string>
#include <string_view>

#include "model/json_fields.h"
#include "model/layers/attention.h"
#include "model/layers/gated_mlp.h"
#include "model/model.h"

namespace permafrost::model {

class ModelBuilder {
 public:
  // norm_offset: of every norm, see core::RmsNorm. Reads the sizes and declares the embedding.
  ModelBuilder(const JsonFields& config, std::string_view architecture, float norm_offset = 0);

  int32_t num_layers() const { return num_layers_; }
  int32_t max_positions() const { return model_.max_positions; }
  int32_t hidden_size() const { return model_.hidden_size; }
  // eps and offset of the model's norms, without a weight.
  const core::RmsNorm& norm() const { return norm_; }

  // A norm over the residual stream: "layers.0.input_layernorm".
  const core::RmsNorm* norm(const std::string& name);
  // The index of a rotary table; equal ones are one.
  int32_t rope(const RopeConfig& rope, int32_t head_dim);
  // How many elements of a head are rotated.
  int32_t rotary_dim(const RopeConfig& rope, int32_t head_dim) const;
  void set_embedding_scale(float scale) { model_.embedding_scale = scale; }

  // Of layer `index`: "layers.0.self_attn." and "layers.0.mlp.". Fill in the norms' default names,
  // input_layernorm and post_attention_layernorm, where the options have none.
  void add_attention(int32_t index, AttentionOptions options);
  void add_gated_mlp(int32_t index, GatedMlpOptions options);

  // tied: whether the head is the embedding where config.json doesn't say.
  Model finish(bool tied_by_default = false);

 private:
  const JsonFields& config_;
  Model model_;
  core::RmsNorm norm_;
  int32_t num_layers_ = 0;
};

}  // namespace permafrost::model
