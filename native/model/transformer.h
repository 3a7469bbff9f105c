#pragma once
// A model's step from tokens to the residual stream's last norm, and from there to logits: what
// decode steps, prefills and their dry runs have in common.

#include "model/model.h"
#include "model/step.h"

namespace permafrost::model {

// Embeds the rows and runs the layers.
ResidualStream run_layers(const Model& model, const Step& step);

// The logits of all rows of a decode step, [rows, vocab] f32.
void enqueue_decode(const Model& model, const Step& step, const core::Matrix& logits);

// hidden: [rows, hidden], the stream behind its last norm.
void enqueue_prefill(const Model& model, const Step& step, const core::Matrix& hidden);

}  // namespace permafrost::model
