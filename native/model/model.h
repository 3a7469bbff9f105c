#pragma once
// A model as its family composes it from config.json: layers over one list of tensors.
// See families/.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/linear.h"
#include "model/layers/layer.h"
#include "model/rope.h"
#include "model/tensor_list.h"

namespace permafrost::model {

// A checkpoint's output matrix, where it has one of its own.
constexpr const char* kHeadName = "lm_head.weight";

// The KV cache that all attention layers share.
struct KvShape {
  int32_t num_layers = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;

  // Values of one position: keys and values of all layers.
  int64_t values_per_position() const { return int64_t{2} * num_layers * num_kv_heads * head_dim; }
};

struct Model {
  std::string architecture;  // "Qwen3ForCausalLM"
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t max_positions = 0;
  float embedding_scale = 1;
  bool tie_word_embeddings = false;

  TensorList tensors;
  core::Linear* embedding = nullptr;  // n: vocab, k: hidden
  std::vector<std::unique_ptr<Layer>> layers;
  const core::RmsNorm* final_norm = nullptr;
  core::Linear* head = nullptr;  // likewise; the embedding where tied

  KvShape kv;
  std::vector<RopeOptions> ropes;  // the rotary tables that layers name by their index
};

// Reads `folder`/config.json. Throws ERR_MODEL_NOT_FOUND (no such folder or file), ERR_MODEL_CONFIG
// (malformed, out of range, contradictory) and ERR_UNSUPPORTED (architectures, quantization, rotary
// types, layer types, activations, and whatever else the model computes that Permafrost does not
// carry out), each with the field and its value.
Model read_model(const std::string& folder);

}  // namespace permafrost::model
