#pragma once
// A gated MLP: norm, gate and up in one product with the activation, and the down product.

#include <cstdint>
#include <string>

#include "core/backend.h"
#include "model/layers/layer.h"
#include "model/tensor_list.h"

namespace permafrost::model {

struct GatedMlpOptions {
  int32_t intermediate_size = 0;
  core::Activation activation = core::Activation::kSilu;
  const core::RmsNorm* input_norm = nullptr;
  const core::RmsNorm* post_norm = nullptr;  // of the output, before it is added; or none
  bool has_bias = false;
  bool is_fused = false;  // gate_up_proj instead of gate_proj and up_proj
};

class GatedMlp : public Layer {
 public:
  // prefix: of its tensors, "layers.0.mlp."
  GatedMlp(TensorList& tensors, const std::string& prefix, int32_t hidden_size,
           const GatedMlpOptions& options);

  void enqueue(const Step& step, ResidualStream& stream) const override;

 private:
  core::Activation activation_;
  const core::RmsNorm* input_norm_;
  const core::RmsNorm* post_norm_;
  const core::Linear* gate_up_;  // [2 * intermediate, hidden]
  const core::Linear* down_;     // [hidden, intermediate]
};

}  // namespace permafrost::model
