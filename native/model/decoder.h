#pragma once
// A model on a device: its rotary tables and static buffers, and its steps as backend operations.
// Neither decode() nor prefill() nor head() allocates, blocks or reads the environment, so each can
// be captured.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "model/dry_run.h"
#include "model/model.h"
#include "model/rope.h"
#include "model/step.h"

namespace permafrost::model {

class Decoder {
 public:
  // What is reserved at the start, once.
  struct Limits {
    int32_t max_rows = 0;        // rows of one decode() or prefill()
    int32_t max_logit_rows = 0;  // rows of one decode() or head()
    int32_t max_positions = 0;   // positions that may occur: 0 .. max_positions - 1
  };

  // The model must have its weights, and outlive the decoder.
  Decoder(core::Backend& backend, Model& model, const Limits& limits);
  // The same with the needs of its steps, where somebody has asked for them before.
  Decoder(core::Backend& backend, const Model& model, const Limits& limits, StepNeeds needs);

  // Attention, vocabulary and weights of every step, for Backend::reserve(); the caller adds the
  // limits.
  core::StepShapes shapes() const;

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
  core::Backend& backend_;
  const Model& model_;
  StepNeeds needs_;
  std::vector<RopeTable> ropes_;
  std::vector<const float*> rope_addresses_;
  core::Buffer buffer_;
  core::Matrix hidden_;    // [max_rows, hidden] of the last prefill
  core::Matrix gathered_;  // [max_logit_rows, hidden] rows whose logits are wanted
  core::Matrix logits_;    // [max_logit_rows, vocab] f32
  Scratch scratch_;
};

}  // namespace permafrost::model
