#pragma once
// A checkpoint's weights on the device: one buffer of bf16 tensors, each 256-byte aligned,
// projections of the same input fused into one matrix.
//
// BF16 is taken as it is, F16 and F32 are rounded to the nearest bf16 (ties to even). Every tensor
// must have exactly the shape that config.json asks for, and a tensor the model does not use is an
// error: it means that config.json describes another model. Harmless and ignored are the rotary
// tables that old exports store, `*rotary_emb.inv_freq` and the like: they follow from config.json.
//
// In a model with tied embeddings the shared matrix may be stored once, under either name, or
// twice. If the two differ, the file is right and config.json is not: each is used as what it is.
//
// The names are those of transformers' models, `model.layers.0.…`; a model that was saved without
// its head lacks the `model.` of all of them.

#include <cstddef>
#include <functional>
#include <vector>

#include "core/backend.h"
#include "core/linear.h"
#include "core/tensor.h"
#include "model/config.h"
#include "model/safetensors.h"

namespace permafrost::model {

struct LayerWeights {
  const void* attention_norm = nullptr;  // [hidden] bf16
  core::Linear qkv;                      // n: (num_heads + 2 num_kv_heads) * head_dim, k: hidden
  const void* q_norm = nullptr;          // [head_dim] bf16 or null
  const void* k_norm = nullptr;          // [head_dim] bf16 or null
  core::Linear output;                   // n: hidden, k: num_heads * head_dim
  const void* mlp_norm = nullptr;        // [hidden] bf16
  core::Linear gate_up;                  // n: 2 * intermediate, k: hidden
  core::Linear down;                     // n: hidden, k: intermediate
};

struct WeightViews {
  core::Linear embedding;            // n: vocab, k: hidden
  std::vector<LayerWeights> layers;  // [num_layers]
  const void* final_norm = nullptr;  // [hidden] bf16
  core::Linear lm_head;              // likewise; the embedding's values where tied
};

class Weights {
 public:
  // Called on the loading thread after each tensor.
  using Progress = std::function<void(size_t bytes_done, size_t bytes_total)>;

  // The device bytes that the constructor allocates, but for a head that is tied by config.json
  // only.
  static size_t bytes_needed(const ModelConfig& config);

  // Checks every tensor, then allocates and loads. Throws ERR_MODEL_WEIGHTS with file and tensor,
  // and the backend's errors.
  Weights(core::Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
          const Progress& progress = {});

  const WeightViews& views() const { return views_; }
  // Every weight of a product and what it is for, so that a backend can give it its plan.
  std::vector<core::LinearUse> linear_uses(core::DType activation);
  size_t bytes() const { return buffer_.bytes(); }

 private:
  core::Buffer buffer_;
  WeightViews views_;
};

}  // namespace permafrost::model
