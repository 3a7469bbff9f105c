#include "model/layers/gated_mlp.h"

#include <vector>

namespace permafrost::model {
namespace {

std::vector<TensorPart> gate_up_parts(const std::string& prefix, const std::string& suffix,
                                      const GatedMlpOptions& options) {
  const int64_t inner = options.intermediate_size;
  if (options.is_fused) return {{.name = prefix + "gate_up_proj" + suffix, .rows = 2 * inner}};
  return {{.name = prefix + "gate_proj" + suffix, .rows = inner},
          {.name = prefix + "up_proj" + suffix, .rows = inner}};
}

}  // namespace

GatedMlp::GatedMlp(TensorList& tensors, const std::string& prefix, int32_t hidden_size,
                   const GatedMlpOptions& options)
    : activation_(options.activation),
      input_norm_(options.input_norm),
      post_norm_(options.post_norm),
      gate_up_(tensors.linear(
          gate_up_parts(prefix, ".weight", options), hidden_size,
          options.has_bias ? gate_up_parts(prefix, ".bias", options) : std::vector<TensorPart>{})) {
  std::vector<TensorPart> bias;
  if (options.has_bias) bias.push_back({.name = prefix + "down_proj.bias", .rows = hidden_size});
  down_ = tensors.linear({{.name = prefix + "down_proj.weight", .rows = hidden_size}},
                         options.intermediate_size, bias);
}

void GatedMlp::enqueue(const Step& step, ResidualStream& stream) const {
  const Scratch::Scope scope(step.scratch);
  const core::Matrix inner = step.matrix(down_->k);
  const core::Matrix gate_up = step.matrix(gate_up_->n);
  step.backend.multiply({.x = stream.x(),
                         .input_norm = stream.read(*input_norm_),
                         .linear = gate_up_,
                         .epilogue = core::Epilogue::kGated,
                         .activation = activation_,
                         .out = inner,
                         .stored = gate_up});
  stream.add(step, inner, *down_, post_norm_);
}

}  // namespace permafrost::model
