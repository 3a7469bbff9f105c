#include "model/transformer.h"

namespace permafrost::model {

ResidualStream run_layers(const Model& model, const Step& step) {
  ResidualStream stream(step, model.hidden_size);
  step.backend.embed(step.rows, *model.embedding, model.embedding_scale, stream.x());
  for (const auto& layer : model.layers) layer->enqueue(step, stream);
  return stream;
}

void enqueue_decode(const Model& model, const Step& step, const core::Matrix& logits) {
  const Scratch::Scope scope(step.scratch);
  ResidualStream stream = run_layers(model, step);
  step.backend.multiply({.x = stream.x(),
                         .input_norm = stream.read(*model.final_norm),
                         .linear = model.head,
                         .out = logits});
}

void enqueue_prefill(const Model& model, const Step& step, const core::Matrix& hidden) {
  const Scratch::Scope scope(step.scratch);
  ResidualStream stream = run_layers(model, step);
  stream.write(step, *model.final_norm, hidden);
}

}  // namespace permafrost::model
