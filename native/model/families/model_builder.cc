#include "model/families/model_builder.h"

#include <algorithm>
#include <memory>

namespace permafrost::model {
namespace {

// Far beyond any model, small enough that no product of two or three of them overflows 64 bits.
constexpr int32_t kMaxVocab = 1 << 24;
constexpr int32_t kMaxHidden = 1 << 18;
constexpr int32_t kMaxLayers = 1 << 10;
constexpr int32_t kMaxPositions = 1 << 26;

std::string layer_prefix(int32_t index) { return "layers." + std::to_string(index) + "."; }

}  // namespace

ModelBuilder::ModelBuilder(const JsonFields& config, std::string_view architecture,
                           float norm_offset)
    : config_(config) {
  model_.architecture = architecture;
  model_.vocab_size = config.size("vocab_size", kMaxVocab);
  model_.hidden_size = config.size("hidden_size", kMaxHidden);
  num_layers_ = config.size("num_hidden_layers", kMaxLayers);
  model_.max_positions = config.size("max_position_embeddings", kMaxPositions);
  norm_.eps = static_cast<float>(config.number_or("rms_norm_eps", 1e-6, 1e-12, 1));
  norm_.offset = norm_offset;
  model_.embedding = model_.tensors.linear(
      {{.name = "embed_tokens.weight", .rows = model_.vocab_size}}, model_.hidden_size);
}

const core::RmsNorm* ModelBuilder::norm(const std::string& name) {
  return model_.tensors.norm({.name = name + ".weight", .rows = model_.hidden_size}, norm_.eps,
                             norm_.offset);
}

int32_t ModelBuilder::rotary_dim(const RopeConfig& rope, int32_t head_dim) const {
  const auto dim = static_cast<int32_t>(head_dim * rope.partial_rotary_factor);
  if (dim < 2 || dim % 2 != 0) {
    config_.refuse("partial_rotary_factor is " + shown_number(rope.partial_rotary_factor) +
                   ", which rotates " + std::to_string(dim) + " elements of heads of " +
                   std::to_string(head_dim) + ", expected an even number");
  }
  return dim;
}

int32_t ModelBuilder::rope(const RopeConfig& rope, int32_t head_dim) {
  const RopeOptions options{rope, head_dim, rotary_dim(rope, head_dim)};
  const auto pairs = static_cast<size_t>(options.rotary_dim / 2);
  for (const std::vector<double>* factors : {&rope.short_factors, &rope.long_factors}) {
    if (!factors->empty() && factors->size() != pairs) {
      config_.refuse("the rotary type longrope has " + std::to_string(factors->size()) +
                     " factors, expected one for each of " + std::to_string(pairs) + " pairs");
    }
  }
  std::vector<RopeOptions>& ropes = model_.ropes;
  const auto found = std::find(ropes.begin(), ropes.end(), options);
  if (found != ropes.end()) return static_cast<int32_t>(found - ropes.begin());
  ropes.push_back(options);
  return static_cast<int32_t>(ropes.size() - 1);
}

void ModelBuilder::add_attention(int32_t index, AttentionOptions options) {
  const std::string prefix = layer_prefix(index);
  KvShape& kv = model_.kv;
  if (options.input_norm == nullptr) options.input_norm = norm(prefix + "input_layernorm");
  if (options.rotary_dim == 0) options.rotary_dim = options.shape.head_dim;
  kv.num_kv_heads = options.shape.num_kv_heads;
  kv.head_dim = options.shape.head_dim;
  model_.layers.push_back(std::make_unique<Attention>(
      model_.tensors, prefix + "self_attn.", model_.hidden_size, kv.num_layers++, options));
}

void ModelBuilder::add_gated_mlp(int32_t index, GatedMlpOptions options) {
  const std::string prefix = layer_prefix(index);
  if (options.input_norm == nullptr) options.input_norm = norm(prefix + "post_attention_layernorm");
  model_.layers.push_back(
      std::make_unique<GatedMlp>(model_.tensors, prefix + "mlp.", model_.hidden_size, options));
}

Model ModelBuilder::finish(bool tied_by_default) {
  model_.tie_word_embeddings = config_.flag_or("tie_word_embeddings", tied_by_default);
  model_.final_norm = norm("norm");
  model_.head = model_.tie_word_embeddings
                    ? model_.embedding
                    : model_.tensors.linear({{.name = kHeadName, .rows = model_.vocab_size}},
                                            model_.hidden_size);
  return std::move(model_);
}

}  // namespace permafrost::model
