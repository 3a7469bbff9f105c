#include "model/decoder.h"

#include <cmath>
#include <utility>

namespace permafrost::model {

using core::Matrix;
using core::Rows;

namespace {

core::AttentionShape attention_shape(const ModelConfig& config, int32_t window) {
  core::AttentionShape shape;
  shape.num_heads = config.num_heads;
  shape.num_kv_heads = config.num_kv_heads;
  shape.head_dim = config.head_dim;
  shape.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(config.head_dim)));
  shape.window = window;
  return shape;
}

int32_t to_int(int64_t value) { return static_cast<int32_t>(value); }

}  // namespace

size_t Decoder::bytes_needed(const ModelConfig& config, const Limits& limits, core::DType dtype) {
  return RopeTable::bytes_needed(config, limits.max_positions) +
         Activations::bytes_needed(config, limits.max_rows, limits.max_logit_rows, dtype);
}

core::StepShapes Decoder::shapes(const ModelConfig& config, core::DType dtype) {
  core::StepShapes shapes;
  shapes.vocab_size = config.vocab_size;
  shapes.attention = attention_shape(config, 0);
  shapes.gemms = {{to_int(config.qkv_size()), config.hidden_size, dtype},
                  {config.hidden_size, to_int(config.query_size()), dtype},
                  {2 * config.intermediate_size, config.hidden_size, dtype},
                  {config.hidden_size, config.intermediate_size, dtype},
                  {config.vocab_size, config.hidden_size, core::DType::kF32}};
  return shapes;
}

int64_t Decoder::num_decode_operations(const ModelConfig& config) {
  constexpr int64_t kPerLayer = 9;
  constexpr int64_t kAround = 3;  // embedding, final norm, head
  return kPerLayer * config.num_layers + kAround;
}

Decoder::Decoder(core::Backend& backend, const ModelConfig& config, const Weights& weights,
                 const Limits& limits)
    : Decoder(backend, config, weights, limits,
              RopeTable(backend, inverse_frequencies(config.rope, config.head_dim),
                        limits.max_positions)) {}

Decoder::Decoder(core::Backend& backend, const ModelConfig& config, const Weights& weights,
                 const Limits& limits, RopeTable rope)
    : backend_(backend),
      config_(config),
      weights_(weights.views()),
      rope_(std::move(rope)),
      activations_(backend, config, limits.max_rows, limits.max_logit_rows) {}

// The transformer. Leaves the rows' last hidden states, normed, in activations_.normed.
// Each block adds its output to the residual stream; the next norm does the adding.
template <typename Attention>
void Decoder::run_layers(const Rows& rows, const core::SlotState& state, const core::KvCache& kv,
                         const Attention& attention) {
  const float eps = config_.rms_norm_eps;
  const Matrix residual = first_rows(activations_.residual, rows.count);
  const Matrix normed = first_rows(activations_.normed, rows.count);
  const Matrix qkv = first_rows(activations_.qkv, rows.count);
  const Matrix attended = first_rows(activations_.attention, rows.count);
  const Matrix delta = first_rows(activations_.delta, rows.count);
  const Matrix gate_up = first_rows(activations_.gate_up, rows.count);
  const Matrix inner = first_rows(activations_.inner, rows.count);

  backend_.embed(rows, weights_.embedding, residual);
  for (int32_t i = 0; i < config_.num_layers; ++i) {
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(i)];
    const core::AttentionShape shape =
        attention_shape(config_, config_.windows[static_cast<size_t>(i)]);

    backend_.rms_norm(residual, i == 0 ? Matrix{} : delta, layer.attention_norm, eps, normed);
    backend_.gemm(normed, layer.qkv, layer.qkv_bias, qkv);
    backend_.rope_write_kv(rows, qkv, shape, layer.q_norm, layer.k_norm, eps, rope_.cos_sin(),
                           state, kv, i);
    attention(qkv, shape, i, attended);
    backend_.gemm(attended, layer.output, layer.output_bias, delta);

    backend_.rms_norm(residual, delta, layer.mlp_norm, eps, normed);
    backend_.gemm(normed, layer.gate_up, layer.gate_up_bias, gate_up);
    backend_.silu_mul(gate_up, inner);
    backend_.gemm(inner, layer.down, layer.down_bias, delta);
  }
  backend_.rms_norm(residual, delta, weights_.final_norm, eps, normed);
}

Matrix Decoder::decode(const Rows& rows, const core::SlotState& state, const core::KvCache& kv) {
  const Matrix logits = first_rows(activations_.logits, rows.count);
  run_layers(
      rows, state, kv,
      [&](const Matrix& qkv, const core::AttentionShape& shape, int32_t layer, const Matrix& out) {
        backend_.attention_decode(rows, qkv, shape, state, kv, layer, out);
      });
  backend_.gemm(first_rows(activations_.normed, rows.count), weights_.lm_head, nullptr, logits);
  return logits;
}

void Decoder::prefill(const Rows& rows, const core::Segment* host_segments,
                      const core::Segment* segments, int32_t num_segments,
                      const core::SlotState& state, const core::KvCache& kv) {
  run_layers(
      rows, state, kv,
      [&](const Matrix& qkv, const core::AttentionShape& shape, int32_t layer, const Matrix& out) {
        backend_.attention_prefill(rows, host_segments, segments, num_segments, qkv, shape, state,
                                   kv, layer, out);
      });
}

Matrix Decoder::head(const int32_t* row_indices, int32_t count) {
  const Matrix gathered = first_rows(activations_.gathered, count);
  const Matrix logits = first_rows(activations_.logits, count);
  backend_.gather_rows(activations_.normed, row_indices, gathered);
  backend_.gemm(gathered, weights_.lm_head, nullptr, logits);
  return logits;
}

}  // namespace permafrost::model
