#include "model/activations.h"

#include <string>

#include "core/error.h"
#include "model/arena.h"

namespace permafrost::model {

size_t Activations::lay_out(const ModelConfig& config, int32_t max_rows, int32_t max_logit_rows,
                            core::DType dtype, void* base) {
  Arena arena(base);
  residual = arena.matrix(max_rows, config.hidden_size, dtype);
  normed = arena.matrix(max_rows, config.hidden_size, dtype);
  qkv = arena.matrix(max_rows, config.qkv_size(), dtype);
  attention = arena.matrix(max_rows, config.query_size(), dtype);
  delta = arena.matrix(max_rows, config.hidden_size, dtype);
  gate_up = arena.matrix(max_rows, 2 * int64_t{config.intermediate_size}, dtype);
  inner = arena.matrix(max_rows, config.intermediate_size, dtype);
  gathered = arena.matrix(max_logit_rows, config.hidden_size, dtype);
  logits = arena.matrix(max_logit_rows, config.vocab_size, core::DType::kF32);
  return arena.offset();
}

size_t Activations::bytes_needed(const ModelConfig& config, int32_t max_rows,
                                 int32_t max_logit_rows, core::DType dtype) {
  return Activations().lay_out(config, max_rows, max_logit_rows, dtype, nullptr);
}

Activations::Activations(core::Backend& backend, const ModelConfig& config, int32_t max_rows,
                         int32_t max_logit_rows)
    : buffer_(backend.allocate(
          bytes_needed(config, max_rows, max_logit_rows, backend.activation_dtype()))) {
  lay_out(config, max_rows, max_logit_rows, backend.activation_dtype(), buffer_.data());
}

core::Matrix first_rows(const core::Matrix& buffer, int32_t rows) {
  if (rows < 0 || rows > buffer.rows) {
    throw core::Error("ERR_INTERNAL", "a step of " + std::to_string(rows) +
                                          " rows does not fit buffers for " +
                                          std::to_string(buffer.rows));
  }
  core::Matrix view = buffer;
  view.rows = rows;
  return view;
}

}  // namespace permafrost::model
