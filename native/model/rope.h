#pragma once
// Rotary position embedding: the angles of every position, as a table on the device.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "model/rope_config.h"

namespace permafrost::model {

// A rotary table that layers share.
struct RopeOptions {
  RopeConfig config;
  int32_t head_dim = 0;
  int32_t rotary_dim = 0;  // of its head; the pairs behind turn by no angle

  bool operator==(const RopeOptions&) const = default;
};

// Radians per position of each of the rotary_dim / 2 pairs: theta^(-2i / rotary_dim), stretched as
// the checkpoint asks for. In f32, the precision that models are trained with: a bf16 frequency is
// off by up to 0.2 %, which is a whole turn at a position of a few thousand. max_positions:
// positions that sequences may have, which decides between longrope's two lists.
std::vector<float> inverse_frequencies(const RopeConfig& rope, int32_t rotary_dim,
                                       int32_t max_positions);

class RopeTable {
 public:
  static size_t bytes_needed(const RopeOptions& options, int32_t max_positions);

  RopeTable(core::Backend& backend, const RopeOptions& options, int32_t max_positions);

  // [max_positions, head_dim] f32, device memory: cosines of the pairs, then sines.
  const float* cos_sin() const { return static_cast<const float*>(buffer_.data()); }

 private:
  core::Buffer buffer_;
};

}  // namespace permafrost::model
