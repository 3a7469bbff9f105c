#pragma once
// The arrays that a step reads and writes, at fixed addresses on the device, and with the same
// layout in each step's pinned staging. Counts are in 32-bit words.

#include <cstdint>

#include "core/backend.h"

namespace permafrost::runtime {

// S = slots, T = prefill tokens of one step, P = slot-state changes of one step.
struct StepLayout {
  int64_t row_slots = 0;          // [S] slots of the decode rows, -1 for padding
  int64_t token_ids = 0;          // [S] written by decode_inputs
  int64_t positions = 0;          // [S] written by decode_inputs
  int64_t prefill_slots = 0;      // [T]
  int64_t prefill_tokens = 0;     // [T]
  int64_t prefill_positions = 0;  // [T]
  int64_t segments = 0;           // [S] core::Segment
  int64_t head_rows = 0;          // [S] prefill rows that draw a token
  int64_t head_slots = 0;         // [S] their slots
  int64_t head_positions = 0;     // [S] their positions
  int64_t copies = 0;             // [S, 2] source block, target block
  int64_t num_pairs = 0;          // [1]
  int64_t pairs = 0;              // [P, 2] word offset in the slot arena, value
  // Decode rows first, ended prefills from S on.
  int64_t tokens = 0;        // [2 S]
  int64_t logprobs = 0;      // [2 S] f32
  int64_t top_tokens = 0;    // [2 S, kMaxTopLogprobs]
  int64_t top_logprobs = 0;  // [2 S, kMaxTopLogprobs] f32
  int64_t total_words = 0;

  int32_t num_slots = 0;
  int32_t max_batched_tokens = 0;
  int64_t max_pairs = 0;

  static StepLayout make(int32_t num_slots, int32_t max_batched_tokens, int64_t max_pairs);
};

// Words of one copy of the arrays, on the device or in staging.
class StepArrays {
 public:
  StepArrays(core::Buffer buffer, const StepLayout& layout)
      : buffer_(std::move(buffer)), layout_(&layout) {}

  int32_t* at(int64_t offset) const { return static_cast<int32_t*>(buffer_.data()) + offset; }
  core::Segment* segments() const {
    return reinterpret_cast<core::Segment*>(at(layout_->segments));
  }
  core::SampleOutputs outputs(int64_t first_row) const;

 private:
  core::Buffer buffer_;
  const StepLayout* layout_;
};

}  // namespace permafrost::runtime
