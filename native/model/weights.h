#pragma once
// A checkpoint's weights on the device: one buffer of bf16 tensors, as the model's list lays it
// out.
//
// BF16 is taken as it is, F16 and F32 are rounded to the nearest bf16 (ties to even). Every tensor
// must have exactly the shape that config.json asks for, and a tensor the model does not use is an
// error: it means that config.json describes another model. Harmless and ignored are the rotary
// tables that old exports store, `*rotary_emb.inv_freq` and the like: they follow from config.json.
//
// The names are those of transformers' models, `model.layers.0.…`; a model that was saved without
// its head lacks the `model.` of all of them, and the text part of a model that sees images has
// `language_model.` in it.

#include <cstddef>
#include <functional>

#include "core/backend.h"
#include "model/model.h"
#include "model/safetensors.h"

namespace permafrost::model {

class Weights {
 public:
  // Called on the loading thread after each tensor.
  using Progress = std::function<void(size_t bytes_done, size_t bytes_total)>;

  // Checks every tensor, then allocates and loads, and gives the model's tensors their addresses.
  // In a model that config.json calls tied but whose file holds a head that differs, the head
  // becomes a tensor of its own. Throws ERR_MODEL_WEIGHTS with file and tensor, and the backend's
  // errors.
  Weights(core::Backend& backend, Model& model, const Checkpoint& checkpoint,
          const Progress& progress = {});

  size_t bytes() const { return buffer_.bytes(); }

 private:
  core::Buffer buffer_;
};

}  // namespace permafrost::model
