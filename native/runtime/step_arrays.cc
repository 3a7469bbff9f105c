#include "runtime/step_arrays.h"

namespace permafrost::runtime {

StepLayout StepLayout::make(int32_t num_slots, int32_t max_batched_tokens, int64_t max_pairs) {
  StepLayout layout;
  layout.num_slots = num_slots;
  layout.max_batched_tokens = max_batched_tokens;
  layout.max_pairs = max_pairs;
  int64_t next = 0;
  const auto take = [&](int64_t words) {
    const int64_t offset = next;
    next = (next + words + 15) / 16 * 16;
    return offset;
  };
  layout.row_slots = take(num_slots);
  layout.token_ids = take(num_slots);
  layout.positions = take(num_slots);
  layout.prefill_slots = take(max_batched_tokens);
  layout.prefill_tokens = take(max_batched_tokens);
  layout.prefill_positions = take(max_batched_tokens);
  layout.segments = take(int64_t{num_slots} * (sizeof(core::Segment) / sizeof(int32_t)));
  layout.head_rows = take(num_slots);
  layout.head_slots = take(num_slots);
  layout.head_positions = take(num_slots);
  layout.copies = take(2 * int64_t{num_slots});
  layout.num_pairs = take(1);
  layout.pairs = take(2 * max_pairs);
  layout.tokens = take(2 * int64_t{num_slots});
  layout.logprobs = take(2 * int64_t{num_slots});
  layout.top_tokens = take(2 * int64_t{num_slots} * core::kMaxTopLogprobs);
  layout.top_logprobs = take(2 * int64_t{num_slots} * core::kMaxTopLogprobs);
  layout.total_words = next;
  return layout;
}

core::SampleOutputs StepArrays::outputs(int64_t first_row) const {
  return {at(layout_->tokens + first_row),
          reinterpret_cast<float*>(at(layout_->logprobs + first_row)),
          at(layout_->top_tokens + first_row * core::kMaxTopLogprobs),
          reinterpret_cast<float*>(at(layout_->top_logprobs + first_row * core::kMaxTopLogprobs))};
}

}  // namespace permafrost::runtime
