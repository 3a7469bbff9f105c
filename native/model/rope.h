#pragma once
// Rotary position embedding: the angles of every position, as a table on the device.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "model/config.h"

namespace permafrost::model {

// Radians per position of each of the head_dim / 2 pairs: theta^(-2i / head_dim), with llama3's
// scaling where the checkpoint asks for it. In f32, the precision that models are trained with: a
// bf16 frequency is off by up to 0.2 %, which is a whole turn at a position of a few thousand.
std::vector<float> inverse_frequencies(const RopeConfig& rope, int32_t head_dim);

class RopeTable {
 public:
  static size_t bytes_needed(const ModelConfig& config, int32_t max_positions);

  // frequencies: [head_dim / 2], see inverse_frequencies()
  RopeTable(core::Backend& backend, const std::vector<float>& frequencies, int32_t max_positions);

  // [max_positions, head_dim] f32, device memory: cosines of the pairs, then sines.
  const float* cos_sin() const { return static_cast<const float*>(buffer_.data()); }

 private:
  core::Buffer buffer_;
};

}  // namespace permafrost::model
