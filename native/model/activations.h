#pragma once
// The static buffers between the operations of a step, reserved once for the largest step.

#include <cstddef>
#include <cstdint>

#include "core/backend.h"
#include "model/config.h"

namespace permafrost::model {

class Activations {
 public:
  static size_t bytes_needed(const ModelConfig& config, int32_t max_rows, int32_t max_logit_rows,
                             core::DType dtype);

  Activations(core::Backend& backend, const ModelConfig& config, int32_t max_rows,
              int32_t max_logit_rows);

  // All but the last two: [max_rows, …] of the backend's activation dtype.
  core::Matrix residual;   // [.., hidden] the residual stream
  core::Matrix normed;     // [.., hidden] input of the next projection
  core::Matrix qkv;        // [.., (num_heads + 2 num_kv_heads) * head_dim]
  core::Matrix attention;  // [.., num_heads * head_dim]
  core::Matrix delta;      // [.., hidden] what the next norm adds to the residual stream
  core::Matrix gate_up;    // [.., 2 * intermediate]
  core::Matrix inner;      // [.., intermediate]
  core::Matrix gathered;   // [max_logit_rows, hidden] rows whose logits are wanted
  core::Matrix logits;     // [max_logit_rows, vocab] f32

 private:
  size_t lay_out(const ModelConfig& config, int32_t max_rows, int32_t max_logit_rows,
                 core::DType dtype, void* base);
  Activations() = default;

  core::Buffer buffer_;
};

// The first `rows` rows of a buffer.
core::Matrix first_rows(const core::Matrix& buffer, int32_t rows);

}  // namespace permafrost::model
