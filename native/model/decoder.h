#pragma once
// The transformer as a sequence of backend operations. Neither decode() nor prefill() nor head()
// allocates, blocks or reads the environment, so each can be captured.

#include <cstddef>
#include <cstdint>

#include "core/backend.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/rope.h"
#include "model/weights.h"

namespace permafrost::model {

class Decoder {
 public:
  // What is reserved at the start, once.
  struct Limits {
    int32_t max_rows = 0;        // rows of one decode() or prefill()
    int32_t max_logit_rows = 0;  // rows of one decode() or head()
    int32_t max_positions = 0;   // positions that may occur: 0 .. max_positions - 1
  };

  // Device bytes that the constructor allocates.
  static size_t bytes_needed(const ModelConfig& config, const Limits& limits, core::DType dtype);

  // Attention, vocabulary and weights of every step, for Backend::reserve(); the caller adds the
  // limits.
  static core::StepShapes shapes(const ModelConfig& config, Weights& weights, core::DType dtype);
  // Backend operations of one decode().
  static int64_t num_decode_operations(const ModelConfig& config);

  // Everything passed by reference must outlive the decoder.
  Decoder(core::Backend& backend, const ModelConfig& config, const Weights& weights,
          const Limits& limits);
  // The same with rotary angles of the caller's own, of limits.max_positions positions.
  Decoder(core::Backend& backend, const ModelConfig& config, const Weights& weights,
          const Limits& limits, RopeTable rope);

  // One token of each row's sequence: writes its KV and returns the logits of all rows,
  // [rows.count, vocab] f32, valid until the next call.
  core::Matrix decode(const core::Rows& rows, const core::SlotState& state,
                      const core::KvCache& kv);

  // Consecutive tokens of one or more sequences: writes their KV and keeps the hidden states for
  // head(). segments: device copy of host_segments, [num_segments].
  void prefill(const core::Rows& rows, const core::Segment* host_segments,
               const core::Segment* segments, int32_t num_segments, const core::SlotState& state,
               const core::KvCache& kv);

  // Logits of the named rows of the last prefill(), [count, vocab] f32, valid until the next call.
  // row_indices: [count] i32, device memory.
  core::Matrix head(const int32_t* row_indices, int32_t count);

 private:
  template <typename Attention>
  core::Matrix run_layers(const core::Rows& rows, const Attention& attention);

  core::Norm norm(const void* weight, const core::Matrix& delta, int32_t rows) const;

  core::Backend& backend_;
  const ModelConfig& config_;
  const WeightViews& weights_;
  RopeTable rope_;
  Activations activations_;
};

}  // namespace permafrost::model
