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

}  // namespace

size_t Decoder::bytes_needed(const ModelConfig& config, const Limits& limits, core::DType dtype) {
  return RopeTable::bytes_needed(config, limits.max_positions) +
         Activations::bytes_needed(config, limits.max_rows, limits.max_logit_rows, dtype);
}

core::StepShapes Decoder::shapes(const ModelConfig& config, Weights& weights, core::DType dtype) {
  core::StepShapes shapes;
  shapes.vocab_size = config.vocab_size;
  shapes.attention = attention_shape(config, 0);
  shapes.linears = weights.linear_uses(dtype);
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

// The norm of a step's rows before a product.
core::Norm Decoder::norm(const void* weight, const Matrix& delta, int32_t rows) const {
  return {weight, config_.rms_norm_eps, delta, first_rows(activations_.normed, rows)};
}

// The transformer, up to the last norm: gives what that has to add to the residual stream. Each
// block adds its output to the stream, or leaves the adding to the next norm.
template <typename Attention>
Matrix Decoder::run_layers(const Rows& rows, const Attention& attention) {
  const Matrix residual = first_rows(activations_.residual, rows.count);
  const Matrix qkv = first_rows(activations_.qkv, rows.count);
  const Matrix attended = first_rows(activations_.attention, rows.count);
  const Matrix delta = first_rows(activations_.delta, rows.count);
  const Matrix gate_up = first_rows(activations_.gate_up, rows.count);
  const Matrix inner = first_rows(activations_.inner, rows.count);

  Matrix to_add;
  backend_.embed(rows, weights_.embedding, residual);
  for (int32_t i = 0; i < config_.num_layers; ++i) {
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(i)];
    const core::AttentionShape shape =
        attention_shape(config_, config_.windows[static_cast<size_t>(i)]);

    backend_.multiply({.x = residual,
                       .norm = norm(layer.attention_norm, to_add, rows.count),
                       .linear = &layer.qkv,
                       .out = qkv});
    attention(qkv, shape,
              core::Rope{layer.q_norm, layer.k_norm, config_.rms_norm_eps, rope_.cos_sin()}, i,
              attended);
    to_add = backend_.multiply({.x = attended,
                                .linear = &layer.output,
                                .epilogue = core::Epilogue::kAdd,
                                .out = residual,
                                .stored = delta});

    backend_.multiply({.x = residual,
                       .norm = norm(layer.mlp_norm, to_add, rows.count),
                       .linear = &layer.gate_up,
                       .epilogue = core::Epilogue::kSiluMul,
                       .out = inner,
                       .stored = gate_up});
    to_add = backend_.multiply({.x = inner,
                                .linear = &layer.down,
                                .epilogue = core::Epilogue::kAdd,
                                .out = residual,
                                .stored = delta});
  }
  return to_add;
}

Matrix Decoder::decode(const Rows& rows, const core::SlotState& state, const core::KvCache& kv) {
  const Matrix logits = first_rows(activations_.logits, rows.count);
  const Matrix to_add =
      run_layers(rows, [&](const Matrix& qkv, const core::AttentionShape& shape,
                           const core::Rope& rope, int32_t layer, const Matrix& out) {
        backend_.rope_attention_decode(rows, qkv, shape, rope, state, kv, layer, out);
      });
  backend_.multiply({.x = first_rows(activations_.residual, rows.count),
                     .norm = norm(weights_.final_norm, to_add, rows.count),
                     .linear = &weights_.lm_head,
                     .out = logits});
  return logits;
}

void Decoder::prefill(const Rows& rows, const core::Segment* host_segments,
                      const core::Segment* segments, int32_t num_segments,
                      const core::SlotState& state, const core::KvCache& kv) {
  const Matrix to_add =
      run_layers(rows, [&](const Matrix& qkv, const core::AttentionShape& shape,
                           const core::Rope& rope, int32_t layer, const Matrix& out) {
        backend_.rope_write_kv(rows, qkv, shape, rope.q_norm, rope.k_norm, rope.eps, rope.cos_sin,
                               state, kv, layer);
        backend_.attention_prefill(rows, host_segments, segments, num_segments, qkv, shape, state,
                                   kv, layer, out);
      });
  backend_.rms_norm(first_rows(activations_.residual, rows.count), to_add, weights_.final_norm,
                    config_.rms_norm_eps, first_rows(activations_.normed, rows.count));
}

Matrix Decoder::head(const int32_t* row_indices, int32_t count) {
  const Matrix gathered = first_rows(activations_.gathered, count);
  const Matrix logits = first_rows(activations_.logits, count);
  backend_.gather_rows(activations_.normed, row_indices, gathered);
  backend_.gemm(gathered, weights_.lm_head, logits);
  return logits;
}

}  // namespace permafrost::model
