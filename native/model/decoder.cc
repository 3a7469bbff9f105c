#include "model/decoder.h"

#include <string>
#include <utility>

#include "core/error.h"
#include "model/arena.h"
#include "model/transformer.h"

namespace permafrost::model {
namespace {

using core::Matrix;
using core::Rows;

// The first `rows` rows of a buffer.
Matrix first_rows(const Matrix& buffer, int32_t rows) {
  if (rows < 0 || rows > buffer.rows) {
    throw core::Error("ERR_INTERNAL", "a step of " + std::to_string(rows) +
                                          " rows does not fit buffers for " +
                                          std::to_string(buffer.rows));
  }
  Matrix view = buffer;
  view.rows = rows;
  return view;
}

}  // namespace

Decoder::Decoder(core::Backend& backend, Model& model, const Limits& limits)
    : Decoder(backend, model, limits,
              dry_run(model, limits.max_rows, limits.max_logit_rows, backend.activation_dtype())) {}

Decoder::Decoder(core::Backend& backend, const Model& model, const Limits& limits, StepNeeds needs)
    : backend_(backend), model_(model), needs_(std::move(needs)) {
  const core::DType dtype = backend.activation_dtype();
  for (const RopeOptions& rope : model.ropes) {
    ropes_.emplace_back(backend, rope, limits.max_positions);
    rope_addresses_.push_back(ropes_.back().cos_sin());
  }
  const auto lay_out = [&](void* base) {
    Arena arena(base);
    hidden_ = arena.matrix(limits.max_rows, model.hidden_size, dtype);
    gathered_ = arena.matrix(limits.max_logit_rows, model.hidden_size, dtype);
    logits_ = arena.matrix(limits.max_logit_rows, model.vocab_size, core::DType::kF32);
    scratch_ = Scratch(arena.take(needs_.scratch_bytes), needs_.scratch_bytes);
    return arena.offset();
  };
  buffer_ = backend.allocate(lay_out(nullptr));
  lay_out(buffer_.data());
}

core::StepShapes Decoder::shapes() const {
  core::StepShapes shapes;
  shapes.vocab_size = model_.vocab_size;
  shapes.attention = needs_.attention;
  shapes.linears = needs_.linears;
  return shapes;
}

Matrix Decoder::decode(const Rows& rows, const core::SlotState& state, const core::KvCache& kv) {
  const Matrix logits = first_rows(logits_, rows.count);
  enqueue_decode(model_, {backend_, rows, nullptr, state, kv, rope_addresses_, scratch_}, logits);
  return logits;
}

void Decoder::prefill(const Rows& rows, const core::Segment* host_segments,
                      const core::Segment* segments, int32_t num_segments,
                      const core::SlotState& state, const core::KvCache& kv) {
  const Chunks chunks{host_segments, segments, num_segments};
  enqueue_prefill(model_, {backend_, rows, &chunks, state, kv, rope_addresses_, scratch_},
                  first_rows(hidden_, rows.count));
}

Matrix Decoder::head(const int32_t* row_indices, int32_t count) {
  const Matrix gathered = first_rows(gathered_, count);
  const Matrix logits = first_rows(logits_, count);
  backend_.gather_rows(hidden_, row_indices, gathered);
  backend_.gemm(gathered, *model_.head, logits);
  return logits;
}

}  // namespace permafrost::model
